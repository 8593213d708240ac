from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from automation.definitions import Definitions, read_files, read_text, tree
from automation.definitions.json_tree import read_json
from automation.definitions.tree import find, plain
from automation.definitions.yaml_tree import read_yaml
from automation.errors import Problem

TEXT = """\
workflows:
  - name: one          # line 2
    actions:
      - name: a
        action_type: flow.wait
        parameters:
          url: x
          deep: {list: [1,
            2]}
  - name: one.actions
    actions: [{name: a, action_type: flow.wait}]
    labels:
      a.b: x
      "c[0]": y
services:
  - name: api
"""


@pytest.fixture
def definitions() -> Definitions:
    return read_text(TEXT, "x.yaml")[0]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("workflows[0]", 2),
        ("workflows[0].name", 2),
        ("workflows[0].actions", 3),
        ("workflows[0].actions[0]", 4),
        ("workflows[0].actions[0].parameters.url", 7),
        ("workflows[0].actions[0].parameters.deep.list", 8),
        ("workflows[0].actions[0].parameters.deep.list[1]", 9),
        ("workflows[0].actions[0].timeout_seconds", 4),
        ("workflows[0].actions[7].name", 3),
        ("workflows[0].actions[x]", 3),
        ("workflows[0].name.first", 2),
        ("workflows.one", 2),
        ("workflows.one.actions[0].parameters.url", 7),
        ("workflows.one.actions", 10),
        ("workflows.one.actions.actions[0]", 11),
        ("workflows.one.actions.labels.a.b", 13),
        ("workflows.one.actions.labels.c[0]", 14),
        ("services.api.replicas", 16),
        ("services[0]", 16),
    ],
)
def test_a_path_leads_to_its_line(definitions, path, line):
    located = definitions.locate(Problem(path, "is wrong", severity="warning"))

    assert located == Problem(path, "is wrong", file="x.yaml", line=line, severity="warning")


@pytest.mark.parametrize(
    "path",
    ["", "workflows", "workflows[9]", "workflows.two", "workflows[x]", "alerts.one", "nothing.one", "services.ap"],
)
def test_a_path_that_leads_nowhere_stays_as_it_is(definitions, path):
    assert definitions.locate(Problem(path, "is wrong")) == Problem(path, "is wrong")


def test_what_is_located_stays_as_it_is(definitions):
    problem = Problem("workflows[0]", "is wrong", file="other.yaml", line=7)

    assert definitions.locate(problem) is problem


def test_definitions_that_come_from_no_file_are_not_located():
    assert Definitions().locate(Problem("workflows[0]", "x")) == Problem("workflows[0]", "x")


def test_a_check_is_given_what_can_be_read_and_its_problems_are_located(tmp_path: Path):
    one, two = tmp_path / "1.yaml", tmp_path / "2.yaml"
    one.write_text("services:\n- name: b\n- name: a\n  platform: moon\n")
    two.write_text("services:\n- name: c\n  bad: 1\n- name: d\n  platform: mars\n")

    def check(definitions: Definitions) -> list[Problem]:
        return [
            Problem("general", "something else"),
            *(Problem(f"services[{i}].platform", "unknown") for i, one in enumerate(definitions.services)),
            Problem("services.a.platform", "by name"),
        ]

    _, problems = read_files([one, two], check=check)

    assert [str(problem).replace(f"{tmp_path}/", "") for problem in problems] == [
        "1.yaml:2: services[0].platform: unknown",
        "1.yaml:4: services[1].platform: unknown",
        "1.yaml:4: services.a.platform: by name",
        "2.yaml:2: services[0].platform: unknown",
        "2.yaml:3: services[0].bad: unknown key; known here: autostart, cpu, health, labels, max_replicas, "
        "min_replicas, name, platform, replicas, settings",
        "2.yaml:5: services[1].platform: unknown",
        "general: something else",
    ]


def test_an_alias_is_where_it_stands_and_its_content_where_it_was_written():
    text = "services:\n- &a\n  name: a\n  labels: &l\n    x: 1\n- *a\n- name: c\n  labels: *l\n- <<: *a\n  name: d\n"

    problems = [(problem.line, problem.path) for problem in read_text(text)[1]]

    # The name of an alias; the first definition, its two aliases, and the mapping that takes the key from elsewhere.
    assert problems == [
        (3, "services[1].name"),
        (5, "services[0].labels.x"),
        (5, "services[1].labels.x"),
        (5, "services[2].labels.x"),
        (5, "services[3].labels.x"),
    ]
    assert read_text("services:\n- &a {replicas: 1}\n\n- *a\n")[1][1].line == 4


