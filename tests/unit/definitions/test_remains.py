"""All that is wrong with a definition is told at once, also where a part of it cannot be read."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation import AutomationConfig, AutomationEngine
from automation.definitions import Definitions, read_text
from automation.errors import Problem

HEAD = "workflows:\n  - name: w\n"


def told(text: str, check: Any, file: str = "x.yaml") -> list[tuple[int | None, str]]:
    return [(problem.line, problem.path) for problem in read_text(text, file, check=check)[1]]


@pytest.fixture
def check(tmp_path: Path) -> Any:
    return AutomationEngine(AutomationConfig(database_url=f"sqlite:///{tmp_path}/x.db")).catalogue.check


def test_names_and_the_graph_are_looked_at_beside_typos_and_wrong_types(check: Any) -> None:
    text = HEAD + (
        "    discription: what\n"
        "    inputs: {host: {type: string}}\n"
        "    actions:\n"
        "      - {name: a, action_type: no.such, timeout_seconds: soon, parameters: {x: '${hots}'}}\n"
        "      - {name: b, action_type: flow.set, retry_atempts: 3, depends_on: [ab], parameters: {values: {}, c: 1}}\n"
        "      - {name: d, action_type: flow.wait, depends_on: [e], parameters: {seconds: 1}}\n"
        "      - {name: e, action_type: flow.wait, depends_on: [d], parameters: {seconds: 1}}\n"
    )
    assert sorted(told(text, check)) == [
        (3, "workflows[0].discription"),
        (5, "workflows[0].actions"),
        (6, "workflows[0].actions[0].action_type"),
        (6, "workflows[0].actions[0].parameters"),
        (6, "workflows[0].actions[0].timeout_seconds"),
        (7, "workflows[0].actions[1].depends_on[0]"),
        (7, "workflows[0].actions[1].parameters.c"),
        (7, "workflows[0].actions[1].retry_atempts"),
    ]


@pytest.mark.parametrize(
    ("action", "path"),
    [
        # `item` would seem to be unknown without it.
        ("{name: a, action_type: flow.set, for_each: 5, parameters: {values: '${item}'}}", "for_each"),
        ("{name: a, action_type: flow.set, for_eech: [1], parameters: {values: {x: '${item}'}}}", "for_eech"),
        # What it would wait for is said to be missing only where nothing is said.
        ("{name: a, action_type: flow.wait_for, wait_for: soon}", "wait_for"),
        # A value that is not valid is not looked at a second time.
        ("{name: a, action_type: flow.wait, delay: [1], parameters: {seconds: 1}}", "delay"),
        ("{name: a, action_type: flow.wait, parameters: {seconds: 1}, approval: {expires: []}}", "approval.expires"),
        # A part that lacks something is taken out as a whole.
        ("{name: a, action_type: flow.wait, parameters: {seconds: 1}, rollback: {}}", "rollback.action_type"),
        ("{name: a, action_type: flow.wait, parameters: {seconds: .inf}}", "parameters.seconds"),
    ],
)
def test_what_is_wrong_is_not_told_again_as_what_comes_of_it(check: Any, action: str, path: str) -> None:
    text = f"{HEAD}    inputs: {{}}\n    actions:\n      - {action}\n"
    assert told(text, check) == [(5, f"workflows[0].actions[0].{path}")]


def test_what_names_a_broken_definition_is_not_blamed(check: Any) -> None:
    text = HEAD + (
        "    labelz: {}\n"
        "    actions: [{name: a, action_type: flow.wait, parameters: {seconds: 1}}]\n"
        "schedules: [{name: s, cron: '0 2 * * *', workflow: w}]\n"
    )
    assert told(text, check) == [(3, "workflows[0].labelz")]


def test_a_name_is_taken_by_a_broken_definition_too() -> None:
    one = {"name": "w", "actions": [{"name": "a", "action_type": "flow.wait", "parameters": {"seconds": 1}}]}
    text = json.dumps({"workflows": [{**one, "labelz": {}}, one]})
    assert told(text, None, "x.json") == [(1, "workflows[0].labelz"), (1, "workflows[1].name")]


def test_what_is_left_of_a_definition_is_never_used() -> None:
    seen: list[Definitions] = []

    def check(definitions: Definitions) -> list[Problem]:
        seen.append(definitions)
        return [Problem("workflows[0].timeout_seconds", "is doubtful", severity="warning")]

    text = HEAD + "    labelz: {}\n    actions: [{name: a, action_type: flow.wait}]\n"
    definitions, problems = read_text(text, "x.yaml", check=check)

    assert [workflow.name for workflow in seen[0].workflows] == ["w"]
    assert definitions.workflows == ()
    # What is doubtful may be so only without what was taken out.
    assert [problem.path for problem in problems] == ["workflows[0].labelz"]


STEPS: list[dict[str, Any]] = [
    {"name": "set", "action_type": "flow.set", "parameters": {"values": {"m": "${n}"}}},
    {"name": "beside", "action_type": "flow.wait", "depends_on": ["set"], "delay": "30s", "parameters": {"seconds": 1}},
    {"name": "joined", "action_type": "flow.wait", "depends_on": ["set", "beside"], "join": "any", "parameters": {}},
    {"name": "each", "action_type": "shell.run", "for_each": {"items": "${hosts}"}, "parameters": {"command": ["a"]}},
    {"name": "child", "action_type": "flow.workflow", "parameters": {"workflow": "other"}},
    {"name": "event", "wait_for": {"event": "done", "condition": "event.data.n == ${n}", "timeout": "1h"}},
    {"name": "loop", "action_type": "flow.set", "parameters": {"values": {}}, "repeat": {"until": "i > 3", "max": 5}},
    {"name": "care", "action_type": "flow.wait", "verify": "cpu < 70 within 5m", "retry": {"on": ["TryLater"]}},
]
FILE: dict[str, Any] = {
    "workflows": [
        {
            "name": "all",
            "inputs": {"hosts": {"type": "list", "default": ["a"]}, "n": {"type": "integer"}},
            "triggers": [
                {"type": "event", "event": "x", "condition": "n > 1"},
                {"type": "schedule", "cron": "0 2 * * *"},
            ],
            "concurrency": {"key": "${n}"},
            "rollback_strategy": {"triggers": ["action_failure", "n > 5"]},
            "approval": {"quorum": 2, "expires": "1h"},
            "guardrails": {"workflow_rate": {"limit": 5}},
            "actions": STEPS,
        }
    ],
    "alerts": [{"name": "hot", "condition": "cpu > 80", "actions": [{"type": "flow.wait"}]}],
    "services": [{"name": "api", "settings": {"command": ["sleep", "1"]}}],
    "sources": [{"name": "log", "type": "file", "settings": {"path": "x"}}],
}
JUNK = (
    None,
    True,
    0,
    -1,
    1e300,
    10**20,
    "",
    "x",
    "${x}",
    "${",
    "any",
    "5m",
    [],
    {},
    [1],
    {"a": 1},
    [None],
    "flow.wait",
)
KEYS = (
    "nmae",
    "for_eech",
    "for_each",
    "type",
    "join",
    "depends_on",
    "wait_for",
    "repeat",
    "inputs",
    "rollback",
    "retry",
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each mapping or list in it, with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


@given(st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=250, deadline=None, derandomize=True)
def test_whatever_is_wrong_is_told_and_nothing_breaks(dice: random.Random, changes: int) -> None:
    engine = AutomationEngine(AutomationConfig(database_url="sqlite:///:memory:"))
    file = json.loads(json.dumps(FILE))
    for _ in range(changes):
        holder, key = dice.choice(list(places(file)))
        match dice.randrange(4):
            case 0:
                holder[key] = copy.deepcopy(dice.choice(JUNK))
            case 1:
                del holder[key]
            case 2 if isinstance(holder, dict):
                holder[dice.choice(KEYS)] = copy.deepcopy(dice.choice(JUNK))
            case _:
                junk = copy.deepcopy(dice.choice(JUNK))
                holder.append(junk) if isinstance(holder, list) else holder.update({f"{key}x": 1})

    _, problems = read_text(json.dumps(file), "x.json", check=engine.catalogue.check)

    assert all(problem.file == "x.json" for problem in problems if problem.severity == "error")
    # Nothing is told twice, as what is wrong and as what comes of it.
    assert len({(problem.path, problem.message) for problem in problems}) == len(problems)
