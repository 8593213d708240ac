"""The icons: a picture for each status, so that no meaning hangs on colour alone. All on a 16 by 16 grid."""

from __future__ import annotations

from markupsafe import Markup

_RING = "M8 1.75a6.25 6.25 0 1 0 0 12.5a6.25 6.25 0 1 0 0-12.5z"

_STROKES = {
    "succeeded": f"{_RING}M5 8.2l2.1 2.1L11.2 6",
    "failed": f"{_RING}M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
    "running": "M8 1.75a6.25 6.25 0 1 1-5.6 3.5",
    "waiting": f"{_RING}M8 4.6V8l2.3 1.5",
    "paused": f"{_RING}M6.3 5.6v4.8M9.7 5.6v4.8",
    "pending": _RING,
    "skipped": f"{_RING}M5 8h6",
    "cancelled": f"{_RING}M3.7 12.3l8.6-8.6",
    "timed_out": "M8 3.5a5.4 5.4 0 1 0 0 10.8a5.4 5.4 0 1 0 0-10.8zM8 6v3M6 1.5h4M8 1.5v2",
    "proposed": f"{_RING}M6.2 6.3a1.8 1.8 0 1 1 2.7 1.6c-.6.4-.9.7-.9 1.3M8 11.4v.1",
    "rolling_back": "M2.2 3.2v3.6h3.6M2.6 6.6a5.8 5.8 0 1 1-.4 2.6",
    "rolled_back": "M2.2 3.2v3.6h3.6M2.6 6.6a5.8 5.8 0 1 1-.4 2.6",
    "firing": "M8 1.8c-2.5 0-4 1.9-4 4.2c0 3.4-1.4 4.4-1.4 5.5h10.8c0-1.1-1.4-2.1-1.4-5.5c0-2.3-1.5-4.2-4-4.2z"
    "M6.4 13.9h3.2",
    "acknowledged": "M1.6 8c1.5-2.7 3.7-4.2 6.4-4.2s4.9 1.5 6.4 4.2c-1.5 2.7-3.7 4.2-6.4 4.2S3.1 10.7 1.6 8z"
    "M8 6.2a1.8 1.8 0 1 0 0 3.6a1.8 1.8 0 1 0 0-3.6z",
    "overview": "M2 2.5h5v5H2zM9.5 2.5H14v3H9.5zM9.5 8H14v5.5H9.5zM2 10h5v3.5H2z",
    "executions": "M4.2 2.6v10.8l9-5.4z",
    "approvals": "M3 2.5h10v8H8.6L5.4 13.5v-3H3zM5.6 6.4l1.7 1.7l3.2-3.2",
    "workflows": "M3.5 2a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 1 0 0-3.4zM3.5 10.6a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 1 0 0-3.4z"
    "M12.5 6.3a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 1 0 0-3.4zM5.2 3.7h2.1l2.2 4.3h1.3M5.2 12.3h2.1L9.5 8",
    "events": "M9 1.5L3.2 9h4.2L6.8 14.5L12.8 7H8.6z",
    "alerts": "M8 1.8c-2.5 0-4 1.9-4 4.2c0 3.4-1.4 4.4-1.4 5.5h10.8c0-1.1-1.4-2.1-1.4-5.5c0-2.3-1.5-4.2-4-4.2z"
    "M6.4 13.9h3.2",
    "guardrails": "M8 1.6l5.2 1.9v4.1c0 3.3-2.1 5.6-5.2 6.8c-3.1-1.2-5.2-3.5-5.2-6.8V3.5zM5.6 8l1.7 1.7L10.5 6.4",
    "open": "M2 8h3.4M10.6 8H14M5.4 8l4.4-3.4",
    "half_open": "M2 8h3.4M10.6 8H14M5.4 8l5-1.7",
    "theme": "M8 1.75a6.25 6.25 0 1 0 0 12.5zM8 1.75a6.25 6.25 0 1 1 0 12.5",
    "leave": "M9.5 2.5H3v11h6.5M6.5 8H14M11.2 5.2L14 8l-2.8 2.8",
}
_STROKES["resolved"] = _STROKES["approved"] = _STROKES["succeeded"]
_STROKES["denied"] = _STROKES["failed"]
_STROKES["expired"] = _STROKES["timed_out"]
_STROKES["withdrawn"] = _STROKES["skipped"]

_TONES = {
    "good": ("succeeded", "resolved", "approved"),
    "bad": ("failed", "timed_out", "firing", "open", "denied", "expired"),
    "busy": ("running", "rolling_back"),
    "wait": ("waiting", "paused", "proposed", "acknowledged", "half_open"),
}
_TONE = {status: tone for tone, statuses in _TONES.items() for status in statuses}


def tone(status: str) -> str:
    """What kind of news a status is: `good`, `bad`, `busy`, `wait` or `idle`."""
    return _TONE.get(status, "idle")


def path(name: str) -> str:
    """The outline of an icon, for an SVG `path`."""
    return _STROKES[name]


def icon(name: str) -> Markup:
    """An icon for a page. It says nothing by itself: text stands beside it."""
    return Markup('<svg class="icon icon-{}" viewBox="0 0 16 16" aria-hidden="true"><path d="{}"/></svg>').format(
        name, path(name)
    )
