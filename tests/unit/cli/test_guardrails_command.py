"""`automation guardrails`, on the configured database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "automation.yaml").write_text("level: autonomous\n", encoding="utf-8")


def test_everything_is_stopped_and_released(invoke: Invoke) -> None:
    assert invoke("guardrails", "status").out == "nothing is stopped\n"

    stopped = invoke("guardrails", "stop", "--reason", "incident 7")
    refused = invoke("run", "careful")
    released = invoke("guardrails", "release", "--json")

    assert stopped.code == 0
    assert stopped.out.startswith("STOPPED by local since 20")
    assert stopped.out.endswith("Z: incident 7\n")
    assert refused.code == 1
    assert "guardrail stop: all changes are stopped: incident 7" in refused.out + refused.err
    assert released.document["stop"] is None
    assert invoke("run", "careful").code == 0
    again = invoke("guardrails", "release")
    assert (again.code, "nothing is stopped" in again.err) == (1, True)


def test_a_freeze_window_is_put_in_force_and_taken_back(invoke: Invoke) -> None:
    put = invoke(
        "guardrails",
        "freeze",
        "launch",
        "--until",
        "2999-01-01",
        "--service",
        "playback-*",
        "--reason",
        "a launch",
        "--wait",
    )
    nightly = invoke("guardrails", "freeze", "night", "--cron", "0 22 * * *", "--duration", "3600", "--json")

    assert put.code == 0, put.err
    assert "launch  in force  2999-01-01 00:00:00Z  wait     local  a launch" in put.out
    views = {view["window"]["name"]: view for view in nightly.document["freezes"]}
    assert views["launch"]["window"]["services"] == ["playback-*"]
    assert views["night"]["window"]["duration_seconds"] == 3600
    assert invoke("guardrails", "thaw", "launch").code == 0
    gone = invoke("guardrails", "thaw", "launch")
    assert (gone.code, "there is no freeze window named 'launch'" in gone.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x"], "needs either starts_at and ends_at"),
        (["x", "--until", "soon"], "--until: 'soon' is not a time such as 2026-12-04T22:00:00Z"),
        (["x", "--from", "5m", "--until", "2999-01-01"], "--from: '5m' is not a time"),
        (["x", "--until", "2020-01-01"], "--until: '2020-01-01' is not after now"),
        (["x", "--from", "2999-01-02", "--until", "2999-01-01"], "--until: '2999-01-01' is not after --from"),
        (["x", "--until", "2999-01-01", "--label", "tier"], "not of the form name=value"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(invoke: Invoke, arguments: list[str], message: str) -> None:
    answer = invoke("guardrails", "freeze", *arguments)

    assert answer.code == 2
    assert message in answer.err


def test_a_dry_run_says_what_a_configured_freeze_would_hold_back(invoke: Invoke, folder: Path) -> None:
    (folder / "automation.yaml").write_text(
        "guardrails:\n  freezes:\n    - {name: always, starts_at: 2020-01-01, ends_at: 2999-01-01}\n"
    )

    answer = invoke("run", "careful", "--dry-run")

    assert "act would fail now: guardrail freeze: always is in force until 2999-01-01T00:00:00.000Z" in answer.out
