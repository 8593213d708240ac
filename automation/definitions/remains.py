"""What is left of a definition when what cannot be read is taken out of it.

It is checked all the same, and never used: so that whoever wrote it is told all that is wrong at once.
"""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from automation.definitions.complaints import errors_of, known_keys, own_parts, text_of
from automation.definitions.tree import begins, join
from automation.errors import Problem
from automation.model.base import Definition

_NAMING = ("name", "type", "actions", "for_each", "depends_on", "inputs", "repeat", "wait_for", "triggers")
"""Keys on which names elsewhere depend: without them, much else would seem to be wrong."""

Parts = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Remains:
    """A definition without some of its parts, and where those were."""

    definition: Definition
    without: tuple[str, ...]

    def owns(self, problem: Problem, base: str = "") -> bool:
        """Whether it is an error that does not come of what was taken out; a doubt may come of that."""
        taken_out = any(begins(problem.path, join(base, place)) for place in self.without)
        return problem.severity == "error" and not taken_out


def remains_of(model: type[Definition], value: dict[str, Any], error: ValidationError) -> Remains | None:
    """What is left of a value that `model` refuses, or None where too much depends on what is wrong."""
    places: dict[Parts, None] = {}
    for item in errors_of(error):
        parts = own_parts(item["loc"], value)
        # What lacks something is taken out as a whole.
        parts = parts[:-1] if item["type"] == "missing" else parts
        key = parts[-1] if parts else 0
        if isinstance(key, int):
            return None
        meant = [key]
        if item["type"] == "extra_forbidden":
            meant = difflib.get_close_matches(key, known_keys(model, parts[:-1], value), n=1)
        if any(name in _NAMING for name in meant):
            return None
        places[parts] = None
    left = copy.deepcopy(value)
    for place in places:
        holder: Any = left
        for part in place[:-1]:
            holder = holder.get(part) if isinstance(holder, dict) else holder[part]
            if holder is None:
                break  # what it is part of is gone already
        if holder is not None:
            holder.pop(place[-1], None)
    try:
        return Remains(model.model_validate(left), tuple(text_of(place) for place in places))
    except ValidationError:
        return None
