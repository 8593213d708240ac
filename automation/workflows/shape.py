"""What a definition says of when and how often an action is run, in words: for dry runs and drawings."""

from __future__ import annotations

from automation.model.workflow import ActionDefinition


def shape_of(action: ActionDefinition) -> tuple[str, ...]:
    """Each thing that makes it more than an action that runs once in its turn, as a few words."""
    found: list[str] = []
    if action.join != "all":
        found.append(f"after {joined(action)}")
    return tuple(found)


def joined(action: ActionDefinition) -> str:
    """What its join waits for: `any of a, b` or `2 of a, b, c`."""
    return f"{action.join} of {', '.join(action.depends_on or ('the action before it',))}"
