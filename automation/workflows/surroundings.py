"""What the room works with, and what holds where definitions do not say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

from automation.actions.context import Resources
from automation.actions.executor import Executor
from automation.clock import Clock
from automation.config import AutomationConfig
from automation.model.workflow import AutomationLevel, RetryBudget
from automation.store.store import Store
from automation.telemetry.changes import Changes
from automation.telemetry.metrics import Metrics
from automation.workflows.consent import Consent
from automation.workflows.gate import Gate
from automation.workflows.guards import Guards
from automation.workflows.verification import Samples
from automation.workflows.waits import Waits


class Redacts(Protocol):
    """Hides secrets."""

    def __bool__(self) -> bool:
        """Whether any secret was handed out."""
        ...

    def redact(self, text: str) -> str:
        """The text with secrets replaced."""
        ...

    def redact_value(self, value: Any) -> Any:
        """A copy of a JSON-like value with secrets replaced."""
        ...


class SecretSource(Protocol):
    """Where `${secret:NAME}` comes from."""

    def get(self, name: str) -> str:
        """The secret; raises NotFound."""
        ...

    @property
    def redactor(self) -> Redacts:
        """Hides all secrets that were handed out."""
        ...


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a definition does not say."""

    level: AutomationLevel
    retry_attempts: int
    timeout_seconds: float
    verify_within_seconds: float
    retry_budget: RetryBudget | None

    @classmethod
    def of(cls, config: AutomationConfig) -> Self:
        """As configured."""
        return cls(
            config.level,
            config.retry_attempts,
            config.timeout_seconds,
            config.verify_within_seconds,
            config.performance.retry_budget,
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a runner works with."""

    store: Store
    executor: Executor
    clock: Clock
    metrics: Metrics
    changes: Changes
    resources: Resources
    secrets: SecretSource
    samples: Samples
    guards: Guards
    gate: Gate
    waits: Waits
    consent: Consent
