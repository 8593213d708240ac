"""Workflows and their actions, as users define them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from automation.model.approval import ApprovalPolicy
from automation.model.base import Definition, Name
from automation.model.guardrail import WorkflowGuardrails
from automation.model.trigger import Duration, Trigger


class AutomationLevel(Enum):
    """How much the engine does without asking."""

    MANUAL = "manual"
    ASSISTED = "assisted"
    INTELLIGENT = "intelligent"
    AUTONOMOUS = "autonomous"


class Priority(IntEnum):
    """Which execution goes first when both cannot run; a higher value goes first."""

    LOW = 1
    NORMAL = 2
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


def _priority(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return Priority[value.upper()]
        except KeyError:
            raise ValueError(f"priority is one of {', '.join(Priority.__members__).lower()}, not {value!r}") from None
    return value


PriorityField = Annotated[
    Priority,
    BeforeValidator(_priority),
    PlainSerializer(lambda value: value.name.lower(), return_type=str),
    WithJsonSchema({"title": "Priority", "type": "string", "enum": [name.lower() for name in Priority.__members__]}),
]


class RetryPolicy(Definition):
    """When a failed attempt is tried again: exponential back-off with full jitter.

    The waits follow "Exponential Backoff And Jitter" (M. Brooker, AWS Architecture Blog, 2015).
    """

    attempts: Annotated[int, Field(ge=1, le=100)] | None = None
    """How often it is tried in all; by default `retry_attempts` of the action, else of the configuration."""
    initial_seconds: Annotated[float, Field(gt=0, le=3600)] = 0.5
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    max_seconds: Annotated[float, Field(gt=0, le=86400)] = 60.0
    jitter: bool = True
    on: tuple[str, ...] = ()
    """Names of the error types that are retried, whatever they say; by default all that say they are retryable."""


class RetryBudget(Definition):
    """How many retries there may be, so that what is broken is not run into over and over by everybody at once."""

    share: Annotated[float, Field(ge=0, le=100)] = 0.2
    """How many retries for each first attempt within the window: `0.2` is one for five."""
    least_per_second: Annotated[float, Field(ge=0, le=1_000_000)] = 1.0
    """How many retries a second there may be beside, however few attempts there are."""
    window_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """Over how many seconds it is counted."""


class UndoDefinition(Definition):
    """What takes an action back, where the operation's own undo is missing or not what is wanted."""

    action_type: Name
    """The full name of an operation, such as `http.request`."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Its parameters; `${<key>}` is what the action itself, or this item of it, has returned, and
    `${actions.<name>.<key>}` what any has."""
    timeout_seconds: Annotated[float, Field(gt=0)] | None = None


class RollbackStrategy(Definition):
    """When the completed actions of a workflow are undone, in reverse order."""

    enabled: bool = True
    triggers: tuple[str, ...] = ("action_failure", "timeout", "cancelled")
    """`action_failure`, `<family>_failure` such as `deployment_failure`, `timeout`, `cancelled`, or a condition."""
    max_rollback_time: Annotated[float, Field(gt=0)] = 300.0
    """Seconds for all undos together."""


def _for_each(value: Any) -> Any:
    return {"items": value} if isinstance(value, str | list | tuple) else value


