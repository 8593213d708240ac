"""What is made of events before any rule sees them, as users define it."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from automation.model.base import Definition


class Normaliser(Definition):
    """Gives events of one kind the names that rules use. `${...}` is an expression over the event and its data."""

    when: str | None = None
    """A condition: events for which it is not true stay as they are."""
    type: str | None = None
    """The type."""
    subject: str | None = None
    """The subject."""
    severity: str | None = None
    """The severity."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels to add, or to replace."""
    data: dict[str, Any] = Field(default_factory=dict)
    """Keys of the data to add, or to replace."""
    remove: tuple[str, ...] = ()
    """Keys of the data to take away, after the rest."""

    @model_validator(mode="after")
    def _changes(self) -> Self:
        if not (self.labels or self.data or self.remove or self.type or self.subject or self.severity):
            raise ValueError("it changes nothing: give type, subject, severity, labels, data or remove")
        return self
