"""What commands print, for people and for programs."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.errors import MissingStyle

from automation.cli.output import Output, clean, duration, moment, shown, style, took
from automation.model.alert import AlertState

ROWS = [("a1", "first\nline", True), ("b22", "second", None)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> tuple[Output, Terminal]:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    return Output(), screen


def test_without_a_terminal_columns_are_plain_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("id", "what", "ok"), [*ROWS, ("c", "x" * 200, False)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ID", "WHAT", "OK"]
    assert lines[1].split() == ["a1", "first", "line", "yes"]
    assert lines[2].split() == ["b22", "second", "-"]
    assert "x" * 200 in lines[3]


def test_an_empty_table_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("id",), [], empty="there are no things")
    assert capsys.readouterr().out == "there are no things\n"


def test_on_a_terminal_a_table_fits_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    out, screen = on_terminal(monkeypatch, 70)
    out.table(("id", "why"), [("0123456789" * 3, "because " * 20)])
    lines = screen.getvalue().splitlines()
    assert max(len(line) for line in lines if "\x1b" not in line) <= 70
    assert any("0123456789" * 3 in line for line in lines)


def test_a_narrow_terminal_shows_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    out, screen = on_terminal(monkeypatch, 40)
    out.table(("id", "what", "ok"), ROWS)
    assert screen.getvalue() == "id    a1\nwhat  first\n      line\nok    yes\n\nid    b22\nwhat  second\nok    -\n"


def test_short_words_are_never_torn_to_fit_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ("id", "workflow", "status", "created", "why")
    row = ("0" * 36, "retry_job", "waiting", "2026-11-26 20:20:38Z", "event job_failed: " + "x" * 30)
    for width in range(30, 140, 10):
        out, screen = on_terminal(monkeypatch, width)
        out.table(columns, [row])
        shown = screen.getvalue().splitlines()
        assert all(any(word in line for line in shown) for word in (*columns, *row[:3], "2026-11-26", "job_failed:"))
        assert (shown[0] == f"id        {row[0]}") is (width <= 80), width


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_left_out_where_nobody_wants_them(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    out, screen = on_terminal(monkeypatch, 80)
    out.table(("id", "status"), [("a", "failed")])
    assert ("\x1b[1;31mfailed" in screen.getvalue()) is coloured


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).document({"state": AlertState.FIRING, "where": ("a", "b"), "text": "ü"})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"state": "firing", "where": ["a", "b"], "text": "ü"}
    Output(as_json=True).json_line({"a": 1})
    assert capsys.readouterr().out == '{"a": 1}\n'


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.line("red \x1b[31malert\x07 \x9b31m")
    out.table(("a",), [("\x1b]0;title\x07",)])
    out.facts({"name": "a\x1b[2J\nb"})
    printed = capsys.readouterr().out
    assert not set(printed) & {"\x1b", "\x07", "\x9b"}
    assert "red \\x1b[31malert\\x07 \\x9b31m" in printed
    assert clean("tab\tand\nline") == "tab\tand\nline"


def test_markup_of_rich_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    out, screen = on_terminal(monkeypatch, 80)
    out.table(("a",), [("[bold]x[/bold]",)])
    assert "[bold]x[/bold]" in screen.getvalue()


def test_facts_leave_out_what_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    Output().facts({"a": 1, "none": None, "empty": "", "list": [], "name": "x\ny", "zero": 0})
    assert capsys.readouterr().out == "a     1\nname  x\n      y\nzero  0\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (1.23456789, "1.23457"),
        (AlertState.FIRING, "firing"),
        (("a", "b"), "a, b"),
        ({"a": [1]}, '{"a": [1]}'),
        (Path("/x"), "/x"),
        (3, "3"),
    ],
)
def test_values_are_shown_as_people_read_them(value: object, text: str) -> None:
    assert shown(value) == text


def test_times() -> None:
    assert moment("2026-11-23T04:00:24.556Z") == "2026-11-23 04:00:24Z"
    assert moment(None) == "-"
    assert took("2026-11-23T04:00:24.000Z", "2026-11-23T04:00:26.500Z") == "2.5 s"
    assert took("2026-11-23T04:00:24.000Z", None) == "-"
    assert [duration(seconds) for seconds in (0.0123, 1.26, 600)] == ["12 ms", "1.3 s", "10.0 min"]


def test_every_style_is_one_that_rich_knows() -> None:
    from automation.cli.output import _STYLES

    console, unknown = Console(), []
    for name in _STYLES:
        try:
            console.get_style(style(name))
        except MissingStyle:
            unknown.append((name, style(name)))
    assert unknown == []
