"""What starts a workflow instead of a rule."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from automation.conditions import compile_condition
from automation.definitions.rulebook.conditions import (
    Condition,
    NoEquivalent,
    Scope,
    conjunction,
    conjuncts,
    paths,
    read,
    text_of,
    translated,
    with_steps,
)
from automation.definitions.rulebook.layout import DATA, Layout
from automation.definitions.rulebook.model import Rule, Several, Throttle
from automation.definitions.rulebook.syntax import Binary, Expression, Path, Value

MOST_PARTS = 10
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
Note = Callable[[str, str], None]
"""Told the path within the rule, and what came out otherwise."""


def triggers(rule: Rule, scope: Scope, timeless: str, note: Note) -> tuple[list[dict[str, Any]], Scope]:
    """The triggers for a rule, and what names in its actions mean.

    `timeless` is how long events wait for others where the rule does not say. Raises NoEquivalent.
    """
    given = rule.condition
    if isinstance(given, Several) and (given.kind == "not_all" or len(given.conditions) > 1):
        if rule.throttle is not None:
            note("throttle", "the throttle is left out: with several conditions ansible-rulebook takes none")
        if given.kind != "any":
            return _pattern(given, scope, timeless, note)
        return _single([read(str(each)) for each in given.conditions], rule, scope, note), scope
    only = given.conditions[0] if isinstance(given, Several) and given.conditions else given
    if isinstance(only, Several):
        raise NoEquivalent("the list of conditions is empty")
    return _single([read(str(only))], rule, scope, note), scope


def _single(found: list[Condition], rule: Rule, scope: Scope, note: Note) -> list[dict[str, Any]]:
    tree = found[0].tree
    for each in found[1:]:
        tree = Binary("or", tree, each.tree)
    _mention(found, note)
    settings: dict[str, Any] = {}
    if tree != Value(True):
        settings["condition"] = translated(tree, scope)
    if rule.throttle is not None and len(found) == 1:
        settings |= _throttle(rule.throttle, scope, note)
    types = _possible(settings.get("condition"), scope.layout)
    return [{"type": "event", "event": each, **settings} for each in types]


def _possible(condition: str | None, layout: Layout) -> tuple[str, ...]:
    """The types of events that can fulfil it: of alerts, their status says which."""
    if not layout.alerts or condition is None:
        return layout.types
    wanted = compile_condition(condition).needed_values.get((*DATA, "status"))
    found = layout.types if wanted is None else tuple(each for each in layout.types if each.split(".")[1] in wanted)
    return found or layout.types


def _mention(found: list[Condition], note: Note) -> None:
    if any(each.mixed for each in found):
        note("condition", "`and` and `or` are read from left to right there: the parentheses here keep that")


def _throttle(given: Throttle, scope: Scope, note: Note) -> dict[str, Any]:
    keys = [_attribute(text, scope) for text in given.group_by_attributes]
    # A list is a key for an event without the attribute as well; the attribute alone would be none.
    keyed = {"key": f"[{', '.join(keys)}]"} if keys else {}
    if given.once_within is not None:
        return {"throttle": {"once_within": given.once_within, **keyed}}
    if given.once_after is not None:
        note("throttle.group_by_attributes", "at its end, event.data.gathered has count, first and last of all events")
        return {"throttle": {"once_after": given.once_after}}
    if given.threshold is None or given.threshold < 2:
        return {}
    return {"throttle": {"accumulate": {"count": given.threshold, "within": given.accumulate_within}, **keyed}}


def _attribute(text: str, scope: Scope) -> str:
    found = read(text).tree
    if not isinstance(found, Path) or found.root != "event":
        raise NoEquivalent(f"group_by_attributes takes paths such as event.host, not {text!r}")
    return text_of(found, scope)


def _pattern(given: Several, scope: Scope, timeless: str, note: Note) -> tuple[list[dict[str, Any]], Scope]:
    found = [read(str(each)) for each in given.conditions]
    if len(found) < 2:
        raise NoEquivalent("not_all with one condition never holds: write a trigger of type absence")
    if len(found) > MOST_PARTS:
        raise NoEquivalent(f"it has {len(found)} conditions; at most {MOST_PARTS} events belong together here")
    _mention(found, note)
    if len(scope.layout.types) > 1:
        note("condition", f"only events of type {scope.layout.types[0]} are taken for several conditions")
    names = [each.alias or f"m_{index}" for index, each in enumerate(found)]
    if len(set(names)) < len(names) or not all(_NAME.fullmatch(name) for name in names):
        raise NoEquivalent(f"each event needs a name of its own, of letters, digits and _: {', '.join(names)}")
    scope = with_steps(scope, frozenset(names))
    within = given.timeout or timeless
    plain = [_alone(each) for each in found]
    settings: dict[str, Any] = {"type": given.kind}
    if not all(plain):
        key, rest = _common_key(found, names)
        if key is not None:
            settings["key"] = text_of(key, scope)
            found = rest
        elif given.kind == "all":
            settings["type"] = "sequence"
            note("condition", "the events have to come in the order of the conditions: one is compared with another")
        else:
            raise NoEquivalent("in not_all, no condition can compare its event with another")
    settings["events"] = _parts(found, names, scope, ordered=settings["type"] == "sequence")
    settings["within"] = within
    return [settings], scope


def _parts(found: list[Condition], names: list[str], scope: Scope, *, ordered: bool) -> list[dict[str, Any]]:
    parts = []
    for index, (each, name) in enumerate(zip(found, names, strict=True)):
        part: dict[str, Any] = {"event": scope.layout.types[0], "name": name}
        if each.tree != Value(True):
            earlier = frozenset(names[:index]) if ordered else frozenset()
            part["condition"] = translated(each.tree, with_steps(scope, earlier))
        parts.append(part)
    return parts


def _alone(condition: Condition) -> bool:
    return all(path.root != "events" for path in paths(condition.tree))


def _common_key(found: list[Condition], names: list[str]) -> tuple[Path | None, list[Condition]]:
    """What all events have to have in common, if that is all for which one is compared with another."""
    key: Path | None = None
    rest = [found[0]]
    if not _alone(found[0]):
        return None, found
    for condition in found[1:]:
        others: list[Expression] = []
        joined = False
        for part in conjuncts(condition.tree):
            path = _same_of_another(part, names)
            if path is None or (key is not None and path != key):
                others.append(part)
            else:
                key, joined = path, True
        remaining = replace(condition, tree=conjunction(others) or Value(True))
        if not joined or not _alone(remaining):
            return None, found
        rest.append(remaining)
    return key, rest


def _same_of_another(part: Expression, names: list[str]) -> Path | None:
    """The path in `event.path == events.name.path`."""
    match part:
        case Binary("==", Path("event") as own, Path("events") as other):
            pass
        case Binary("==", Path("events") as other, Path("event") as own):
            pass
        case _:
            return None
    if other.parts[:1] and other.parts[0] in names and other.parts[1:] == own.parts:
        return own
    return None
