"""The client without a server: what is only read opens the database alone; what acts runs an engine in this process."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from automation.api.render import event_mapping, plain
from automation.cli.client import Document, Inventory, Order, Slice
from automation.cli.command import Session
from automation.cli.control import LocalControl
from automation.cli.definitions import Files
from automation.cli.measured import LocalMetrics
from automation.cli.triggers import LocalTriggers
from automation.engine import AutomationEngine
from automation.errors import AutomationError, ConfigurationError, Conflict
from automation.infrastructure.processes import began
from automation.infrastructure.services import Services
from automation.model.alert import AlertState
from automation.model.event import Event
from automation.model.execution import ExecutionContext, WorkflowStatus
from automation.model.guardrail import FreezeWindow
from automation.model.service import Replica, ServiceDefinition
from automation.model.workflow import WorkflowDefinition
from automation.queries import Queries
from automation.sources.supervisor import SourceState
from automation.workflows.compiler import compile_workflow

POLL_SECONDS = 0.5
_UNDER_WAY = frozenset({WorkflowStatus.PENDING, WorkflowStatus.RUNNING})


class LocalClient:
    """Works on the configured database."""

    def __init__(self, session: Session, files: Sequence[Path] = ()) -> None:
        self._session = session
        self._config = session.config()
        self._files = Files.of(self._config, session.config_file, files)
        self._exit = AsyncExitStack()
        self._open = False
        self.control = LocalControl(self._open_engine, self._acting_alone, self._settled)
        self.triggers = LocalTriggers(self._open_defined, self._acting_alone)
        self.metrics = LocalMetrics(self._open_defined)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def start(self, order: Order) -> str:
        """Start a workflow in this process; it ends, or is left to a later engine, when this client is closed."""
        engine = await self._acting()
        context = ExecutionContext(variables=dict(order.variables))
        return await engine.start_workflow(order.workflow, context, idempotency_key=order.idempotency_key)

    async def dry_run(self, order: Order) -> Document:
        """What a start would do; nothing is opened for it."""
        from automation.workflows.dryrun import Outlook, foresee

        plan = self._defined.workflow_manager.plan(order.workflow)
        outlook = Outlook.of(self._config, self._engine.judge, self._engine.samples.measure)
        return _document(foresee(plan, order.variables, outlook=outlook))

    async def executions(
        self, workflow: str | None, status: str | None, part: Slice, id: str | None = None
    ) -> Document:
        """Executions, newest first; with `id`, only those whose id begins or ends with it."""
        wanted = WorkflowStatus(status) if status else None
        queries = await self._reading()
        return _document(
            await queries.executions(workflow=workflow, status=wanted, cursor=part.cursor, limit=part.limit, id=id)
        )

    async def execution(self, execution_id: str, *, whole: bool = False) -> Document:
        """All that is known of one; unless `whole`, a reference stands for each large value."""
        detail = await (await self._reading()).execution_detail(execution_id, whole=whole)
        layers = compile_workflow(detail.definition).layers()
        return {
            "execution": plain(detail.execution),
            "actions": plain(detail.actions),
            "layers": [[step.name for step in layer] for layer in layers],
            "variables": plain(detail.variables),
            "event": plain(event_mapping(detail.event)),
            "children": plain(detail.children),
        }

    async def cancel(self, execution_id: str, reason: str) -> Document:
        """End it, with its cleanup, in this process."""
        engine = await self._acting_alone(f"cancel {execution_id}")
        await engine.cancel(execution_id, reason)
        return await self._settled(execution_id)

    async def decide(self, execution_id: str, action: str | None, agreed: bool, reason: str) -> Document:
        """Approve or deny, and run what follows in this process."""
        engine = await self._acting_alone(f"decide on {execution_id}")
        await engine.decide(execution_id, action, agreed, reason=reason)
        return await self._settled(execution_id)

    async def publish(self, event: Event) -> Document:
        """Take an event in, and run what it starts in this process."""
        engine = await self._acting()
        receipt = await engine.publish(event)
        for execution_id in receipt.executions:
            await self._settled(execution_id)
        return _document(receipt)

    async def events(self, type: str | None, part: Slice) -> Document:
        """Events, newest first."""
        queries = await self._reading()
        return _document(await queries.events(type=type, cursor=part.cursor, limit=part.limit))

    async def alerts(self, state: str | None, part: Slice) -> Document:
        """Alerts, the last changed first."""
        wanted = AlertState(state) if state else None
        queries = await self._reading()
        return _document(await queries.alerts(state=wanted, cursor=part.cursor, limit=part.limit))

    async def acknowledge(self, fingerprint: str) -> Document:
        """Say that a person takes care of a firing alert."""
        await self._alone(f"acknowledge {fingerprint}")
        await self._reading()
        return _document(await self._engine.alerts.acknowledge(fingerprint, "local"))

    async def workflows(self) -> Document:
        """Those of the definition files, and of alerts with actions."""
        manager = self._defined.workflow_manager
        return {"items": [_summary(manager.plan(name).definition) for name in manager.list_workflows()]}

    async def workflow(self, name: str) -> Document:
        """One of them."""
        plan = self._defined.workflow_manager.plan(name)
        return {
            "definition": plain(plan.definition),
            "layers": [[step.name for step in layer] for layer in plan.layers()],
            "operations": {step.name: step.plugin.name for step in plan.steps},
            "effects": {step.name: step.effect for step in plan.steps},
        }

    async def versions(self, name: str, version: str | None) -> Document:
        """The versions of a workflow, or one of them."""
        queries = await self._reading()
        if version is None:
            return {"items": [_version(found, None) for found in await queries.versions(name)]}
        found = await queries.version(name, version)
        return _version(found, json.loads(found.body))

    async def inventory(self, kind: Inventory) -> Document:
        """The services of the definition files, and what runs of them; or the sources, of which none runs here."""
        if kind == "sources":
            definitions, _ = self._files.load(self._engine.catalogue)
            wanted = sorted(definitions.sources, key=lambda source: source.name)
            return {"items": [plain(SourceState(source.name, source.type)) for source in wanted]}
        services = self._defined.services
        found = [await _service(services, service) for service in services.all()]
        return {"items": found}

    async def issue_token(self, name: str, roles: Sequence[str], expires_in: float | None) -> Document:
        """A new token, shown this once."""
        await self._reading(create=True)
        text = await self._engine.tokens.issue(name, roles, expires_in=expires_in, actor="local")
        issued = next(known for known in reversed(await self._engine.tokens.list()) if known.name == name)
        return {"token": text, "info": plain(issued)}

    async def tokens(self) -> Document:
        """All tokens; of none its text."""
        await self._reading()
        return {"items": plain(await self._engine.tokens.list())}

    async def revoke_token(self, token_id: str) -> Document:
        """End a token."""
        await self._reading()
        return _document(await self._engine.tokens.revoke(token_id, "local"))

    async def audit(self, kind: str | None, part: Slice) -> Document:
        """Audit rows, newest first."""
        queries = await self._reading()
        return _document(await queries.audit(kind=kind, cursor=part.cursor, limit=part.limit))

    async def verify_audit(self) -> Document:
        """Check every row of the audit chain."""
        rows, problems = await (await self._reading()).verify_audit()
        return {"valid": not problems, "rows": rows, "problems": plain(problems)}

    @property
    def guardrails(self) -> LocalGuardrails:
        """What holds actions back. A running engine hears of a change within a second, so it need not be asked."""
        return LocalGuardrails(self._open_store)

    async def _open_store(self) -> AutomationEngine:
        await self._reading()
        return self._engine

    @cached_property
    def _engine(self) -> AutomationEngine:
        return AutomationEngine(self._config)

    @cached_property
    def _defined(self) -> AutomationEngine:
        """The engine with the definitions; it need not run for that."""
        self._engine.catalogue.apply(self._files.load(self._engine.catalogue)[0])
        return self._engine

    async def _reading(self, *, create: bool = False) -> Queries:
        """The open database, without an engine that would take up work. Raises StoreError, ConfigurationError."""
        if not self._open:
            store = self._engine.store
            folderless = self._config.database_url is None and not self._config.data_dir.is_dir()
            if create:
                prepare_folder(self._config.database_url, self._config.data_dir)
            elif folderless or store.backend.absent():
                raise ConfigurationError(
                    f"there is no database {store.backend.place} yet",
                    hint="start with 'automation serve', name a configuration with --config, or set AUTOMATION_URL",
                )
            await store.open()
            self._exit.push_async_callback(store.close)
            self._open = True
        return self._engine.queries

    async def _open_engine(self) -> AutomationEngine:
        """The engine with its database open, and not running."""
        await self._reading()
        return self._engine

    async def _open_defined(self) -> AutomationEngine:
        """The engine with the definitions and its database open, and not running."""
        await self._reading()
        return self._defined

    async def _acting(self) -> AutomationEngine:
        """The running engine, with the definitions."""
        engine = self._defined
        if not self._open:
            prepare_folder(self._config.database_url, self._config.data_dir)
            await engine.start(watch=False)
            self._exit.push_async_callback(engine.stop)
            self._open = True
        return engine

    async def _acting_alone(self, what: str) -> AutomationEngine:
        """The running engine, where no other holds in memory what is to be changed; raises Conflict."""
        await self._alone(what)
        return await self._acting()

    async def _alone(self, what: str) -> None:
        """Refuse to change what a running engine holds in memory; raises Conflict."""
        async with LocalClient(self._session) as look:
            nodes = await (await look._reading()).nodes()
        for node in nodes:
            if node.lease_until > time.time() and _lives(node.host, node.pid, node.process_started):
                raise Conflict(
                    f"cannot {what}: an engine works on this database (process {node.pid} on {node.host})",
                    hint="talk to it: set AUTOMATION_URL, and AUTOMATION_TOKEN or AUTOMATION_TOKEN_FILE",
                    code=2,
                )

    async def _idle(self) -> bool:
        """Whether nothing is left to run now."""
        try:
            await self._engine.drain(0)
        except TimeoutError:
            return False
        return True

    async def _settled(self, execution_id: str) -> Document:
        """The execution once it has ended, or waits for a time or a person."""
        queries = self._engine.queries
        with self._engine.changes.watch(execution_id) as watch:
            while (execution := await queries.execution(execution_id)).status in _UNDER_WAY:
                if execution.status is WorkflowStatus.PENDING and await self._idle():
                    # What has its seat waits for a time or a person.
                    break
                # Another process may have it, whose changes only the database tells.
                await watch.next(POLL_SECONDS)
        return {"execution_id": execution_id, "status": execution.status.value}


class LocalGuardrails:
    """Guardrails, by the rows of the configured database."""

    def __init__(self, opened: Callable[[], Awaitable[AutomationEngine]]) -> None:
        self._opened = opened

    async def status(self) -> Document:
        """What is so now."""
        from automation.api.routes.guardrails import view_of

        engine = await self._opened()
        await engine.breakers.refresh()
        return _document(await view_of(engine))

    async def stop(self, reason: str) -> Document:
        """Let nothing begin that changes anything."""
        await (await self._opened()).guardrails.stop(reason)
        return await self.status()

    async def release(self, reason: str) -> Document:
        """Lift that."""
        await (await self._opened()).guardrails.release(reason=reason)
        return await self.status()

    async def freeze(self, window: FreezeWindow) -> Document:
        """Put a freeze window in force."""
        await (await self._opened()).guardrails.freeze(window)
        return await self.status()

    async def thaw(self, name: str) -> Document:
        """Take one back."""
        await (await self._opened()).guardrails.thaw(name)
        return await self.status()


def prepare_folder(database_url: str | None, data_dir: Path) -> None:
    """Make the folder of the default database; one that was named is expected to be there."""
    if database_url is None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


def _lives(host: str, pid: int, started: float) -> bool:
    """Whether a process has not died, as far as can be told from this machine."""
    if host != socket.gethostname():
        return True
    found = began(pid)
    return found is not None and abs(found - started) < 0.05


async def _service(services: Services, service: ServiceDefinition) -> Document:
    replicas: list[Replica] = []
    error = None
    try:
        replicas = await services.platform(service).replicas(service)
    except (AutomationError, OSError) as problem:
        error = str(problem)
    return {
        "definition": plain(service),
        "replicas": plain(replicas),
        "availability_percent": None,
        "availability": {},
        "error": error,
    }


def _summary(definition: WorkflowDefinition) -> Document:
    return {
        "name": definition.name,
        "description": definition.description,
        "enabled": definition.enabled,
        "priority": definition.priority.name.lower(),
        "triggers": [trigger.model_dump(mode="json") for trigger in definition.triggers],
        "conditions": list(definition.conditions),
        "actions": [action.name for action in definition.actions],
        "labels": definition.labels,
    }


def _version(version: Any, definition: Any) -> Document:
    told = plain(version)
    return {**{key: told[key] for key in ("id", "created_at", "in_force")}, "definition": definition}


def _document(value: Any) -> Document:
    document: Document = plain(value)
    return document
