from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from automation.config_sources import DEFINITION_KEYS
from automation.definitions import (
    KINDS,
    Definitions,
    content_hash,
    definition_files,
    read_files,
    read_or_raise,
    read_text,
)
from automation.errors import ConfigurationError, DefinitionError, Problem

WORKFLOW = """\
workflows:
  - name: hello
    actions:
      - name: wait
        action_type: flow.wait
        parameters: {seconds: 1}
"""


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def said(text: str, file: str = "x.yaml") -> list[str]:
    """What is wrong with a text."""
    return [str(problem).removeprefix(f"{file}:") for problem in read_text(text, file)[1]]


def test_the_kinds_are_those_that_the_configuration_leaves_to_us():
    assert set(KINDS) == DEFINITION_KEYS
    assert set(KINDS) <= set(Definitions.__dataclass_fields__)


def test_every_kind_is_read(tmp_path):
    path = put(
        tmp_path,
        "all.yaml",
        WORKFLOW
        + """
alerts: [{name: hot, condition: cpu > 80 AND duration > 5m, severity: high}]
schedules: [{name: nightly, cron: 0 2 * * *, workflow: hello}]
services: [{name: api, replicas: 2, health: {path: /healthz}}]
sources: [{name: inbox, type: file, settings: {folder: in}}]
monitors: [{name: prom, type: prometheus_scrape, interval_seconds: 5}]
""",
    )

    definitions, problems = read_files([path])

    assert problems == []
    assert [definitions.workflows[0].actions[0].parameters] == [{"seconds": 1}]
    assert definitions.alerts[0].condition == "cpu > 80 AND duration > 5m"
    assert definitions.schedules[0].cron == "0 2 * * *"
    assert definitions.services[0].health.path == "/healthz"
    assert definitions.sources[0].settings == {"folder": "in"}
    assert definitions.monitors[0].interval_seconds == 5


def test_json_and_several_files_and_documents_are_put_together_in_order(tmp_path):
    one = put(tmp_path, "1.json", json.dumps({"services": [{"name": "a"}, {"name": "b"}]}, indent="\t"))
    two = put(tmp_path, "2.yml", "services:\n- name: c\n---\nservices:\n- name: d\n...\n")

    definitions = read_or_raise([one, two])

    assert [service.name for service in definitions.services] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "---\n---\n", "workflows:\n", "{}", "\ufeff", "~"])
def test_nothing_defined_is_no_problem(text):
    assert read_text(text) == (Definitions(), [])


def test_an_empty_json_file_is_no_problem():
    assert read_text(" \n", "x.json") == (Definitions(), [])


def test_all_problems_of_all_files_are_found_at_once_in_order(tmp_path):
    one = put(
        tmp_path,
        "one.yaml",
        """\
workflows:
  - name: one
    actions:
      - name: x
        action_type: http.request
        tiemout_seconds: 3
      - name: y
        action_type: http.request
        timeout_seconds: -1
        parameters: {a: 1, a: 2}
    priority: urgent
  - actions: []
""",
    )
    two = put(tmp_path, "two.yaml", "a: [\n")
    three = put(tmp_path, "three.yaml", "services:\n- name: ok\n- name: 5x\n")

    definitions, problems = read_files([one, two, three])

    assert [str(problem).replace(f"{tmp_path}/", "") for problem in problems] == [
        "one.yaml:6: workflows[0].actions[0].tiemout_seconds: unknown key; did you mean 'timeout_seconds'?",
        "one.yaml:9: workflows[0].actions[1].timeout_seconds: must be greater than 0",
        "one.yaml:10: workflows[0].actions[1].parameters.a: this key is there twice; the first is in line 10",
        "one.yaml:11: workflows[0].priority: priority is one of low, normal, medium, high, critical, not 'urgent'",
        "one.yaml:12: workflows[1].name: is required",
        "one.yaml:12: workflows[1].actions: must have at least 1 item",
        "two.yaml:2: not valid YAML: did not find expected node content while parsing a flow node",
        "three.yaml:3: services[1].name: must match pattern '^[A-Za-z][A-Za-z0-9_.\\-]*$'",
    ]
    assert [service.name for service in definitions.services] == ["ok"]
    assert definitions.workflows == ()


def test_read_or_raise_holds_all_problems(tmp_path):
    path = put(tmp_path, "x.yaml", "services: 1\nalerts: 2\n")

    with pytest.raises(DefinitionError, match="the set of definition files was refused, 2 problems:") as caught:
        read_or_raise([path])

    assert [problem.line for problem in caught.value.problems] == [1, 2]


