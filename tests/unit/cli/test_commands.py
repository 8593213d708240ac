"""The commands on a database, without a server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from automation.config import AutomationConfig
from automation.engine import AutomationEngine
from tests.unit.cli.conftest import Invoke

pytestmark = pytest.mark.usefixtures("folder")


def run_hello(invoke: Invoke) -> dict[str, Any]:
    answer = invoke("run", "hello", "--var", "who=you", "--json")
    assert answer.code == 0, answer.err
    document: dict[str, Any] = answer.document
    return document


class TestRun:
    def test_prints_what_the_workflow_did(self, invoke: Invoke) -> None:
        answer = invoke("run", "hello", "--var", "who=you")
        assert answer.code == 0
        assert "hello you" in answer.out
        assert "status        succeeded" in answer.out
        assert answer.err == ""

    def test_prints_one_json_document(self, invoke: Invoke) -> None:
        detail = run_hello(invoke)
        assert detail["execution"]["status"] == "succeeded"
        assert detail["variables"] == {"who": "you"}
        assert detail["actions"][0]["outputs"] == {"text": "hello you"}

    def test_a_failure_is_exit_code_1(self, invoke: Invoke) -> None:
        answer = invoke("run", "hopeless")
        assert answer.code == 1
        assert answer.err == "error: hopeless failed: no way\n"

    def test_a_failure_is_json_too(self, invoke: Invoke) -> None:
        answer = invoke("run", "hopeless", "--json")
        assert answer.code == 1
        assert answer.document["execution"]["status"] == "failed"
        assert json.loads(answer.err)["error"]["message"] == "hopeless failed: no way"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nosuch"], "there is no workflow 'nosuch'"),
            (["hello"], "who: is required"),
            (["hello", "--var", "who"], "--var: 'who' is not NAME=VALUE"),
            (["hello", "--var", "=x"], "--var: '=x' is not NAME=VALUE"),
            (["hello", "--var-file", "nosuch.yaml"], "--var-file: cannot read nosuch.yaml: No such file"),
            (["hello", "--file", "nosuch.yaml"], "nosuch.yaml: cannot be read: No such file"),
        ],
    )
    def test_what_cannot_work_is_exit_code_2(self, invoke: Invoke, arguments: list[str], message: str) -> None:
        answer = invoke("run", *arguments)
        assert answer.code == 2
        assert message in answer.err
        assert answer.err.startswith("error: ")
        assert "Traceback" not in answer.err

    def test_takes_variables_of_files_and_json(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "vars.yaml").write_text("who: file\nextra: 1\n", encoding="utf-8")
        (tmp_path / "more.yaml").write_text(
            "workflows: [{name: any, actions: [{name: a, action_type: flow.set, "
            'parameters: {values: {got: "${extra}", n: "${n}"}}}]}]',
            encoding="utf-8",
        )
        answer = invoke(
            "run", "any", "--file", "more.yaml", "--var-file", "vars.yaml", "--var", 'n={"a": [1, null]}', "--json"
        )
        assert answer.code == 0, answer.err
        assert answer.document["actions"][0]["outputs"] == {"got": 1, "n": {"a": [1, None]}}

    @pytest.mark.parametrize(("text", "meant"), [("7", "7"), ("null", "null"), ('"7"', "7"), ("{}", "{}"), ("x", "x")])
    def test_what_is_given_for_a_string_is_text(self, invoke: Invoke, text: str, meant: str) -> None:
        answer = invoke("run", "hello", "--var", f"who={text}", "--json")
        assert answer.document["actions"][0]["outputs"] == {"text": f"hello {meant}"}
        first = answer.document["execution"]["id"]
        again = invoke("executions", "rerun", first, "--var", "who=8", "--json").document["execution_id"]
        assert invoke("executions", "show", again, "--json").document["variables"] == {"who": "8"}

    def test_a_number_for_a_string_from_elsewhere_is_refused(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "vars.yaml").write_text("who: 7", encoding="utf-8")
        answer = invoke("run", "hello", "--var-file", "vars.yaml")
        assert answer.code == 2
        assert answer.err.endswith("who: must be a string, not int; write it in quotes\n")

    @pytest.mark.parametrize(
        ("text", "message"),
        [("[1]", "must be a mapping"), ("1: 2", "must be a mapping"), ("a: [", "bad.yaml:1: not valid YAML")],
    )
    def test_a_wrong_file_of_variables_is_refused(
        self, invoke: Invoke, tmp_path: Path, text: str, message: str
    ) -> None:
        (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
        answer = invoke("run", "hello", "--var-file", "bad.yaml")
        assert answer.code == 2
        assert message in answer.err

    def test_a_timeout_leaves_it_to_a_later_engine(self, invoke: Invoke) -> None:
        answer = invoke("run", "slow", "--timeout", "0.2")
        assert answer.code == 1
        assert "is still waiting after 0.2 s" in answer.err
        assert invoke("executions", "list", "--json").document["items"][0]["status"] == "waiting"

    def test_the_same_key_gives_the_same_execution(self, invoke: Invoke) -> None:
        first = invoke("run", "hello", "--var", "who=a", "--idempotency-key", "k", "--json").document
        again = invoke("run", "hello", "--var", "who=a", "--key", "k", "--json").document
        assert first["execution"]["id"] == again["execution"]["id"]
        other = invoke("run", "hello", "--var", "who=b", "--idempotency-key", "k")
        assert other.code == 2
        assert f"was used before with other inputs, by execution {first['execution']['id']}" in other.err
        other = invoke("run", "hopeless", "--key", "k")
        assert other.code == 2
        assert f"was used before for the workflow 'hello', by execution {first['execution']['id']}" in other.err

    def test_a_dry_run_touches_nothing(self, invoke: Invoke, tmp_path: Path) -> None:
        before = (tmp_path / "automation-data" / "automation.db").read_bytes()
        answer = invoke("run", "hello", "--var", "who=you", "--dry-run")
        assert answer.code == 0
        assert '{"values": {"text": "hello you"}}' in answer.out
        assert "nothing was touched" in answer.out
        assert "retries" not in answer.out
        assert invoke("run", "careful", "--dry-run", "--json").document["steps"][0]["needs_approval"] is True
        assert (tmp_path / "automation-data" / "automation.db").read_bytes() == before

    def test_a_dry_run_tells_of_heartbeats_and_retry_budgets(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "slow.yaml").write_text(
            "workflows: [{name: copy, retry_budget: {share: 0.1}, actions: "
            "[{name: a, action_type: shell.run, heartbeat_timeout_seconds: 30, parameters: {command: [cp]}}]}]",
            encoding="utf-8",
        )
        out = invoke("run", "copy", "--file", "slow.yaml", "--dry-run").out
        assert "retries  this workflow: 10% of the first attempts and 1 a second beside, within 10 s" in out
        assert "a heartbeat at least every 30 s" in out

    def test_a_dry_run_tells_of_the_rollback_and_of_proposals(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "taken.yaml").write_text(
            "workflows: [{name: taken, level: manual, rollback_strategy: {triggers: [timeout], max_rollback_time: 9}, "
            "actions: [{name: a, action_type: shell.run, parameters: {command: [cp]}}]}]",
            encoding="utf-8",
        )
        out = invoke("run", "taken", "--file", "taken.yaml", "--dry-run").out
        assert "rollback  on timeout, within 9 s; nothing undoes a" in out
        assert "proposed  by what a trigger starts, at level manual: 1 has to approve" in out

    def test_wrong_definitions_are_all_said(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "automation.d" / "bad.yaml").write_text("workflows: [{name: x}]\nbogus: 1\n", encoding="utf-8")
        answer = invoke("run", "hello", "--var", "who=you")
        assert answer.code == 2
        assert "bad.yaml:1: workflows[0].actions: is required" in answer.err
        assert "bad.yaml:2: bogus: unknown key" in answer.err


UNDONE = """\
workflows:
  - name: undone
    rollback_strategy: {triggers: [action_failure]}
    actions:
      - name: a
        action_type: shell.run
        parameters: {command: ["true"]}
        rollback: {action_type: shell.run, parameters: {command: ["true"]}}
      - name: b
        action_type: shell.run
        parameters: {command: ["true"]}
        rollback: {action_type: shell.run, parameters: {command: ["false"]}}
      - {name: c, action_type: shell.run, parameters: {command: ["true"]}}
      - {name: d, action_type: flow.fail, parameters: {message: enough}}