def nested(leaf: Any, key: Any) -> Any:
    """Lists and mappings in which every key and every leaf is another text."""
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(lambda items: dict(enumerate(items)))
        ),
        max_leaves=20,
    ).map(lambda value: _named(value, count(), key))


def _named(value: Any, numbers: Any, key: Any) -> Any:
    if isinstance(value, list):
        return [_named(item, numbers, key) for item in value]
    if isinstance(value, dict):
        return {key(next(numbers)): _named(item, numbers, key) for item in value.values()}
    return f"v{next(numbers)}v"


def _places(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Each path, and a text that stands in its line."""
    found = []
    if isinstance(value, dict):
        for key, item in value.items():
            found += [(tree.join(path, key), key), *_places(item, tree.join(path, key))]
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, str):
                found.append((f"{path}[{index}]", item))
            found += _places(item, f"{path}[{index}]")
    return found


def _key(number: int) -> str:
    return f"k{number}k" + ("", ".x", "[0]", " y")[number % 4]


values = nested(st.none(), _key)


@given(values, st.sampled_from([True, False, None]), st.integers(2, 6))
def test_every_path_of_any_yaml_leads_to_its_line(value, flow, indent):
    text = yaml.safe_dump(value, default_flow_style=flow, indent=indent, sort_keys=False)
    (root,) = read_yaml(text)

    lines = text.splitlines()
    for path, word in _places(value):
        line, _, rest = find(root, path)
        assert (rest, word in lines[line - 1]) == ("", True), path


@given(values, st.sampled_from([None, 1, "\t"]))
def test_every_path_of_any_json_leads_to_its_line(value, indent):
    text = json.dumps(value, indent=indent)
    (root,) = read_json(text)

    lines = text.splitlines()
    for path, word in _places(value):
        line, _, rest = find(root, path)
        assert (rest, word in lines[line - 1]) == ("", True), path


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4))


@given(anything, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_json_is_read_as_the_standard_library_reads_it(value, indent, ascii_only):
    findings: list[tree.Finding] = []

    (root,) = read_json(json.dumps(value, indent=indent, ensure_ascii=ascii_only))

    assert plain(root, "", findings) == value
    assert findings == []


@given(anything, st.sampled_from([True, False, None]))
def test_yaml_is_read_as_it_was_written(value, flow):
    findings: list[tree.Finding] = []

    (root,) = read_yaml(yaml.safe_dump(value, default_flow_style=flow))

    assert plain(root, "", findings) == value
    assert findings == []


PIECES = """- |: |a|&a |*a |<<: |---|!!int |services|workflows:|name: |1.5|yes|!x |e9|%TAG |[|]|{|}|,|"|'|#|@|`|\\|~"""
pieces = [*PIECES.split("|"), "|", ">", "\n", "\n  ", "\t", "\ud800", "\x00", "\x85", "\u2028", "\ufeff"]
yaml_like = st.text() | st.lists(st.sampled_from(pieces), max_size=60).map("".join)


@given(yaml_like, st.sampled_from(["x.yaml", "x.json"]))
def test_no_text_whatever_makes_reading_fail(text, file):
    definitions, problems = read_text(text, file)

    assert isinstance(definitions, Definitions)
    assert all(problem.file == file and problem.line for problem in problems)


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_without_the_c_parser_the_same_is_read(loader, monkeypatch):
    monkeypatch.setattr("automation.definitions.yaml_tree._Loader", getattr(yaml, loader))
    text = "services:\n- &a {name: a, labels: {on: 'yes'}}\n- {<<: *a, name: b, cpu: !x 1}\n- name: c\n  cpu: [1\n"

    assert read_text(text)[1][0].line in (5, 6)
    definitions, (problem,) = read_text(text.partition("- name: c")[0])
    assert definitions.services[0].labels == {"on": "yes"}
    assert (problem.line, problem.path) == (3, "services[1].cpu")