def test_a_warning_is_no_refusal(tmp_path):
    path = put(tmp_path, "x.yaml", "services: [{name: a}]")

    def warn(_definitions: Definitions) -> list[Problem]:
        return [Problem("services.a", "is not used", severity="warning")]

    assert read_or_raise([path], check=warn).services[0].name == "a"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("- a\n", ["1: must be a mapping with lists such as 'workflows:', not a list"]),
        ("hello", ["1: must be a mapping with lists such as 'workflows:', not a text"]),
        ("!!set {a}", ["1: the tag !!set is not supported; write a plain value, list or mapping"]),
        ("wrkflows: []", ["1: wrkflows: unknown key; did you mean 'workflows'?"]),
        (
            "level: manual",
            ["1: level: unknown key; known here: workflows, alerts, schedules, services, sources, monitors"],
        ),
        ("services: {name: a}", ["1: services: must be a list, not a mapping; begin each definition with '- '"]),
        ("services: a", ["1: services: must be a list, not a text; begin each definition with '- '"]),
        ("services: !x []", ["1: services: the tag !x is not supported; write a plain value, list or mapping"]),
        ("services: [5]", ["1: services[0]: must be a mapping, not 5"]),
        ("services:\n-\n", ["2: services[0]: must be a mapping, not empty"]),
        ("services: [!x a]", ["1: services[0]: the tag !x is not supported; write a plain value, list or mapping"]),
        ("services: []\nservices: []", ["2: services: this key is there twice; the first is in line 1"]),
        ("? [a]\n: b\n", ["1: a key must be a text, not a list or mapping"]),
        ("~: b\n", ["1: a key is missing before the ':'"]),
        ("<<: 3\n", ["1: '<<' takes a mapping, or a list of mappings"]),
        ("!x a: b\n", ["1: a: the tag !x is not supported; write a plain value, list or mapping"]),
        ("a: *x", ["1: the alias *x has no anchor &x before it"]),
        ("a: &x [*x]", ["1: the alias *x stands within what it stands for"]),
        ("a: 1\n b: 2\n", ["2: not valid YAML: mapping values are not allowed in this context"]),
        (
            "a:\n\tb: 1\n",
            [
                "2: not valid YAML: found character that cannot start any token (indent with spaces, not tabs; put a "
                "text that begins with @, ` or % in quotes) while scanning for the next token"
            ],
        ),
        ("a: {b: 1\nc: 2\n", ["2: not valid YAML: did not find expected ',' or '}' while parsing a flow mapping "
                              "that began in line 1"]),
        ("a: b\nc: \x00", ["2: has a character that YAML does not allow: U+0000"]),
        ("%TAG !a! x\n" * 101 + "--- a", ["1: has more than 100 %TAG directives"]),
        ("[" * 101, ["1: is nested too deeply: more than 100 levels"]),
        ("a: !x!y z", ["1: not valid YAML: found undefined tag handle while parsing a node"]),
    ],
)  # fmt: skip
def test_what_cannot_be_read_at_all(text, problems):
    assert said(text) == problems


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('{"a": 1,}', ["1: not valid JSON: Illegal trailing comma before end of object in column 8"]),
        ('{\n"services": [\n}', ["3: not valid JSON: Expecting value in column 1"]),
        ('{"services":\n[NaN]}', ["2: NaN is not a finite number"]),
        ('{"services": [{"name": "NaN",\n"x": -Infinity}]}', ["2: -Infinity is not a finite number"]),
        ("[" * 101 + "]" * 101, ["1: is nested too deeply: more than 100 levels"]),
        ("[" * 100_000 + "]" * 100_000, ["1: is nested too deeply: more than 100 levels"]),
        ("[" + "1," * 100_000 + "1]", ["1: is too large: more than 100000 values, with aliases written out"]),
        ('{"services": 1, "services": 2}', ["1: services: this key is there twice; the first is in line 1",
                                            "1: services: must be a list, not 1; begin each definition with '- '"]),
    ],
)  # fmt: skip
def test_what_json_cannot_be_read(text, problems):
    # What the standard library says of a comma differs from version to version.
    wanted = [problem.split("JSON:")[0] for problem in problems]
    assert [problem.split("JSON:")[0] for problem in said(text, "x.json")] == wanted


def test_what_could_not_be_read_is_not_said_twice():
    assert said("services: [{name: !x a, replicas: !y 2}]") == [
        "1: services[0].name: the tag !x is not supported; write a plain value, list or mapping",
        "1: services[0].replicas: the tag !y is not supported; write a plain value, list or mapping",
    ]


def test_a_name_may_be_used_once_in_all_files(tmp_path):
    one = put(tmp_path, "one.yaml", "services:\n- replicas: 1\n  name: a\nalerts: [{name: a, condition: x}]\n")
    two = put(tmp_path, "two.yaml", "services:\n- name: b\n- name: a\n  replicas: 2\n")

    definitions, problems = read_files([one, two])

    assert [str(problem) for problem in problems] == [
        f"{two}:3: services[1].name: there is already a service 'a': {one}:3"
    ]
    assert [(service.name, service.replicas) for service in definitions.services] == [("a", 1), ("b", 1)]


