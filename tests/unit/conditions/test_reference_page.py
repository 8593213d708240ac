"""The reference page says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from automation.conditions import analysis, compile_condition, parser, regex_safety
from automation.conditions.functions import FUNCTIONS
from automation.conditions.units import DURATIONS, SIZES
from automation.errors import ConditionError
from automation.model.metric import KEPT_SECONDS, UNITS, Sample
from automation.monitoring.metrics import MetricStore
from automation.monitoring.windows import Windows

PAGE = (Path(__file__).parents[3] / "docs/reference/conditions.md").read_text(encoding="utf-8")
RESULTS = {"true": True, "false": False, "unknown": None}


def section(title: str) -> str:
    return re.split(r"^## ", PAGE, flags=re.MULTILINE)[
        [part.split("\n")[0] for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)].index(title)
    ]


def examples(title: str, table: str) -> list[tuple[str, str, str]]:
    text = section(title).partition(table)[2]
    rows = re.findall(r"^\| (`` |`)(.+?)(?: ``|`) \| `(\{.*\})` \| (\w+) \|$", text, flags=re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(lines) > 20, "every row of the table is an example"
    return [(condition, names, result) for _, condition, names, result in rows]


@pytest.mark.parametrize(("text", "names", "result"), examples("Examples", "| condition | names |"))
def test_an_example_is_so(text: str, names: str, result: str) -> None:
    assert compile_condition(text).evaluate(json.loads(names)) is RESULTS[result]


@pytest.mark.parametrize(("text", "samples", "result"), examples("Windows", "| condition | samples |"))
def test_an_example_with_windows_is_so(text: str, samples: str, result: str) -> None:
    now = 1_000_000.0
    store = MetricStore(kept_from=now - 3600)
    for name, points in json.loads(samples).items():
        for age, value in sorted(points, reverse=True):
            assert store.record(Sample(name=name, value=value, time=now - age))
    condition = compile_condition(text, units=UNITS, kept=KEPT_SECONDS)
    names = {name: store.latest_value(name, "") for name in store.names()}
    any_series = Sample(name="other", value=0)
    windows = {window.text: Windows(store).view(window, any_series, now).value for window in condition.windows}

    assert condition.evaluate({**names, **windows}) is RESULTS[result]


@pytest.mark.parametrize(
    "text", [line for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
)
def test_the_conditions_shown_compile(text: str) -> None:
    assert compile_condition(text, kept=KEPT_SECONDS).names


def test_the_program_runs_and_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (shown,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)

    exec(compile(program, "conditions.md", "exec"), {})

    assert capsys.readouterr().out == shown


def test_the_table_of_unknown_is_so() -> None:
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", section("Unknown"), flags=re.MULTILINE)

    assert len(rows) == 3
    for a, b, both, either, opposite in rows:
        names = {"a": RESULTS[a], "b": RESULTS[b]}
        assert compile_condition("a AND b").evaluate(names) is RESULTS[both]
        assert compile_condition("a OR b").evaluate(names) is RESULTS[either]
        assert compile_condition("NOT a").evaluate(names) is RESULTS[opposite]


def test_all_functions_are_listed_and_no_others() -> None:
    rows = [line.split(" | ")[0] for line in section("Functions").splitlines() if line.startswith("| `")]

    assert {name for row in rows for name in re.findall(r"`(\w+)", row)} == set(FUNCTIONS)


def test_all_units_are_listed_and_no_others() -> None:
    rows = [line.split(" | ")[0] for line in section("Numbers with units").splitlines() if line.startswith("| `")]

    assert {unit for row in rows for unit in re.findall(r"`(.+?)`", row)} == {*DURATIONS, *SIZES, "%"}


def test_the_words_that_cannot_be_names_are_listed() -> None:
    (words,) = re.findall(r"first part of a name: `(.+?)`", PAGE)

    for word in words.split():
        with pytest.raises(ConditionError):
            compile_condition(f"{word}.x > 1")
        assert compile_condition(f"x.{word} > 1 AND {word}_ > 1").names == {"x", f"{word}_"}
        assert str(compile_condition(f"`{word}` > 1")) == f"`{word}` > 1"


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("length of a text", parser.MAX_LENGTH),
        ("depth: parentheses, `NOT`, and operators within operators", parser.MAX_DEPTH),
        ("names, values and operators", parser.MAX_NODES),
        ("items of a list", parser.MAX_ITEMS),
        ("patterns in a condition", analysis.MAX_PATTERNS),
        ("length of a pattern", regex_safety.MAX_PATTERN),
    ],
)
def test_a_limit_is_stated(what: str, limit: int) -> None:
    (stated,) = re.findall(rf"^\| {re.escape(what)} \| ([\d,]+)", section("Limits"), flags=re.MULTILINE)

    assert int(stated.replace(",", "")) == limit


def test_how_far_patterns_look_is_stated() -> None:
    stated = re.findall(r"searched: ([\d,]+) characters, or ([\d,]+) where", PAGE)

    assert [tuple(int(number.replace(",", "")) for number in row) for row in stated] == [regex_safety.SUBJECT_LIMITS]
