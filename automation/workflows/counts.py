"""A condition that counts events is read as a trigger: what it has counted outlives the process, and is explained."""

from __future__ import annotations

from automation.conditions import compile_measured
from automation.conditions.counting import Counting, counting
from automation.errors import ConditionError, Problem
from automation.model.metric import KEPT_SECONDS, UNITS
from automation.model.trigger import CountTrigger
from automation.model.workflow import WorkflowDefinition


def as_triggers(definition: WorkflowDefinition, path: str) -> tuple[WorkflowDefinition, list[Problem]]:
    """The definition with a trigger of type `count` in the place of such a condition, and what is wrong with that.

    Only where it has no triggers: with them, conditions are about the events that they name. Where something is wrong,
    the definition has no conditions left: all that is wrong with them has been said.
    """
    if definition.triggers or not any("count" in text.lower() for text in definition.conditions):
        return definition, []
    counted: Counting | None = None
    others: list[str] = []
    problems: list[Problem] = []
    for index, text in enumerate(definition.conditions):
        place = f"{path}.conditions[{index}]" if path else f"conditions[{index}]"
        try:
            found = counting(text)
            if found is None:
                compile_measured(text, units=UNITS, kept=KEPT_SECONDS)
                others.append(text)
            elif counted is not None:
                problems.append(Problem(place, "another condition counts events already"))
            counted = counted or found
        except ConditionError as error:
            problems.append(Problem(place, error.message))
    if problems:
        return definition.model_copy(update={"conditions": ()}), problems
    if counted is None:
        return definition, []
    trigger = CountTrigger(
        event=counted.event_type, condition=counted.condition, count=counted.count, within=counted.within
    )
    return definition.model_copy(update={"triggers": (trigger,), "conditions": tuple(others)}), []