"""


class TestExecutions:
    def test_are_listed_and_shown(self, invoke: Invoke) -> None:
        execution = run_hello(invoke)["execution"]
        listed = invoke("executions", "list")
        assert listed.code == 0
        assert listed.out.splitlines()[0].split() == ["ID", "WORKFLOW", "STATUS", "CREATED", "TOOK", "WHY"]
        assert execution["id"] in listed.out
        shown = invoke("executions", "show", execution["id"])
        assert "hello you" in shown.out
        followed = invoke("executions", "show", execution["id"], "--follow", "--json")
        assert followed.code == 0
        assert followed.document["execution"] == execution

    def test_there_are_none_at_first(self, invoke: Invoke) -> None:
        assert invoke("executions", "list").out == "there are no executions\n"
        assert invoke("executions", "list", "--json").document == {"items": [], "next_cursor": None}

    def test_what_was_undone_and_what_was_not_is_shown(
        self, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AUTOMATION_LEVEL", "autonomous")
        (tmp_path / "automation.d" / "undone.yaml").write_text(UNDONE, encoding="utf-8")
        answer = invoke("run", "undone")
        assert answer.code == 1
        facts = dict(line.split("  ", 1) for line in answer.out.splitlines() if "  " in line)
        assert facts["undone"].strip() == "a"
        assert facts["not undone"].strip() == "b: 'false' exited with code 1"
        assert facts["no undo"].strip() == "c"

    def test_are_paged(self, invoke: Invoke) -> None:
        for _ in range(2):
            run_hello(invoke)
        first = invoke("executions", "list", "--limit", "1", "--json").document
        second = invoke("executions", "list", "--limit", "1", "--cursor", first["next_cursor"], "--json").document
        assert first["items"][0]["id"] > second["items"][0]["id"]
        assert f"--cursor {first['next_cursor']}" in invoke("executions", "list", "--limit", "1").out

    def test_the_beginning_or_end_of_an_id_will_do(self, invoke: Invoke) -> None:
        ids = [run_hello(invoke)["execution"]["id"] for _ in range(2)]
        assert f"execution     {ids[0]}\n" in invoke("executions", "show", ids[0][-12:]).out
        assert invoke("executions", "show", ids[1][:-1], "--json").document["execution"]["id"] == ids[1]
        again = invoke("executions", "rerun", ids[0][-8:], "--var", "who=you", "--json").document["execution_id"]
        forked = invoke("executions", "fork", again[-8:], "--from", "nap").out
        assert forked.startswith("started ")
        invoke("run", "slow", "--timeout", "0.1")
        slow = invoke("executions", "list", "--json").document["items"][0]["id"][-12:]
        for command in ("pause", "resume", "cancel", "retry"):
            answer = invoke("executions", command, slow)
            assert (answer.code, slow in answer.out) == (0, True), (command, answer.err)
        careful = [invoke("run", "careful", "--json").document["execution"]["id"] for _ in range(2)]
        assert invoke("executions", "approve", careful[0][-12:], "--action", "act").code == 0
        assert invoke("executions", "deny", careful[1][-12:], "--action", "act").code == 0

    def test_a_part_of_several_ids_is_refused_with_all_of_them(self, invoke: Invoke) -> None:
        ids = [run_hello(invoke)["execution"]["id"] for _ in range(2)]
        answer = invoke("executions", "cancel", ids[0][:4])
        assert answer.code == 2
        first, second = answer.err.splitlines()
        assert first == f"error: several executions have an id that begins or ends with '{ids[0][:4]}': give more of it"
        assert [part.split()[0] for part in second.split("), ")] == ids[::-1]
        assert "(hello, " in second
        for text in (ids[0][:3], ids[0][9:20], "%", "", ids[0] + "0"):
            assert invoke("executions", "show", text).err == f"error: there is no execution named {text!r}\n"

    def test_an_unknown_status_is_refused(self, invoke: Invoke) -> None:
        answer = invoke("executions", "list", "--status", "zzz")
        assert answer.code == 2
        assert answer.err.startswith("error: --status: 'zzz' is none of proposed, pending, running")

    @pytest.mark.parametrize("command", ["show", "cancel", "approve", "deny"])
    def test_an_unknown_one_is_exit_code_2(self, invoke: Invoke, command: str) -> None:
        answer = invoke("executions", command, "nosuch")
        assert answer.code == 2
        assert answer.err == "error: there is no execution named 'nosuch'\n"

    def test_one_that_waits_for_approval_is_approved(self, invoke: Invoke) -> None:
        asked = invoke("run", "careful", "--json")
        assert asked.code == 1
        execution = asked.document["execution"]["id"]
        assert json.loads(asked.err)["error"]["hint"] == f"automation executions approve {execution} --action act"
        other = invoke("executions", "approve", execution, "--action", "other")
        assert (other.code, "does not wait for approval" in other.err) == (1, True)
        approved = invoke("executions", "approve", execution, "--action", "act", "--reason", "fine")
        assert approved.out == f"approved: {execution} is succeeded now\n"
        assert '"stdout": "hi\\n"' in invoke("executions", "show", execution).out

    def test_one_that_waits_for_approval_is_denied(self, invoke: Invoke) -> None:
        execution = invoke("run", "careful", "--json").document["execution"]["id"]
        assert invoke("executions", "deny", execution, "--action", "act", "--json").document["status"] == "failed"
        late = invoke("executions", "cancel", execution)
        assert (late.code, "has already ended" in late.err) == (1, True)

    def test_what_waits_is_listed_and_answered_by_its_own_id(self, invoke: Invoke) -> None:
        execution = invoke("run", "careful", "--json").document["execution"]["id"]
        [approval] = invoke("approvals", "list", "--json").document["items"]
        assert (approval["execution_id"], approval["action"]) == (execution, "act")
        listed = invoke("approvals", "list", "--workflow", "careful")
        assert listed.out.splitlines()[0].split() == [
            *("ID", "WORKFLOW", "ACTION", "EFFECT", "STATUS", "APPROVED", "ASKED", "EXPIRES", "WHY")
        ]
        assert "0 of 1" in listed.out
        answered = invoke("approvals", "approve", approval["id"], "--reason", "fine")
        assert answered.out == "act of careful is approved\n"
        assert invoke("executions", "show", execution, "--json").document["execution"]["status"] == "succeeded"
        late = invoke("approvals", "deny", approval["id"])
        assert (late.code, "it was approved by local" in late.err) == (1, True)
        assert invoke("approvals", "list").out == "nothing waits for approval\n"
        assert len(invoke("approvals", "list", "--status", "all", "--json").document["items"]) == 1
        assert invoke("approvals", "approve", "nosuch").code == 2
        assert invoke("approvals", "list", "--status", "done").code == 2

    def test_who_started_it_is_told_who_else_has_to_approve(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "automation.d" / "others.yaml").write_text(
            "workflows: [{name: others, approval: {not_self: true}, actions: "
            "[{name: a, action_type: shell.run, effect: critical, parameters: {command: [cp]}}]}]",
            encoding="utf-8",
        )
        invoke("run", "others")
        [approval] = invoke("approvals", "list", "--json").document["items"]

        assert invoke("approvals", "approve", approval["id"]).out == (
            "a of others is pending (somebody else than local, who started it, has to approve)\n"
        )

    def test_one_that_waits_is_cancelled(self, invoke: Invoke) -> None:
        invoke("run", "slow", "--timeout", "0.1")
        execution = invoke("executions", "list", "--json").document["items"][0]["id"]
        assert invoke("executions", "cancel", execution, "--reason", "enough").code == 0
        detail = invoke("executions", "show", execution, "--json").document
        assert detail["execution"]["status"] == "cancelled"

    def test_one_that_waits_is_paused_and_resumed(self, invoke: Invoke) -> None:
        invoke("run", "slow", "--timeout", "0.1")
        execution = invoke("executions", "list", "--json").document["items"][0]["id"]
        paused = invoke("executions", "pause", execution, "--reason", "not now")
        assert paused.out == f"asked to pause: {execution} is paused now\n"
        twice = invoke("executions", "pause", execution)
        assert (twice.code, "is paused already" in twice.err) == (1, True)
        assert invoke("executions", "list", "--status", "paused", "--json").document["items"][0]["id"] == execution
        assert invoke("executions", "resume", execution).out == f"resumed: {execution} is waiting now\n"

    def test_one_is_done_again(self, invoke: Invoke) -> None:
        first = run_hello(invoke)["execution"]["id"]
        refused = invoke("executions", "retry", first)
        assert (refused.code, "has succeeded; to do it all again, rerun it" in refused.err) == (1, True)
        again = invoke("executions", "rerun", first, "--var", "who=them", "--reason", "for them", "--json").document
        assert again["status"] == "succeeded"
        shown = invoke("executions", "show", again["execution_id"]).out
        assert "hello them" in shown
        assert f"rerun of      {first}" in shown
        assert f"rerun of {first}: for them" in shown
        keyed = [
            invoke("executions", *command, first, *further, "--key", key, "--json").document["execution_id"]
            for command, further, key in (
                (["rerun"], [], "again"),
                (["rerun"], [], "again"),
                (["fork"], ["--from", "nap"], "once more"),
                (["fork"], ["--from", "nap"], "once more"),
            )
        ]
        assert (keyed[0], keyed[2]) == (keyed[1], keyed[3])
        assert keyed[0] != keyed[2]
        forked = invoke("executions", "fork", first, "--from", "nap")
        assert forked.code == 0
        assert forked.out.endswith("is succeeded now\n")
        assert invoke("executions", "fork", first, "--from", "nosuch").code == 2
        assert invoke("executions", "retry", "nosuch").code == 2

    async def test_one_of_a_running_engine_is_not_touched_behind_its_back(self, invoke: Invoke) -> None:
        import asyncio

        async with AutomationEngine(AutomationConfig.load()):
            answer = await asyncio.to_thread(invoke, "executions", "cancel", "any")
        assert answer.code == 2
        assert "an engine works on this database" in answer.err
        assert "set AUTOMATION_URL" in answer.err


class TestEvents:
    def test_start_what_they_match(self, invoke: Invoke) -> None:
        receipt = invoke(
            "events", "publish", "ping", "--subject", "web", "--data", "n=1", "--id", "a", "--json"
        ).document
        assert len(receipt["executions"]) == 1
        detail = invoke("executions", "show", receipt["executions"][0], "--json").document
        assert detail["execution"]["status"] == "succeeded"
        again = invoke("events", "publish", "ping", "--id", "a")
        assert "yes, it was published before" in again.out
        listed = invoke("events", "list", "--type", "ping", "--json").document["items"]
        assert [item["event"]["data"] for item in listed] == [{"n": 1}]
        assert "web" in invoke("events", "list").out

    def test_that_start_nothing_are_kept(self, invoke: Invoke) -> None:
        assert "started  nothing" in invoke("events", "publish", "silence").out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [(["x" * 300], "event.type: must be text of at most 200"), (["x", "--data", "y"], "--data: 'y' is not NAME=")],
    )
    def test_wrong_ones_are_refused(self, invoke: Invoke, arguments: list[str], message: str) -> None:
        answer = invoke("events", "publish", *arguments)
        assert answer.code == 2
        assert message in answer.err


class TestAlerts:
    async def test_are_listed_and_acknowledged(self, invoke: Invoke) -> None:
        config = AutomationConfig.load()
        async with AutomationEngine(config) as engine:
            engine.register_alert_workflow({"name": "hot", "condition": "temperature > 30"})
            await engine.observe("temperature", 35, subject="oven")
        [alert] = (await asyncio.to_thread(invoke, "alerts", "list", "--json")).document["items"]
        assert (alert["name"], alert["state"]) == ("hot", "firing")
        done = await asyncio.to_thread(invoke, "alerts", "acknowledge", alert["fingerprint"])
        assert done.out == "hot is acknowledged now\n"
        again = await asyncio.to_thread(invoke, "alerts", "acknowledge", alert["fingerprint"])
        assert (again.code, again.err) == (1, "error: alert hot is acknowledged, not firing\n")
        listed = await asyncio.to_thread(invoke, "alerts", "list", "--state", "acknowledged")
        assert "oven" in listed.out

    def test_unknown_ones_are_refused(self, invoke: Invoke) -> None:
        assert invoke("alerts", "acknowledge", "nosuch").code == 2
        assert invoke("alerts", "list", "--state", "hot").code == 2
        assert invoke("alerts", "list").out == "there are no alerts\n"


class TestMetrics:
    async def test_are_listed_and_shown(self, invoke: Invoke) -> None:
        async with AutomationEngine(AutomationConfig.load()) as engine:
            await engine.observe("cpu_usage", 35, subject="oven", labels={"rack": "1"})
        listed = await asyncio.to_thread(invoke, "metrics", "list")
        assert "cpu_usage  1       percent" in listed.out
        shown = await asyncio.to_thread(invoke, "metrics", "show", "cpu_usage")
        assert "buckets of 60 seconds" in shown.out
        assert "oven  rack=1" in shown.out
        assert " 35 " in shown.out
        step = await asyncio.to_thread(invoke, "metrics", "show", "cpu_usage", "--step", "7")
        assert (step.code, "there are no buckets of 7 seconds" in step.err) == (2, True)
        other = await asyncio.to_thread(invoke, "metrics", "show", "cpu_usage", "--subject", "sink")
        assert "there are no samples of that time" in other.out

    def test_none_are_none(self, invoke: Invoke) -> None:
        assert invoke("metrics", "list").out == "there are no samples\n"
        assert invoke("metrics", "show", "heat").code == 2


class TestAlertBacktest:
    async def test_a_rule_is_tried_on_the_history(self, invoke: Invoke, folder: Path) -> None:
        async with AutomationEngine(AutomationConfig.load()) as engine:
            now = engine.clock.now()
            for back, value in ((600, 25), (540, 35), (480, 36), (300, 20)):
                await engine.observe("temperature", value, subject="oven", time=now - back)
        lower = folder / "lower.yaml"
        lower.write_text("alerts:\n  - {name: hot, condition: temperature > 22}\n", encoding="utf-8")

        plain = await asyncio.to_thread(invoke, "alerts", "backtest", "hot", "--since", "1h")
        compared = await asyncio.to_thread(
            invoke, "alerts", "backtest", "hot", "--since", "1h", "--definition", str(lower), "--json"
        )

        assert plain.code == 0
        assert "every 60 s on the last value, 4 values of 1 series of history" in plain.out
        assert "would fire" in plain.out
        assert "oven" in plain.out
        assert compared.document["tried"]["count"] == 1
        assert compared.document["current"]["count"] == 1
        unknown = await asyncio.to_thread(invoke, "alerts", "backtest", "nosuch", "--since", "1h")
        assert unknown.code == 2
        wrong = await asyncio.to_thread(invoke, "alerts", "backtest", "hot", "--since", "1h", "--figure", "p99")
        assert (wrong.code, "none of last, avg, min, max" in wrong.err) == (2, True)


class TestDefinitions:
    def test_workflows_are_listed(self, invoke: Invoke) -> None:
        items = {item["name"]: item for item in invoke("workflows", "list", "--json").document["items"]}
        assert set(items) == {"hello", "on_ping", "hopeless", "slow", "careful", "hot"}
        assert items["hot"]["triggers"][0]["type"] == "alert"
        assert "alert hot" in invoke("workflows", "list").out

    def test_a_workflow_is_shown(self, invoke: Invoke) -> None:
        shown = invoke("workflows", "show", "hello")
        assert "description: Says hello" in shown.out
        assert "null" not in shown.out
        assert invoke("workflows", "show", "hello", "--json").document["layers"] == [["greet"], ["nap"]]
        assert invoke("workflows", "show", "nosuch").code == 2

    def test_the_versions_of_a_workflow_are_listed_and_shown(self, invoke: Invoke, tmp_path: Path) -> None:
        first = run_hello(invoke)["execution"]["definition_id"]
        file = tmp_path / "automation.d" / "definitions.yaml"
        file.write_text(file.read_text(encoding="utf-8").replace("Says hello", "Says it louder"), encoding="utf-8")
        second = run_hello(invoke)["execution"]["definition_id"]

        items = invoke("workflows", "versions", "hello", "--json").document["items"]
        assert [(item["id"], item["in_force"]) for item in items] == [(second, True), (first, False)]
        assert invoke("workflows", "versions", "hello").out.splitlines()[0].split() == [
            "ID",
            "REGISTERED",
            "IN",
            "FORCE",
        ]
        assert "description: Says hello" in invoke("workflows", "versions", "hello", first[:8]).out
        shown = invoke("workflows", "versions", "hello", second, "--json").document
        assert shown["definition"]["description"] == "Says it louder"
        assert invoke("workflows", "versions", "hello", "0000000").code == 2
        assert invoke("workflows", "versions", "nosuch").code == 2

    def test_services_are_listed(self, invoke: Invoke) -> None:
        assert invoke("services", "list").out.splitlines()[1].split() == [
            "web",
            "process",
            "0",
            "1",
            "to",
            "10",
            "-",
            "-",
        ]
        [view] = invoke("services", "list", "--json").document["items"]
        assert (view["definition"]["name"], view["replicas"], view["error"]) == ("web", [], None)


class TestTokens:
    def test_are_issued_listed_and_revoked(self, invoke: Invoke) -> None:
        issued = invoke("tokens", "issue", "ci", "--role", "automation_viewer", "--expires", "12h", "--json").document
        assert issued["token"].startswith("aut_")
        listed = invoke("tokens", "list")
        assert "automation_viewer" in listed.out
        assert issued["token"] not in listed.out
        assert invoke("tokens", "revoke", issued["info"]["id"]).code == 0
        assert invoke("tokens", "list", "--json").document["items"][0]["revoked_at"] is not None
        assert invoke("tokens", "revoke", issued["info"]["id"]).code == 1

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["ci", "--role", "king"], "there is no role 'king'"),
            (["no spaces", "--role", "automation_viewer"], "cannot be the name of a token"),
            (["ci", "--role", "automation_viewer", "--expires", "soon"], "--expires: 'soon' is not a duration"),
            (["ci", "--role", "automation_viewer", "--expires", "-1h"], "--expires: '-1h' is not a duration"),
            (["ci", "--role", "automation_viewer", "--expires", "90"], "--expires: '90' has no unit"),
        ],
    )
    def test_wrong_ones_are_refused(self, invoke: Invoke, arguments: list[str], message: str) -> None:
        answer = invoke("tokens", "issue", *arguments)
        assert answer.code == 2
        assert message in answer.err

    def test_can_be_issued_before_there_is_a_database(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "new.yaml").write_text("data_dir: fresh\n", encoding="utf-8")
        assert invoke("tokens", "issue", "ci", "--role", "automation_admin", "-c", "new.yaml").code == 0
        assert (tmp_path / "fresh" / "automation.db").exists()


class TestAudit:
    def test_verifies(self, invoke: Invoke) -> None:
        run_hello(invoke)
        verified = invoke("audit", "verify")
        assert verified.code == 0
        assert verified.out.endswith("audit rows: every row fits the one before it\n")
        rows = invoke("audit", "list", "--kind", "workflow_execution", "--json").document["items"]
        assert [row["act"] for row in rows] == ["end", "start"]
        assert "flow.set" in invoke("audit", "list").out
        assert invoke("audit", "list", "--kind", "zzz").code == 2

    def test_tells_a_changed_row(self, invoke: Invoke, tmp_path: Path) -> None:
        import sqlite3

        run_hello(invoke)
        with sqlite3.connect(tmp_path / "automation-data" / "automation.db") as connection:
            connection.execute("UPDATE audit SET actor = 'mallory' WHERE seq = 2")
        connection.close()
        answer = invoke("audit", "verify")
        assert answer.code == 1
        assert "main/2: was changed" in answer.out
        assert invoke("audit", "verify", "--json").document["valid"] is False


class TestReadingOnly:
    @pytest.mark.parametrize(
        "command",
        ["executions list", "events list", "alerts list", "tokens list", "audit verify", "audit list"],
    )
    def test_takes_up_no_work(self, invoke: Invoke, command: str) -> None:
        invoke("run", "slow", "--timeout", "0.1")
        before = invoke("audit", "list", "--json").document
        assert invoke(*command.split()).code == 0
        assert invoke("audit", "list", "--json").document == before
        assert invoke("executions", "list", "--json").document["items"][0]["status"] == "waiting"

    def test_makes_no_database(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "new.yaml").write_text("data_dir: fresh\n", encoding="utf-8")
        answer = invoke("executions", "list", "-c", "new.yaml")
        assert answer.code == 2
        assert answer.err.startswith("error: there is no database fresh/automation.db yet\n  start with")
        assert not (tmp_path / "fresh").exists()


class TestOtherEngines:
    """Which of the processes that the database knows are in the way of changing things behind their back."""

    @pytest.mark.parametrize(
        ("host", "dead", "lease", "code"),
        [("elsewhere", True, 60, 2), ("elsewhere", True, -1, 0), (None, True, 60, 0), (None, False, 60, 2)],
    )
    def test_a_living_one_is(
        self, invoke: Invoke, tmp_path: Path, host: str | None, dead: bool, lease: int, code: int
    ) -> None:
        import os
        import sqlite3
        import time

        from automation.infrastructure.processes import began, machine

        invoke("run", "slow", "--timeout", "0.1")
        execution = invoke("executions", "list", "--json").document["items"][0]["id"]
        started = (began(os.getpid()) or 0) - (500 if dead else 0)
        connection = sqlite3.connect(tmp_path / "automation-data" / "automation.db")
        columns = [row[1] for row in connection.execute("PRAGMA table_info(nodes)")]
        values = {
            "id": "other",
            "host": host or machine(),
            "pid": os.getpid(),
            "process_started": started,
            "lease_until": time.time() + lease,
        }
        row = [values.get(column, 0) for column in columns]
        connection.execute(f"INSERT INTO nodes VALUES ({','.join('?' * len(row))})", row)
        connection.commit()
        connection.close()
        assert invoke("executions", "cancel", execution).code == code


def test_a_large_value_is_shown_by_its_size_until_it_is_asked_for(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOMATION_STORE__INLINE_BYTES", "1024")
    who = "x" * 5000
    execution_id = invoke("run", "hello", "--var", f"who={who}", "--json").document["execution"]["id"]

    shown = invoke("executions", "show", execution_id)
    assert who not in shown.out
    assert 'variables     {"who": "(5 kB: --whole shows it)"}' in shown.out
    assert invoke("executions", "show", execution_id, "--json").document["variables"]["who"]["size"] == 5002
    assert who in invoke("executions", "show", execution_id, "--whole").out
