"""The public names: adding one is a decision, losing one breaks somebody."""

from __future__ import annotations

import ast

import pytest

import automation
from tests.architecture.source import PACKAGE, tree

PUBLIC = [
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


def test_the_public_names() -> None:
    assert automation.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(automation))


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(automation, name).__doc__


def test_type_checkers_see_the_same_names() -> None:
    [block] = [node for node in tree(PACKAGE / "__init__.py").body if isinstance(node, ast.If)]
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(PUBLIC)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Manager'"):
        _ = automation.Manager
