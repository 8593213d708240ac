"""The client of a running server: the same questions, asked over REST."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

import httpx2
import msgspec

from automation.cli.client import Document, Inventory, Order, Slice
from automation.cli.control import RemoteControl
from automation.cli.failures import CommandFailed, ServerUnreachable
from automation.cli.measured import RemoteMetrics
from automation.cli.triggers import RemoteTriggers
from automation.errors import (
    AutomationError,
    Conflict,
    DefinitionError,
    DuplicateKey,
    Forbidden,
    InputError,
    NotFound,
    Problem,
    StoreUnavailable,
    TooManyRequests,
    Unauthenticated,
)
from automation.infrastructure.probe import innermost
from automation.model.event import Event
from automation.model.guardrail import FreezeWindow

TIMEOUT_SECONDS = 30.0


class RemoteClient:
    """Talks to one server."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx2.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=TIMEOUT_SECONDS)
        self.control = RemoteControl(self._get, self._post)
        self.triggers = RemoteTriggers(self._get, self._post)
        self.metrics = RemoteMetrics(self._get, self._post)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def start(self, order: Order) -> str:
        """Start a workflow; the execution's id."""
        body = {"variables": dict(order.variables), "idempotency_key": order.idempotency_key}
        answer = await self._post(f"/workflows/{_part(order.workflow)}/executions", body)
        return str(answer["execution_id"])

    async def dry_run(self, order: Order) -> Document:
        """What a start would do."""
        body = {"variables": dict(order.variables)}
        return await self._post(f"/workflows/{_part(order.workflow)}/executions?dry_run=true", body)

    async def executions(
        self, workflow: str | None, status: str | None, part: Slice, id: str | None = None
    ) -> Document:
        """Executions, newest first; with `id`, only those whose id begins or ends with it."""
        return await self._get("/executions", workflow=workflow, status=status, id=id, **_page(part))

    async def execution(self, execution_id: str, *, whole: bool = False) -> Document:
        """All that is known of one; unless `whole`, a reference stands for each large value."""
        return await self._get(f"/executions/{_part(execution_id)}", whole=whole or None)

    async def cancel(self, execution_id: str, reason: str) -> Document:
        """Ask for its end."""
        return await self._post(f"/executions/{_part(execution_id)}/cancel", {"reason": reason})

    async def decide(self, execution_id: str, action: str | None, agreed: bool, reason: str) -> Document:
        """Approve or deny what waits for that."""
        body = {"action": action, "approve": agreed, "reason": reason}
        return await self._post(f"/executions/{_part(execution_id)}/decision", body)

    async def publish(self, event: Event) -> Document:
        """Take an event in: its receipt."""
        answer = await self._post("/events", msgspec.structs.asdict(event))
        receipt: Document = answer["receipts"][0]
        return receipt

    async def events(self, type: str | None, part: Slice) -> Document:
        """Events, newest first."""
        return await self._get("/events", type=type, **_page(part))

    async def alerts(self, state: str | None, part: Slice) -> Document:
        """Alerts, the last changed first."""
        return await self._get("/alerts", state=state, **_page(part))

    async def acknowledge(self, fingerprint: str) -> Document:
        """Say that a person takes care of a firing alert."""
        return await self._post(f"/alerts/{_part(fingerprint)}/acknowledge")

    async def workflows(self) -> Document:
        """All workflows."""
        return await self._get("/workflows")

    async def workflow(self, name: str) -> Document:
        """One workflow."""
        return await self._get(f"/workflows/{_part(name)}")

    async def versions(self, name: str, version: str | None) -> Document:
        """The versions of a workflow, or one of them."""
        return await self._get(f"/workflows/{_part(name)}/versions" + (f"/{_part(version)}" if version else ""))

    async def inventory(self, kind: Inventory) -> Document:
        """All services with their replicas, or all sources with their states."""
        return await self._get(f"/{kind}")

    async def issue_token(self, name: str, roles: Sequence[str], expires_in: float | None) -> Document:
        """A new token, shown this once."""
        return await self._post("/tokens", {"name": name, "roles": list(roles), "expires_in": expires_in})

    async def tokens(self) -> Document:
        """All tokens; of none its text."""
        return await self._get("/tokens")

    async def revoke_token(self, token_id: str) -> Document:
        """End a token."""
        return await self._post(f"/tokens/{_part(token_id)}/revoke")

    async def audit(self, kind: str | None, part: Slice) -> Document:
        """Audit rows, newest first."""
        return await self._get("/audit", kind=kind, **_page(part))

    async def verify_audit(self) -> Document:
        """Check every row of the audit chain."""
        return await self._get("/audit/verify")

    @property
    def guardrails(self) -> RemoteGuardrails:
        """What holds actions back."""
        return RemoteGuardrails(self._ask)

    async def _get(self, path: str, **query: Any) -> Document:
        return await self._ask("GET", path, params={name: value for name, value in query.items() if value is not None})

    async def _post(self, path: str, body: Mapping[str, Any] | None = None, **more: Any) -> Document:
        return await self._ask("POST", path, json=body or {}, **more)

    async def _ask(self, method: str, path: str, **more: Any) -> Document:
        try:
            response = await self._client.request(method, path, **more)
        except httpx2.TimeoutException:
            raise ServerUnreachable(f"{self._url} did not answer within {TIMEOUT_SECONDS:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ServerUnreachable(
                f"cannot reach {self._url}: {innermost(error)}",
                hint="is 'automation serve' running there? AUTOMATION_URL names it",
            ) from None
        try:
            answer = response.json()
        except ValueError:
            raise ServerUnreachable(
                f"{self._url} answered {response.status_code}, and not with JSON: is that automation?"
            ) from None
        if not response.is_success:
            raise _error(response.status_code, answer if isinstance(answer, dict) else {})
        document: Document = answer
        return document


