"""What people are told."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Message:
    """One message to people, before a channel gives it its form."""

    text: str
    title: str = ""
    severity: str = "info"
    fields: dict[str, str] = field(default_factory=dict)
    """Facts shown beside the text, by their names."""
    to: str = ""
    """Whom, in the channel's own terms, such as `#ops-alerts`; empty is the channel's default."""
