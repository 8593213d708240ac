"""Where the events of a ruleset come from: what becomes a source of ours, and what is to be set up instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from automation.definitions.rulebook.layout import Layout

_TESTING = frozenset({"range", "generic", "file", "replay", "tick"})
_WRAPPED = {"webhook": "payload", "kafka": "body", "mqtt": "body", "aws_sqs_queue": "body", "azure_service_bus": "body"}
_INSTEAD: Mapping[str, str] = {
    "pg_listener": "write a source of type postgres_notify with `type: {type}`",
    "mqtt": "write a source of type mqtt with `type: {type}`",
    "url_check": "write a monitor of type http, and an alert or a metric_threshold trigger on what it measures",
    "file_watch": "write a source of type file or log with `type: {type}`",
    "journald": "write a source of type log over the file of the journal, with `type: {type}`",
    "k8s": "write a source of type kubernetes with `type: {type}`",
}
_ELSE = "let it post to /webhooks/{webhook}, or write a plug-in for it"


@dataclass(slots=True)
class Sources:
    """What became of the sources of a ruleset."""

    layout: Layout
    definitions: list[dict[str, Any]] = field(default_factory=list)


def translated(given: list[dict[str, Any]], name: str, note: Callable[[int, str], None]) -> Sources:
    """The sources of the ruleset whose name here is `name`."""
    kinds = [_kind(source) for source in given]
    short = [kind.rpartition(".")[2] for kind, _ in kinds]
    alerts = bool(short) and set(short) == {"alertmanager"}
    wrappers = frozenset(_WRAPPED[kind] for kind in short if kind in _WRAPPED)
    webhook = f"webhook.{name}"
    kind_of_event = webhook if "webhook" in short or not set(short) <= {"kafka", *_TESTING} else name
    types = ("alert.firing", "alert.resolved") if alerts else (kind_of_event,)
    found = Sources(Layout(types, wrappers, alerts))
    for index, ((_, settings), kind) in enumerate(zip(kinds, short, strict=True)):
        if kind == "kafka":
            found.definitions.append(_kafka(settings, f"{name}-kafka-{index + 1}", types[0], index, note))
        else:
            note(index, _advice(kind, name, types[0], settings))
        for each in given[index].get("filters") or ():
            label = next(iter(each), "") if isinstance(each, dict) else str(each)
            note(index, f"the filter {label} is left out: `normalise` of a source or webhook changes events")
    return found


def _kind(source: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    for key, settings in source.items():
        if key not in ("name", "filters"):
            return key, settings if isinstance(settings, dict) else {}
    return "", {}


def _advice(kind: str, name: str, event_type: str, settings: Mapping[str, Any]) -> str:
    if kind == "webhook":
        sure = {"token", "hmac_secret", "cafile"} & settings.keys()
        verify = "; an entry in `webhooks` of the configuration says how the sender is verified" if sure else ""
        return f"webhook: senders post to /webhooks/{name} here{verify}"
    if kind == "alertmanager":
        posts = "alertmanager: Alertmanager posts to /webhooks/alertmanager here; each alert is an event"
        if event_type.startswith("alert."):
            return posts
        # The rules are written for one type of events.
        unseen = f"alert.firing or alert.resolved, which these rules, of {event_type}, do not see"
        return f"{posts} {unseen}: give the rules of alerts a ruleset without other sources"
    if kind in _TESTING:
        return f"{kind} is for trying out: publish events with `automation events publish {event_type}`"
    instead = _INSTEAD.get(kind, _ELSE).replace("{type}", event_type).replace("{webhook}", name)
    return f"the source {kind} is left out: {instead}"


def _kafka(
    settings: Mapping[str, Any], name: str, event_type: str, index: int, note: Callable[[int, str], None]
) -> dict[str, Any]:
    host, port = settings.get("host", "localhost"), settings.get("port", 9092)
    topics = settings.get("topics") or [settings.get("topic", "TOPIC")]
    made: dict[str, Any] = {
        "servers": [f"{host}:{port}"],
        "topics": topics if isinstance(topics, list) else [topics],
        "type": event_type,
    }
    if settings.get("group_id"):
        made["group"] = str(settings["group_id"])
    # `latest` is the default of ansible-rulebook, `first` is ours.
    made["begin"] = "first" if settings.get("offset") == "earliest" else "new"
    left_out = sorted(settings.keys() - {"host", "port", "topic", "topics", "group_id", "offset"})
    if left_out:
        note(index, f"settings of kafka are left out: {', '.join(left_out)}")
    return {"name": name, "type": "kafka", "settings": made}
