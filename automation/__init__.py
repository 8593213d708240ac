"""Operations automation: events and metrics in, durable workflows out.

The public names are loaded when they are first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from automation.actions.context import ActionContext, Suspend
    from automation.clock import VirtualClock
    from automation.config import AutomationConfig
    from automation.engine import AutomationEngine
    from automation.errors import (
        ActionError,
        AutomationError,
        ConditionError,
        ConfigurationError,
        DefinitionError,
        InputError,
        NotFound,
        Refused,
        TryLater,
    )
    from automation.model.alert import AlertRule, AlertSeverity
    from automation.model.event import Event
    from automation.model.execution import ExecutionContext, ExecutionResult, WorkflowStatus
    from automation.model.service import ServiceDefinition
    from automation.model.workflow import ActionDefinition, AutomationLevel, Priority, WorkflowDefinition
    from automation.plugins import action, channel, collector, platform, source, undo

_HOMES = {
    "automation.actions.context": ("ActionContext", "Suspend"),
    "automation.clock": ("VirtualClock",),
    "automation.config": ("AutomationConfig",),
    "automation.engine": ("AutomationEngine",),
    "automation.errors": (
        "ActionError",
        "AutomationError",
        "ConditionError",
        "ConfigurationError",
        "DefinitionError",
        "InputError",
        "NotFound",
        "Refused",
        "TryLater",
    ),
    "automation.model.alert": ("AlertRule", "AlertSeverity"),
    "automation.model.event": ("Event",),
    "automation.model.execution": ("ExecutionContext", "ExecutionResult", "WorkflowStatus"),
    "automation.model.service": ("ServiceDefinition",),
    "automation.model.workflow": ("ActionDefinition", "AutomationLevel", "Priority", "WorkflowDefinition"),
    "automation.plugins": ("action", "channel", "collector", "platform", "source", "undo"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - in the order in which one meets them
    "AutomationEngine",
    "AutomationConfig",
    "AutomationLevel",
    "WorkflowDefinition",
    "ActionDefinition",
    "ExecutionContext",
    "ExecutionResult",
    "WorkflowStatus",
    "Priority",
    "Event",
    "AlertRule",
    "AlertSeverity",
    "ServiceDefinition",
    "ActionContext",
    "Suspend",
    "VirtualClock",
    "action",
    "undo",
    "source",
    "channel",
    "collector",
    "platform",
    "AutomationError",
    "ActionError",
    "ConditionError",
    "ConfigurationError",
    "DefinitionError",
    "InputError",
    "NotFound",
    "Refused",
    "TryLater",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'automation' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
