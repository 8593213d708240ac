"""What is true of every execution, at every moment, whatever has died: its row and its journal tell one story."""

from __future__ import annotations

from collections.abc import Sequence

from automation.errors import DefinitionError
from automation.model.execution import Execution, JournalEntry
from automation.store.store import decode
from automation.workflows.state import State, fold


def faults(execution: Execution, definition: str, entries: Sequence[JournalEntry]) -> list[str]:
    """What is not true of an execution and its journal, each in a sentence; empty when all is well."""
    found = _order(entries)
    if found:
        # Folding what has gaps would tell of faults that only follow from these.
        return found
    try:
        names = [action["name"] for action in decode(definition)["actions"]]
        state = fold(names, entries)
    except (KeyError, TypeError, ValueError, DefinitionError) as error:
        return [f"its journal cannot be folded: {type(error).__name__}: {error}"]
    return _ending(execution, state, entries) + _summary(execution, state)


def _order(entries: Sequence[JournalEntry]) -> list[str]:
    if not entries:
        return ["it has no journal"]
    found = []
    numbers = [entry.seq for entry in entries]
    if numbers != list(range(1, len(numbers) + 1)):
        wrong = next(place for place, number in enumerate(numbers, 1) if number != place)
        found.append(f"its journal has entry {numbers[wrong - 1]} where entry {wrong} has to be")
    starts = sum(entry.kind == "started" for entry in entries)
    if starts != 1 or entries[0].kind != "started":
        found.append(f"its journal must begin with the one entry 'started'; it has {starts} of them")
    return found


def _ending(execution: Execution, state: State, entries: Sequence[JournalEntry]) -> list[str]:
    found = []
    ended = state.status.finished
    if ended and entries[-1].kind != "finished":
        found.append(f"its journal goes on after it has finished, with {entries[-1].kind!r}")
    row = execution.finished_at is not None
    if row != execution.status.finished:
        found.append(f"its row has the status {execution.status.value} and {'an' if row else 'no'} end")
    elif ended and not row:
        found.append("its journal says that it has finished, its row does not")
    elif row and not ended:
        found.append("its row says that it has finished, its journal does not")
    return found


def _summary(execution: Execution, state: State) -> list[str]:
    if not (state.status.finished and execution.status.finished):
        return []
    pairs = {
        "status": (execution.status.value, state.status.value),
        "end": (execution.finished_at, state.finished_at),
        "error": (execution.error or None, state.error or None),
    }
    if execution.started_at is not None:
        pairs["start"] = (execution.started_at, state.started_at)
    return [
        f"its {name} is {row!r} in its row and {told!r} in its journal"
        for name, (row, told) in pairs.items()
        if row != told
    ]
