"""What commands ask, whether of a server or of the database: written once for both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from automation.cli.command import Session
from automation.cli.control import Control
from automation.cli.measured import MetricsClient
from automation.cli.triggers import TriggersClient
from automation.errors import InputError
from automation.model.event import Event
from automation.model.guardrail import FreezeWindow
from automation.store.pages import LIMIT

Document = Mapping[str, Any]
"""JSON, as the REST interface answers it: keys are the attributes of nouns, times are RFC 3339 text."""

Inventory = Literal["services", "sources"]
"""What there is a list of, with how each of it is doing."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Which part of a long list."""

    limit: int = LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A start that is asked for."""

    workflow: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None


class GuardrailsClient(Protocol):
    """What holds actions back, and holding them back. Each answers with what is so then."""

    async def status(self) -> Document:
        """What is so now."""
        ...

    async def stop(self, reason: str) -> Document:
        """Let nothing begin that changes anything."""
        ...

    async def release(self, reason: str) -> Document:
        """Lift that."""
        ...

    async def freeze(self, window: FreezeWindow) -> Document:
        """Put a freeze window in force."""
        ...

    async def thaw(self, name: str) -> Document:
        """Take one back."""
        ...


class Client(Protocol):
    """Answers and acts. Raises AutomationError."""

    @property
    def control(self) -> Control:
        """What people may ask of executions beside their end."""
        ...

    async def start(self, order: Order) -> str:
        """Start a workflow; the execution's id."""
        ...

    async def dry_run(self, order: Order) -> Document:
        """What a start would do."""
        ...

    async def executions(
        self, workflow: str | None, status: str | None, part: Slice, id: str | None = None
    ) -> Document:
        """Executions, newest first; with `id`, only those whose id begins or ends with it."""
        ...

    async def execution(self, execution_id: str, *, whole: bool = False) -> Document:
        """All that is known of one; unless `whole`, a reference stands for each large value."""
        ...

    async def cancel(self, execution_id: str, reason: str) -> Document:
        """Ask for its end; the execution as it is then."""
        ...

    async def decide(self, execution_id: str, action: str | None, agreed: bool, reason: str) -> Document:
        """Approve or deny what waits for that; the execution as it is then."""
        ...

    async def publish(self, event: Event) -> Document:
        """Take an event in: its receipt."""
        ...

    async def events(self, type: str | None, part: Slice) -> Document:
        """Events, newest first."""
        ...

    async def alerts(self, state: str | None, part: Slice) -> Document:
        """Alerts, the last changed first."""
        ...

    async def acknowledge(self, fingerprint: str) -> Document:
        """Say that a person takes care of a firing alert."""
        ...

    async def workflows(self) -> Document:
        """All workflows."""
        ...

    async def workflow(self, name: str) -> Document:
        """One workflow."""
        ...

    async def versions(self, name: str, version: str | None) -> Document:
        """The versions of a workflow, or one of them with its definition."""
        ...

    async def inventory(self, kind: Inventory) -> Document:
        """All services with their replicas, or all sources with their states."""
        ...

    async def issue_token(self, name: str, roles: Sequence[str], expires_in: float | None) -> Document:
        """A new token, shown this once."""
        ...

    async def tokens(self) -> Document:
        """All tokens; of none its text."""
        ...

    async def revoke_token(self, token_id: str) -> Document:
        """End a token."""
        ...

    async def audit(self, kind: str | None, part: Slice) -> Document:
        """Audit rows, newest first."""
        ...

    async def verify_audit(self) -> Document:
        """Check every row of the audit chain: `rows` and `problems`."""
        ...

    @property
    def triggers(self) -> TriggersClient:
        """What starts workflows, and what it did with events."""
        ...

    @property
    def metrics(self) -> MetricsClient:
        """What was measured."""
        ...

    @property
    def guardrails(self) -> GuardrailsClient:
        """What holds actions back."""
        ...


def one_of(option: str, text: str | None, known: Iterable[str]) -> str | None:
    """The text, if it is one of those that are known; raises InputError that lists them."""
    choices = tuple(known)
    if text is not None and text not in choices:
        raise InputError(f"{option}: {text!r} is none of {', '.join(choices)}")
    return text


@asynccontextmanager
async def connect(session: Session, files: Sequence[Path] = ()) -> AsyncIterator[Client]:
    """A client for the server of AUTOMATION_URL or, without one, for the configured database.

    `files` are definitions beside the configured ones, which only a client in this process can take.
    """
    from automation.config_sources import server_from_environment

    server = server_from_environment()
    if server is None:
        from automation.cli.local import LocalClient

        async with LocalClient(session, files) as local:
            yield local
        return
    if files:
        raise InputError("--file: a server knows its own definitions only; unset AUTOMATION_URL, or add the file there")
    from automation.cli.remote import RemoteClient

    async with RemoteClient(*server) as remote:
        yield remote
