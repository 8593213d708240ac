from __future__ import annotations

import pytest

from automation.definitions import read_text

WORKFLOW = """\
workflows:
  - name: hello
    actions:
      - name: wait
        action_type: flow.wait
        parameters: {seconds: 1}
"""


def said(text: str, file: str = "x.yaml") -> list[str]:
    """What is wrong with a text."""
    return [str(problem).removeprefix(f"{file}:") for problem in read_text(text, file)[1]]


def in_parameters(text: str, file: str = "x.yaml") -> object:
    """The value of a text, as a parameter of an action."""
    if file.endswith(".json"):
        whole = f'{{"sources": [{{"name": "a", "type": "b", "settings": {{"x": {text}}}}}]}}'
    else:
        whole = f"sources:\n- name: a\n  type: b\n  settings:\n    x: {text}\n"
    definitions, problems = read_text(whole, file)
    assert problems == []
    return definitions.sources[0].settings["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("'yes'", "yes"),
        ("!!str yes", "yes"),
        ("", None),
        ("~", None),
        ("null", None),
        ("12", 12),
        ("-0x1F", -31),
        ("1_000", 1000),
        ("9223372036854775807", 2**63 - 1),
        ("1.5", 1.5),
        ("10:30", "10:30"),
        ("1:30.5", "1:30.5"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("=", "="),
        ("<<", "<<"),
        ("12e5", "12e5"),
        ("{on: 1, 404: 2, 'null': 3, 1.0: 5}", {"on": 1, "404": 2, "null": 3, "1.0": 5}),
        ("{2026-01-01: 4}", {"2026-01-01": 4}),
        ("[&a {b: 1}, *a, {<<: *a, b: 2, c: 3}]", [{"b": 1}, {"b": 1}, {"b": 2, "c": 3}]),
        ("[&a {b: 1}, &c {b: 2, d: 2}, {<<: [*a, *c]}]", [{"b": 1}, {"b": 2, "d": 2}, {"b": 1, "d": 2}]),
        ("[&a x, &a y, *a]", ["x", "y", "y"]),
        ("'{\"<<\": 1}'", '{"<<": 1}'),
        ("{'<<': {a: 1}}", {"<<": {"a": 1}}),
        ("|\n      two\n      lines", "two\nlines\n"),
        ('"\\U0001F600"', "😀"),
    ],
)  # fmt: skip
def test_values_of_yaml(text, value):
    read = in_parameters(text)

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e5", 100000.0),
        ("-1", -1),
        ("null", None),
        ("true", True),
        ('"\\ud83d\\ude00 \\/ \\u0041"', "😀 / A"),
        ('"a\\"b,[]{}:"', 'a"b,[]{}:'),
        ('{"a": [1, {"b": []}]}', {"a": [1, {"b": []}]}),
        ('"yes"', "yes"),
    ],
)
def test_values_of_json(text, value):
    read = in_parameters(text, "x.json")

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!x 1", "the tag !x is not supported"),
        ("!!binary aGk=", "the tag !!binary is not supported"),
        ("!!python/object/apply:os.system [echo]", "the tag !!python/object/apply:os.system is not supported"),
        ("!!int a", "is not a value of the tag !!int"),
        ("!!bool a", "is not a value of the tag !!bool"),
        ("!!int ''", "is not a value of the tag !!int"),
        (".inf", ".inf is not a finite number"),
        (".nan", ".nan is not a finite number"),
        ("9223372036854775808", "9223372036854775808 is too large a number; put it in quotes to have it as text"),
        ("9" * 100, "9" * 27 + "... is too large a number"),
        ("9" * 5000, "is too long a number"),
    ],
)
def test_values_that_cannot_be_kept(text, message):
    (problem,) = said(f"sources:\n- name: a\n  type: b\n  settings:\n    x: {text}\n")

    assert problem.startswith(f"5: sources[0].settings.x: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"\\ud83d"', "has a broken character: half of a surrogate pair"),
        ("1e400", "1e400 is not a finite number"),
        ("9" * 5000, "is too long a number"),
    ],
)
def test_values_of_json_that_cannot_be_kept(text, message):
    (problem,) = said(f'{{"sources": [\n{{"name": "a", "type": "b", "settings": {{"x": {text}}}}}]}}', "x.json")

    assert problem == f"2: sources[0].settings.x: {message}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("labels: {page: yes}", 'labels.page: must be a text, but yes is read as true or false; write "yes"'),
        ("labels: {version: 1.10}", 'labels.version: must be a text, but 1.10 is read as a number; write "1.10"'),
        ("labels: {a: null}", 'labels.a: must be a text, but null is read as no value; write "null"'),
        ("labels: {a: }", "labels.a: must be a text, but is empty"),
        ("labels: {a: [b]}", "labels.a: must be a text"),
        ("labels: 3", "labels: must be a mapping"),
        ("conditions: cpu > 80", "conditions: must be a list"),
        ("inputs: [a]", "inputs: must be a mapping"),
        ("inputs: {a: {typ: x}}", "inputs.a.typ: unknown key; did you mean 'type'?"),
        ("triggers: [{type: evnt}]", "triggers[0]: unknown type 'evnt'; did you mean 'event'?"),
        (
            "triggers: [{type: zzz}]",
            "triggers[0]: unknown type 'zzz'; known: event, alert, webhook, schedule, metric_threshold, "
            "all, any, sequence, not_all, count, absence, manual",
        ),
        ("triggers: [{event: x}]", "triggers[0]: type is required"),
        ("triggers: [{type: event}]", "triggers[0].event: is required"),
        ("triggers: [{type: event, event: x, evnt: y}]", "triggers[0].evnt: unknown key; did you mean 'event'?"),
        (
            "triggers: [{type: manual, q: 1}]",
            "triggers[0].q: unknown key; known here: type",
        ),
        ("triggers: [{type: alert, alert: x, state: on}]", "triggers[0].state: must be 'firing' or 'resolved'"),
        (
            "triggers: [{type: []}]",
            "triggers[0]: unknown type '[]'; known: event, alert, webhook, schedule, metric_threshold, "
            "all, any, sequence, not_all, count, absence, manual",
        ),
        ("timeout_seconds: soon", "timeout_seconds: must be a valid number, unable to parse string as a number"),
        ("enabled: 7", "enabled: must be a valid boolean, unable to interpret input"),
        (
            "rollback_strategy: {triggers: [timeout], max_rollback_time: 0}",
            "rollback_strategy.max_rollback_time: must be greater than 0",
        ),
        ("approval: {expires: -1}", "approval.expires: must be greater than 0, or must be a text"),
        ("description: 2026-01-01\n    enable: false", "enable: unknown key; did you mean 'enabled'?"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_file(line, message):
    (problem,) = said(f"{WORKFLOW}    {line}\n")

    assert problem.partition(": ")[2] == f"workflows[0].{message}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("join: 1.5", "join: must be 'all' or 'any', or must be a valid integer, got a number with a fractional part"),
        ("join: 0", "join: must be 'all' or 'any', or must be greater than or equal to 1"),
        ("delay: -5", "delay: must be greater than or equal to 0, or must be a text"),
        ("repeat: {until: done, max: 2, delay: []}", "repeat.delay: must be a valid number, or must be a text"),
    ],
)
def test_what_may_be_of_two_kinds_is_complained_of_once(line, message):
    (problem,) = said(f"{WORKFLOW}        {line}\n")

    assert problem.partition(": ")[2] == f"workflows[0].actions[0].{message}"


def test_a_key_that_yaml_reads_as_true_is_the_text_that_was_written():
    definitions, problems = read_text(WORKFLOW + "        retry: {attempts: 2, on: [Timeout]}\n")

    assert problems == []
    assert definitions.workflows[0].actions[0].retry.on == ("Timeout",)


@pytest.mark.parametrize(
    ("key", "value", "refused"),
    [
        ("timeout_seconds", "yes", True),
        ("retry_attempts", "true", True),
        ("join", "on", True),
        ("always", "yes", False),
        ("timeout_seconds", "1", False),
    ],
)
def test_a_boolean_is_no_number(key: str, value: str, refused: bool) -> None:
    found = said(f"{WORKFLOW}        {key}: {value}\n")

    assert len(found) == refused
    for message in found:
        assert f"actions[0].{key}: must be " in message
