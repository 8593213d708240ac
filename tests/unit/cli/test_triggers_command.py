"""`automation workflows disable` and `automation events explain`, `dead`, `replay`, on the configured database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "automation.yaml").write_text("level: autonomous\n", encoding="utf-8")


def test_a_workflow_is_switched_off_and_its_events_are_replayed_later(invoke: Invoke) -> None:
    off = invoke("workflows", "disable", "on_ping", "--reason", "it is broken")
    assert off.code == 0, off.err
    assert "on_ping is disabled: the workflow was disabled by local at 20" in off.out
    published = invoke("events", "publish", "ping", "--id", "p1", "--json")
    assert published.document["executions"] == []
    assert "it is broken" in published.document["skipped"][0]

    explained = invoke("events", "explain", "p1")
    assert explained.code == 0, explained.err
    assert "on_ping: disabled: the workflow was disabled by local" in explained.out
    assert "ping  →  true" in explained.out

    assert invoke("workflows", "enable", "on_ping").code == 0
    tried = invoke("events", "replay", "--since", "1h", "--dry-run", "--json")
    assert [(item["workflow"], item["outcome"]) for item in tried.document["items"]] == [("on_ping", "would_start")]
    done = invoke("events", "replay", "--since", "2020-01-01T00:00:00Z", "--json")
    assert [item["outcome"] for item in done.document["items"]] == ["started"]
    again = invoke("events", "replay", "--since", "1h")
    assert (again.code, "started before" in again.out, "1 events looked at" in again.out) == (0, True, True)


def test_what_is_wrong_is_said(invoke: Invoke) -> None:
    wrong = invoke("events", "replay", "--since", "soon")
    assert (wrong.code, "--since: 'soon' is neither a duration" in wrong.err) == (2, True)
    missing = invoke("workflows", "disable", "nothing")
    assert (missing.code, "nothing" in missing.err) == (2, True)
    assert invoke("events", "explain", "nothing").code == 2
    assert invoke("events", "dead").out == "there are no dead letters\n"
    assert "it has no triggers" in invoke("workflows", "triggers", "on_ping").out


def test_a_version_is_tried_before_it_is_in_force(invoke: Invoke, tmp_path: Path) -> None:
    for number in range(3):
        assert invoke("events", "publish", "ping", "--id", f"p{number}").code == 0
    file = tmp_path / "new.yaml"
    file.write_text(
        "workflows:\n"
        "  - name: on_ping\n"
        "    triggers: [{type: count, event: ping, count: 3, within: 1h}]\n"
        "    actions: [{name: seen, action_type: flow.set, parameters: {values: {ok: true}}}]\n",
        encoding="utf-8",
    )

    plain = invoke("workflows", "backtest", "on_ping", "--since", "1h")
    other = invoke("workflows", "backtest", "on_ping", "--since", "1h", "--definition", str(file), "--json")

    assert plain.code == 0, plain.err
    assert "would start  3" in plain.out
    assert (other.document["tried"]["count"], other.document["current"]["count"]) == (1, 3)
    assert len(other.document["lost"]) == 3
    missing = invoke("workflows", "backtest", "hello", "--since", "1h", "--definition", str(file))
    assert (missing.code, "there is no workflow 'hello' in" in missing.err) == (2, True)