class RemoteGuardrails:
    """Guardrails of a server."""

    def __init__(self, ask: Callable[..., Awaitable[Document]]) -> None:
        self._ask = ask

    async def status(self) -> Document:
        """What is so now."""
        return await self._ask("GET", "/guardrails")

    async def stop(self, reason: str) -> Document:
        """Let nothing begin that changes anything."""
        return await self._ask("POST", "/guardrails/stop", json={"reason": reason})

    async def release(self, reason: str) -> Document:
        """Lift that."""
        return await self._ask("POST", "/guardrails/release", json={"reason": reason})

    async def freeze(self, window: FreezeWindow) -> Document:
        """Put a freeze window in force."""
        body = window.model_dump(mode="json", exclude_defaults=True)
        return await self._ask("POST", "/guardrails/freezes", json=body)

    async def thaw(self, name: str) -> Document:
        """Take one back."""
        return await self._ask("DELETE", f"/guardrails/freezes/{_part(name)}")


def _error(status: int, problem: Mapping[str, Any]) -> AutomationError:
    """The error that a problem (RFC 9457) tells of."""
    reason = str(problem.get("type", "")).rpartition(":")[2]
    detail = str(problem.get("detail") or problem.get("title") or f"the server answered {status}")
    problems = [
        Problem(str(item.get("path", "")), str(item.get("message", ""))) for item in problem.get("problems", ())
    ]
    if reason == "invalid" and problems:
        return DefinitionError(problems, what=detail.rpartition(" was refused")[0] or "the request")
    kinds: dict[str, type[AutomationError]] = {
        "invalid": InputError,
        "unauthenticated": Unauthenticated,
        "forbidden": Forbidden,
        "not-found": NotFound,
        "conflict": Conflict,
        "duplicate-key": DuplicateKey,
        "too-many-requests": TooManyRequests,
        "unavailable": StoreUnavailable,
    }
    if reason in kinds:
        return kinds[reason](detail)
    return CommandFailed(f"the server answered {status}: {detail}", request_id=problem.get("request_id"))


def _part(text: str) -> str:
    return quote(text, safe="")


def _page(part: Slice) -> dict[str, Any]:
    return {"limit": part.limit, "cursor": part.cursor}
