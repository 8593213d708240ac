"""What every command has in common."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
import typer.main

from automation.cli.app import app, run
from automation.cli.command import Session, command
from automation.cli.reference import PAGE, page
from automation.errors import Conflict


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from commands(found, f"{path} {name}".strip())
        else:
            yield f"{path} {name}".strip(), found


ALL = dict(commands(typer.main.get_command(app)))


def test_the_commands_that_were_asked_for() -> None:
    wanted = """serve; demo; check; run; version; executions list; executions show; executions cancel;
        executions approve; executions deny; executions pause; executions resume; executions retry;
        executions rerun; executions fork; approvals list; approvals approve; approvals deny;
        events publish; events list; events explain; events dead; events replay; alerts list;
        alerts acknowledge; alerts explain; alerts backtest; metrics list; metrics show; workflows list;
        workflows show; workflows versions; workflows triggers; workflows enable; workflows disable;
        workflows backtest; services list; sources list; tokens issue; tokens list; tokens revoke;
        audit verify; audit list; config show; db status; db migrate; db check; db compact; db backup;
        db restore; guardrails status; guardrails stop; guardrails release; guardrails freeze;
        guardrails thaw; import prometheus-rules; import ansible-rulebook"""
    assert set(ALL) == {name.strip() for name in wanted.split(";")}


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_json_and_help_that_is_not_cut(name: str) -> None:
    options = [option for parameter in ALL[name].params for option in parameter.opts]
    assert {"--json", "--config", "--debug"} <= set(options)
    first = ALL[name].help.splitlines()[0]
    assert first.endswith(".")
    assert len(first) <= 55
    assert all(parameter.help for parameter in ALL[name].params)


def test_the_reference_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m automation.cli.reference"


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["bogus"], "error: No such command 'bogus'."),
            (["run"], "error: Missing argument"),
            (["run", "x", "--nope"], "error: No such option: --nope"),
            (["serve", "--port", "x"], "error: Invalid value for '--port'"),
            (["run", "x", "--timeout", "-1"], "error: Invalid value for '--timeout'"),
            (["executions", "list", "--limit", "0"], "error: Invalid value for '--limit'"),
            (["executions", "list", "--limit", "1001"], "error: Invalid value for '--limit'"),
            (["tokens", "issue", "x"], "error: Missing option '--role'"),
        ],
    )
    def test_wrong_usage_is_one_line_and_exit_code_2(
        self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(message)
        assert captured.err.splitlines()[1].startswith("  see 'automation")
        assert len(captured.err.splitlines()) == 2

    def test_is_json_where_that_was_asked_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["run", "x", "--nope", "--json"]) == 2
        error = json.loads(capsys.readouterr().err)["error"]
        assert error["type"] == "UsageError"
        assert error["hint"] == "see 'automation run --help'"

    def test_what_stands_behind_two_dashes_is_no_option(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["bogus", "--", "--json"]) == 2
        assert capsys.readouterr().err.startswith("error: No such command")

    @pytest.mark.parametrize("arguments", [[], ["executions"]])
    def test_nothing_gives_the_help(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert run(arguments) == 2
        assert "Commands:" in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["run", "-h"], ["--version"], ["version"]])
    def test_asked_for_help_is_no_error(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert run(arguments) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        assert "automation" in captured.out

    def test_the_version_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        from automation import __version__

        assert run(["version", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["version"] == __version__


def call(function: Any, *arguments: str) -> int:
    own = typer.Typer()
    own.callback()(lambda: None)
    command(own, "do")(function)
    return int(own(["do", *arguments], standalone_mode=False) or 0)


class TestEndings:
    def test_a_returned_number_is_the_exit_code(self) -> None:
        def three(session: Session) -> int:
            return 3

        assert call(three) == 3

    def test_an_asynchronous_command_is_awaited(self, capsys: pytest.CaptureFixture[str]) -> None:
        async def greet(session: Session, name: str) -> None:
            session.out.line(f"hello {name} {session.out.as_json} {session.debug}")

        assert call(greet, "you", "--json", "--debug") == 0
        assert capsys.readouterr().out == "hello you True True\n"

    def test_an_error_is_reported(self, capsys: pytest.CaptureFixture[str]) -> None:
        def fail(session: Session) -> None:
            raise Conflict("not now")

        assert call(fail) == 1
        assert capsys.readouterr().err == "error: not now\n"
        call(fail, "--debug")
        assert "Traceback" in capsys.readouterr().err

    def test_ctrl_c_is_130(self) -> None:
        def interrupted(session: Session) -> None:
            raise KeyboardInterrupt

        assert call(interrupted) == 130

    def test_a_reader_that_has_seen_enough_is_no_error(self) -> None:
        code = (
            "import sys; from automation.cli.app import run; from automation.cli.commands import version\n"
            "version.show = lambda: [print('x' * 1000) for _ in range(10000)]\n"
            "sys.exit(run(['version']))"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == ""
            assert process.wait(20) == 0
