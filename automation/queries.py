"""What the faces may read: one page of methods over the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from automation.errors import NotFound, Problem
from automation.model.alert import Alert, AlertState
from automation.model.execution import Execution, ExecutionDetail, WorkflowStatus
from automation.model.workflow import WorkflowDefinition
from automation.store import alerts, events, executions, records
from automation.store.alerts import Notification
from automation.store.events import Decision, StoredEvent
from automation.store.executions import COUNTED, Node
from automation.store.pages import LIMIT, Page
from automation.store.records import AuditRow, Version
from automation.store.store import Store
from automation.workflows.control import detail_of

__all__ = ["COUNTED", "EventDetail", "Queries"]


@dataclass(frozen=True, slots=True)
class EventDetail:
    """An event, what it started, and what it did not start with the reasons."""

    stored: StoredEvent
    executions: tuple[Execution, ...]
    decisions: tuple[Decision, ...]


def _definition(body: str) -> WorkflowDefinition | None:
    try:
        return WorkflowDefinition.model_validate_json(body)
    except ValidationError:
        return None


class Queries:
    """Answers questions about what is stored. What does not exist raises NotFound."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def execution(self, execution_id: str) -> Execution:
        """The summary of one execution."""
        found = await executions.get(self._store, execution_id)
        if found is None:
            raise NotFound(kind="execution", name=execution_id)
        return found

    async def execution_detail(self, execution_id: str, *, whole: bool = False) -> ExecutionDetail:
        """All that is known of one execution; unless `whole`, a `LargeValue` stands for each value that is large."""
        return await detail_of(self._store, execution_id, whole=whole)

    async def definitions_of(self, execution_ids: Sequence[str]) -> dict[str, WorkflowDefinition]:
        """The workflows of these executions, each in the version that it started with.

        There is none of an unknown id, and of a workflow that was stored by a version that knew other keys.
        """
        read: dict[str, WorkflowDefinition | None] = {}
        found: dict[str, WorkflowDefinition] = {}
        for stored in await executions.of_ids(self._store, execution_ids):
            execution = stored.execution
            if execution.definition_id not in read:
                read[execution.definition_id] = _definition(stored.definition)
            definition = read[execution.definition_id]
            if definition is not None:
                found[execution.id] = definition
        return found

    async def large_value(self, execution_id: str, sha256: str) -> bytes:
        """The JSON of a large value of an execution."""
        found = await executions.large_value(self._store, execution_id, sha256)
        if found is None:
            raise NotFound(kind="large value of this execution", name=f"sha256:{sha256}")
        return found

    async def executions(
        self,
        *,
        workflow: str | None = None,
        status: WorkflowStatus | None = None,
        cursor: str | None = None,
        limit: int = LIMIT,
        id: str | None = None,
    ) -> Page[Execution]:
        """Executions, newest first; with `id`, only those whose id begins or ends with it."""
        return await executions.page(self._store, workflow=workflow, status=status, cursor=cursor, limit=limit, id=id)

    async def execution_counts(self) -> dict[WorkflowStatus, int]:
        """How many executions there are in each status; COUNTED + 1 stands for more than that."""
        return await executions.counts(self._store)

    async def versions(self, workflow: str) -> list[Version]:
        """The versions of a workflow that were ever registered, the newest first, without their bodies."""
        found = await records.versions(self._store, "workflow", workflow)
        if not found:
            raise NotFound(kind="workflow", name=workflow)
        return found

    async def version(self, workflow: str, version: str) -> Version:
        """One version of a workflow, by its id or enough of the beginning of that to name one."""
        found = await records.versions(self._store, "workflow", workflow, prefix=version)
        if len(found) != 1:
            known = "there are several versions that begin with" if found else "there is no version"
            raise NotFound(f"{known} {version!r} of workflow {workflow!r}", kind="version", name=version)
        return found[0]

    async def event(self, event_id: str, source: str | None = None) -> EventDetail:
        """An event and what became of it."""
        stored = await events.get(self._store, event_id, source)
        if stored is None:
            raise NotFound(kind="event", name=event_id)
        origin = stored.event.source
        return EventDetail(
            stored,
            await executions.by_event(self._store, origin, event_id),
            await events.decisions_of(self._store, origin, event_id),
        )

    async def events(
        self, *, type: str | None = None, cursor: str | None = None, limit: int = LIMIT
    ) -> Page[StoredEvent]:
        """Events, newest first."""
        return await events.page(self._store, type=type, cursor=cursor, limit=limit)

    async def decisions(
        self, *, kind: str | None = None, cursor: str | None = None, limit: int = LIMIT
    ) -> Page[Decision]:
        """What was decided and why, newest first."""
        return await events.decision_page(self._store, kind=kind, cursor=cursor, limit=limit)

    async def alerts(
        self, *, state: AlertState | None = None, cursor: str | None = None, limit: int = LIMIT
    ) -> Page[Alert]:
        """Alerts, the last changed first."""
        return await alerts.page(self._store, state=state, cursor=cursor, limit=limit)

    async def alert(self, fingerprint: str) -> Alert:
        """One alert."""
        found = await alerts.get(self._store, fingerprint)
        if found is None:
            raise NotFound(kind="alert", name=fingerprint)
        return found

    async def alert_counts(self) -> dict[AlertState, int]:
        """How many alerts there are in each state."""
        return await alerts.counts(self._store)

    async def nodes(self) -> list[Node]:
        """The processes that run executions on this database, and how long their leases last."""
        return await executions.all_nodes(self._store)

    async def notifications(self, limit: int = LIMIT) -> tuple[Notification, ...]:
        """The newest messages to people, and what became of them."""
        return await alerts.newest_notifications(self._store, limit)

    async def audit(self, *, kind: str | None = None, cursor: str | None = None, limit: int = LIMIT) -> Page[AuditRow]:
        """Audit rows, newest first."""
        return await records.audit_page(self._store, kind=kind, cursor=cursor, limit=limit)

    async def verify_audit(self) -> tuple[int, list[Problem]]:
        """Check every row of the audit chain: how many there are, and what does not fit."""
        return await records.verify_audit(self._store)