class ForEach(Definition):
    """Runs an action once for each item of a list; `item` and `index` are names of its parameters' expressions."""

    items: str | tuple[Any, ...]
    """The list, or an expression for it such as `${hosts}`."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 10
    """How many items at the same time, at most."""


class Repeat(Definition):
    """Runs an action again until a condition is true; `iteration`, from 1, is a name of its expressions."""

    until: Annotated[str, Field(min_length=1)]
    """Over what it returned last, by key, and the usual names."""
    max: Annotated[int, Field(ge=1, le=10_000)]
    """How often it is run, at most."""
    delay: Duration | None = None
    """How long to wait before it is run again."""
    on_exhausted: Literal["fail", "continue"] = "fail"
    """What becomes of the action when it was run so often in vain: it fails, with RepeatExhausted, or has succeeded."""


class WaitFor(Definition):
    """The event that an action waits for. What it carries as data becomes the outputs of the action."""

    event: Annotated[str, Field(min_length=1, max_length=200)]
    """Its type."""
    condition: str | None = None
    """Which one of this type: `event.data.order == ${order}`. `event` is the arriving event."""
    timeout: Duration | None = None
    """How long it is waited for; by default without end."""
    on_timeout: Literal["fail", "continue"] = "fail"
    """Whether the action then fails, with ActionTimeout, or has ended with the output `timed_out`."""


WAIT_FOR = "flow.wait_for"
"""The operation of an action that waits for an event."""


def _waiting(value: Any) -> Any:
    """An action that waits for an event does nothing else, so it need not say what it does."""
    if isinstance(value, Mapping) and value.get("wait_for") is not None and "action_type" not in value:
        return {**value, "action_type": WAIT_FOR}
    return value


class ActionDefinition(Definition):
    """One step of a workflow: an operation, its parameters, and how it is run."""

    _complete = model_validator(mode="before")(_waiting)

    name: Name
    action_type: Name
    """The operation's family (`infrastructure`; the operation is then `infrastructure.<name>`) or its full name."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Its parameters; `${...}` in any text is an expression over inputs, outputs and the event."""
    timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    """The limit for one attempt; by default that of the configuration."""
    heartbeat_timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    """How long an attempt may be silent: without a heartbeat for so long it fails with HeartbeatTimeout."""
    retry_attempts: Annotated[int, Field(ge=1, le=100)] | None = None
    """How often it is tried in all; by default that of the configuration."""
    retry: RetryPolicy | None = None
    conditions: tuple[str, ...] = ()
    """All must hold, else the action is skipped; what depends on it still runs."""
    depends_on: tuple[str, ...] | None = None
    """Actions that must have ended first; by default the one before it in the list."""
    join: Literal["all", "any"] | Annotated[int, Field(ge=1)] = "all"
    """`all`: begins when all of `depends_on` have ended; `any` or a number: when so many of them have *succeeded*."""
    delay: Duration | None = None
    """How long it is held back once it could begin: seconds, `30s`, `1h30m`, or `${...}`."""
    on_failure: Literal["fail", "continue"] = "fail"
    """Whether its failure fails the workflow."""
    always: bool = False
    """Run even when an action before it has failed or the workflow is cancelled: cleanup."""
    on_guardrail: Literal["fail", "skip", "wait"] = "fail"
    """What becomes of it when a guardrail holds it back; `wait` tries again when the guardrail says it may."""
    effect: Literal["read", "standard", "critical"] | None = None
    """Raises what the operation does to the world, so that more people are asked; it cannot be lowered."""
    on_interrupt: Literal["retry", "fail", "ask"] | None = None
    """When the engine died while it ran: by default retry if it is idempotent, ask if it is critical, else fail."""
    repeat: Repeat | None = None
    """Run it again until a condition is true."""
    wait_for: WaitFor | None = None
    """An event to wait for; such an action needs no `action_type`."""
    for_each: Annotated[ForEach, BeforeValidator(_for_each)] | None = None
    """Run it once for each item of a list."""
    verify: Annotated[str, Field(min_length=1)] | None = None
    """What must be true once its work is done, else it fails: `cpu_usage < 70 within 5m for 1m`."""
    rollback: UndoDefinition | None = None
    """What undoes it; by default the operation's own undo."""
    approval: ApprovalPolicy | None = None
    """How people are asked before it runs, where they are."""
    description: str = ""


class InputDefinition(Definition):
    """One declared input of a workflow."""

    type: Literal["string", "number", "integer", "boolean", "list", "mapping", "any"] = "any"
    default: Any = None
    required: bool = False
    description: str = ""


class Concurrency(Definition):
    """How many executions of a workflow run at the same time, of those with the same key."""

    key: Annotated[str, Field(max_length=1000)] = ""
    """What belongs together, such as `${event.subject}`; by default, all executions of the workflow."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many of them run at the same time, at most."""
    on_conflict: Literal["queue", "skip", "replace"] = "queue"
    """What becomes of one too many: it waits for its turn, does not start, or has the oldest cancelled for it."""


class WorkflowDefinition(Definition):
    """What to do, step by step, and what starts it."""

    name: Name
    description: str = ""
    actions: Annotated[tuple[ActionDefinition, ...], Field(min_length=1, max_length=1000)]
    conditions: tuple[str, ...] = ()
    """All must hold for it to start. Without triggers, any event that makes them true starts it."""
    triggers: tuple[Trigger, ...] = ()
    inputs: dict[str, InputDefinition] | None = None
    """Declared inputs; when given, an undeclared name in an expression is refused at registration."""
    priority: PriorityField = Priority.NORMAL
    rollback_strategy: RollbackStrategy | None = None
    """When what was done is undone; never by default."""
    timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    """The limit for a whole execution; none by default."""
    enabled: bool = True
    """Whether triggers start it; a person still can."""
    level: AutomationLevel | None = None
    """How much of it is done without asking; of this and the configured level, the stricter one holds."""
    approval: ApprovalPolicy | None = None
    """How people are asked about a proposed execution, and about its actions where those do not say."""
    concurrency: Concurrency | None = None
    """How many executions run at the same time; by default any number."""
    retry_budget: RetryBudget | None = None
    """How many retries its actions may have in all its executions together; by default only each action has a limit."""
    guardrails: WorkflowGuardrails | None = None
    """Limits and freeze windows for its actions, beside those of the configuration."""
    labels: dict[str, str] = Field(default_factory=dict)