def test_settings_may_stand_in_the_main_file_only(tmp_path):
    text = "level: manual\napi: {port: 1, port: 2}\nservices: [{name: a}]\n"
    main, other = put(tmp_path, "automation.yaml", text), put(tmp_path, "b.yaml", "level: manual\nservics: []\n")
    wrong = put(tmp_path, "c.yaml", "levl: manual\n")

    definitions, problems = read_files([main, other], main=main)
    _, (unknown,) = read_files([wrong], main=wrong)

    assert [str(problem).replace(f"{tmp_path}/", "") for problem in problems] == [
        "automation.yaml:2: api.port: this key is there twice; the first is in line 2",
        "b.yaml:1: level: unknown key; known here: workflows, alerts, schedules, services, sources, monitors",
        "b.yaml:2: servics: unknown key; did you mean 'services'?",
    ]
    assert definitions.services[0].name == "a"
    assert unknown.message == "unknown key; did you mean 'level'?"


def test_a_few_lines_of_aliases_of_aliases_are_refused():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))

    assert said(bomb) == ["5: is too large: more than 100000 values, with aliases written out"]


def test_aliases_of_one_long_text_are_refused():
    bomb = "a: &a " + "x" * 1_000_000 + "\nb: [" + "*a," * 5_000 + "]\n"

    assert said(bomb) == ["2: is too large: more than 100000 values, with aliases written out"]


def test_documents_share_one_limit():
    document = "a: &a [" + "x," * 50 + "]\nb: &b [" + "*a," * 50 + "]\nc: [" + "*b," * 10 + "]\n---\n"

    assert said(document * 10) != []
    assert "is too large" in said(document * 10)[0]


def test_aliases_within_the_limit_are_fine():
    text = "services:\n- &base {name: a, labels: &l {x: y}}\n- {<<: *base, name: b}\n- {name: c, labels: *l}\n"

    definitions, problems = read_text(text)

    assert problems == []
    assert [service.labels for service in definitions.services] == [{"x": "y"}] * 3


def test_depth_is_counted_through_aliases():
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200))

    assert said(text) == ["100: is nested too deeply: more than 100 levels"]


def test_many_problems_are_all_found_in_little_time():
    text = "services:\n" + "".join(f"- {{name: a{n}, bad: 1}}\n" for n in range(5_000))

    assert len(said(text)) == 5_000


def test_the_problems_of_one_definition_are_bounded():
    labels = "".join(f"    k{number}: {number}\n" for number in range(20_000))

    problems = read_text(f"services:\n- name: a\n  labels:\n{labels}")[1]

    assert len(problems) == 101
    assert str(problems[0]) == "input.yaml:2: services[0]: and 19900 further problems"
    assert str(problems[-1]).startswith(
        "input.yaml:103: services[0].labels.k99: must be a text, but 99 is read as a num"
    )


def test_what_is_no_readable_file_is_a_problem(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    files = [
        put(tmp_path, "latin.yaml", b"a: b\nc: \xe4\n"),
        put(tmp_path, "large.yaml", b"#" * (5 * 1024 * 1024 + 1)),
        put(tmp_path, "edge.yaml", b"#" * (5 * 1024 * 1024)),
        tmp_path / "pipe.yaml",
        tmp_path / "none.yaml",
    ]

    _, problems = read_files(files)

    assert [str(problem).replace(f"{tmp_path}/", "") for problem in problems] == [
        "latin.yaml:2: is not UTF-8 text: byte 0xe4 in this line",
        "large.yaml: is larger than 5 MiB",
        "pipe.yaml: is not a regular file",
        "none.yaml: cannot be read: No such file or directory",
    ]


def test_which_files_of_a_folder_are_read(tmp_path):
    for name in (
        "b.yaml",
        "a.yml",
        "c.json",
        "D.YAML",
        ".h.yaml",
        "a.yaml~",
        "#a.yaml#",
        "~a.yaml",
        "a.txt",
        ".#b.yaml",
    ):
        put(tmp_path, name, "")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "link.yaml").symlink_to(tmp_path / "a.yml")
    (tmp_path / "broken.yaml").symlink_to(tmp_path / "none")
    main = put(tmp_path.parent, "automation.yaml", "")

    names = [path.name for path in definition_files(tmp_path, main)]

    assert names == ["automation.yaml", "D.YAML", "a.yml", "b.yaml", "c.json", "link.yaml"]
    assert definition_files(tmp_path / "none") == ()
    assert definition_files(None) == ()
    assert definition_files(tmp_path, tmp_path / "b.yaml")[0].name == "b.yaml"
    assert len(definition_files(tmp_path, tmp_path / "b.yaml")) == 5


def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ConfigurationError, match=re.escape(f"{tmp_path}: cannot be read: Permission denied")):
        definition_files(tmp_path)


def test_the_content_hash_is_that_of_what_was_read(tmp_path):
    one, two = put(tmp_path, "1.yaml", "services: []"), put(tmp_path, "2.yaml", "x: [")

    first = content_hash([one, two])

    assert read_files([one, two])[0].content_hash == first
    assert content_hash([one]) != first
    assert content_hash([one, tmp_path / "none.yaml"]) not in (first, content_hash([one]))
    put(tmp_path, "1.yaml", "services: [ ]")
    assert content_hash([one, two]) != first
    two.rename(tmp_path / "3.yaml")
    put(tmp_path, "1.yaml", "services: []")
    assert content_hash([one, tmp_path / "3.yaml"]) != first
