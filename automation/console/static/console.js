// What pages do beyond htmx: they stay live without losing what a person has opened, and say so when they are not.
// Everything works without this file, except that nothing refreshes by itself.
"use strict";
(() => {
  // Whether a <details> is open is the reader's affair: a refresh does not close it.
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");

  const sign = () => document.getElementById("live-sign");
  const show = (state, text) => {
    const place = sign();
    if (place && place.dataset.state !== state) {
      place.dataset.state = state;
      place.textContent = text;
    }
  };

  // A browser allows few connections to one server, so a page that nobody looks at lets go of its own. On coming back,
  // the server's first message of a new connection makes the page refresh.
  class Stream extends EventTarget {
    constructor(url) {
      super();
      this.url = url;
      this.names = new Set();
      this.closed = false;
      this.look = () => (document.hidden ? this.release() : this.connect());
      document.addEventListener("visibilitychange", this.look);
      this.look();
    }
    get readyState() {
      return this.closed ? EventSource.CLOSED : this.source ? this.source.readyState : EventSource.CONNECTING;
    }
    connect() {
      if (this.closed || this.source) return;
      this.source = new EventSource(this.url);
      this.source.onopen = (event) => this.onopen && this.onopen(event);
      this.source.onerror = (event) => this.failed(event);
      this.names.forEach((name) => this.relay(name));
    }
    failed(event) {
      // Refused for good: the extension makes another one after a while.
      if (this.readyState === EventSource.CLOSED) this.close();
      if (this.onerror) this.onerror(event);
    }
    relay(name) {
      if (this.source) this.source.addEventListener(name, (event) => this.dispatchEvent(new MessageEvent(name, { data: event.data })));
    }
    addEventListener(name, listener) {
      super.addEventListener(name, listener);
      if (!this.names.has(name)) {
        this.names.add(name);
        this.relay(name);
      }
    }
    release() {
      if (this.source) this.source.close();
      this.source = undefined;
    }
    close() {
      this.closed = true;
      this.release();
      document.removeEventListener("visibilitychange", this.look);
    }
  }
  htmx.createEventSource = (url) => new Stream(url);

  document.addEventListener("htmx:sseOpen", () => show("open", "Live"));
  document.addEventListener("htmx:sseError", () => show("lost", "Reconnecting"));
  document.addEventListener("htmx:sseClose", () => show("done", ""));
  document.addEventListener("htmx:sendError", () => show("lost", "Reconnecting"));

  // The same words as `words.ago`.
  const ago = (then, now) => {
    const distance = Math.abs(now - then) / 1000;
    if (distance < 1) return "now";
    const unit = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => distance >= size);
    const text = `${Math.floor(distance / unit[0])} ${unit[1]}`;
    return then <= now ? `${text} ago` : `in ${text}`;
  };
  const tell = () => {
    for (const place of document.querySelectorAll("time[datetime]")) {
      const then = Date.parse(place.dateTime);
      if (!Number.isNaN(then)) {
        const text = ago(then, Date.now() + skew);
        if (place.textContent !== text) place.textContent = text;
      }
    }
  };
  // The server's clock is the one that counts; this page may be shown by a machine with another.
  const skew = Date.parse(document.documentElement.dataset.now) - Date.now() || 0;
  setInterval(tell, 5000);
})();
