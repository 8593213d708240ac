"""`automation import prometheus-rules`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from automation.definitions import read_or_raise
from automation.definitions.prometheus_rules import duration_seconds
from tests.unit.cli.conftest import Invoke

RULES = """\
groups:
  - name: node
    interval: 1m
    labels: {team: infra}
    rules:
      - record: instance:node_cpu:ratio
        expr: 1 - avg without (cpu, mode) (rate(node_cpu_seconds_total{mode="idle"}[5m]))
      - alert: NodeFilesystemSpaceFillingUp
        expr: |
          (
            node_filesystem_avail_bytes{fstype!=""} / node_filesystem_size_bytes{fstype!=""} * 100 < 15
          and
            predict_linear(node_filesystem_avail_bytes{fstype!=""}[6h], 24*60*60) < 0
          )
        for: 1h
        labels:
          severity: warning
        annotations:
          summary: Filesystem is predicted to run out of space within the next 24 hours.
          description: 'Filesystem on {{ $labels.device }} has only {{ printf "%.2f" $value }}% left.'
      - alert: NodeFilesystemSpaceFillingUp
        expr: node_filesystem_avail_bytes < 5
        for: 1h30m
        keep_firing_for: 5m
        labels: {severity: critical}
  - name: shop
    limit: 10
    rules:
      - alert: Job is down!
        expr: up{job="shop"} == 0
        labels: {severity: page, runbook: 7}
      - alert: Watchdog
        expr: vector(1)
"""

REPORT = """\
rules.yml:6: instance:node_cpu:ratio: a recording rule is left to Prometheus: queries go on using what it records there
rules.yml:20: NodeFilesystemSpaceFillingUp: the template in annotations.description is kept as it is written, and not filled in
rules.yml:21: NodeFilesystemSpaceFillingUp: is named NodeFilesystemSpaceFillingUp-2 here, where each name is valid and there once
rules.yml:24: NodeFilesystemSpaceFillingUp: keep_firing_for is left out: it has no equivalent, and the alert ends with its expression
rules.yml:27: shop: limit of the group is left out: it has no equivalent
rules.yml:29: Job is down!: is named Job-is-down- here, where each name is valid and there once
rules.yml:31: Job is down!: severity 'page' is none of ours: it stays a label, and the alert is medium
4 alerts, 7 notes
"""  # noqa: E501 - as it is printed


@pytest.fixture
def rules(folder: Path) -> Path:
    (folder / "rules.yml").write_text(RULES, encoding="utf-8")
    return folder


def test_the_file_that_is_made_passes_the_check(rules: Path, invoke: Invoke) -> None:
    answer = invoke("import", "prometheus-rules", "rules.yml", "--output", "made.yaml", "--url", "http://prom:9090")
    assert (answer.code, answer.out) == (0, REPORT)
    checked = invoke("check", "made.yaml")
    assert (checked.code, checked.out) == (0, "1 files, 4 alerts, 4 monitors: 0 errors, 0 warnings\n")

    made = read_or_raise([rules / "made.yaml"])
    written = {alert.name: alert for alert in made.alerts}
    assert [(alert.condition, alert.severity.value) for alert in made.alerts] == [
        ("prometheus_alert_NodeFilesystemSpaceFillingUp == 1 AND duration >= 3600s", "warning"),
        ("prometheus_alert_NodeFilesystemSpaceFillingUp_2 == 1 AND duration >= 5400s", "critical"),
        ("prometheus_alert_Job_is_down_ == 1", "medium"),
        ("prometheus_alert_Watchdog == 1", "medium"),
    ]
    filling = written["NodeFilesystemSpaceFillingUp"]
    assert filling.labels == {"team": "infra", "severity": "warning"}
    assert filling.annotations["description"].startswith("Filesystem on {{ $labels.device }} has only")
    assert written["Job-is-down-"].labels == {"severity": "page", "runbook": "7"}
    # PromQL stays PromQL, to the last character.
    expressions = [rule["expr"].strip() for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"]][1:]
    assert [monitor.settings["query"] for monitor in made.monitors] == expressions
    assert {monitor.settings["url"] for monitor in made.monitors} == {"http://prom:9090"}
    assert [monitor.interval_seconds for monitor in made.monitors] == [60, 60, None, None]
    assert [monitor.settings["metric"] for monitor in made.monitors] == [
        alert.condition.split()[0] for alert in made.alerts
    ]


def test_without_output_the_definitions_are_alone_on_stdout(rules: Path, invoke: Invoke) -> None:
    answer = invoke("import", "prometheus-rules", "rules.yml")
    assert len(yaml.safe_load(answer.out)["alerts"]) == 4
    assert answer.err == REPORT
    found = invoke("import", "prometheus-rules", "rules.yml", "--json").document
    assert len(found["monitors"]) == 4
    assert found["notes"][0] == {"line": 6, "rule": "instance:node_cpu:ratio", "message": found["notes"][0]["message"]}


def test_a_file_that_is_there_is_written_over_only_by_force(rules: Path, invoke: Invoke) -> None:
    (rules / "made.yaml").write_text("mine", encoding="utf-8")
    call = ("import", "prometheus-rules", "rules.yml", "--output", "made.yaml")
    refused = invoke(*call)
    assert refused.code == 2
    assert "made.yaml is there already: name another file, or write over it with --force" in refused.err
    assert (rules / "made.yaml").read_text(encoding="utf-8") == "mine"
    assert invoke(*call, "--force").code == 0
    assert invoke("check", "made.yaml").code == 0
    assert invoke(*call[:-1], "nowhere/made.yaml").code == 2


@pytest.mark.parametrize("text", ["", "# none yet\n", "---\n", "~\n", "{}\n", "groups:\n", "groups: []\n"])
def test_a_file_without_rules_is_one_for_prometheus_too(folder: Path, invoke: Invoke, text: str) -> None:
    (folder / "none.yml").write_text(text, encoding="utf-8")
    answer = invoke("import", "prometheus-rules", "none.yml", "--output", "made.yaml")
    assert (answer.code, answer.out) == (0, "0 alerts, 0 notes\n")
    assert invoke("check", "made.yaml").code == 0


def test_a_key_without_a_value_is_as_in_prometheus(folder: Path, invoke: Invoke) -> None:
    text = "groups: [{name: a, limit: , rules: [{alert: A, expr: up, for: , labels: {team: }, annotations: }]}]"
    (folder / "rules.yml").write_text(text, encoding="utf-8")
    answer = invoke("import", "prometheus-rules", "rules.yml", "--output", "made.yaml")
    assert (answer.code, answer.out) == (0, "1 alerts, 0 notes\n")
    (alert,) = read_or_raise([folder / "made.yaml"]).alerts
    assert (alert.condition, alert.labels) == ("prometheus_alert_A == 1", {"team": ""})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("'~'", "bad.yml:1: must be one mapping with the key 'groups'"),
        ("groups:\n---\ngroups:\n", "bad.yml:3: must be one mapping"),
        ("groups:\n  - name: a\n    ruels:\n", "bad.yml:3: groups[0].ruels: unknown key; did you mean 'rules'?"),
        (
            "groups:\n  - name: a\n    rules: [{alert: A, expr: }]\n",
            "bad.yml:3: groups[0].rules[0].expr: must be a text",
        ),
        ("- a\n", "bad.yml:1: must be one mapping"),
        ("groups: [\n", "bad.yml:2: not valid YAML"),
        ("groups:\n  - name: a\n    rules:\n      - {alert: A}\n", "bad.yml:4: groups[0].rules[0].expr: is required"),
        ("groups:\n  - name: a\n    rules:\n      - expr: up\n", "bad.yml:4: groups[0].rules[0]: a rule has either"),
        ("groups:\n  - name: a\n    rules:\n      - alert: A\n        record: b\n        expr: up\n", "bad.yml:4: "),
        (
            "groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: up\n        for: 5 minutes\n",
            "bad.yml:6: groups[0].rules[0].for: '5 minutes' is not a duration of Prometheus",
        ),
        (
            "groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: up\n        fore: 5m\n",
            "bad.yml:6: groups[0].rules[0].fore: unknown key",
        ),
        ("groups:\n  - name: a\n  - name: a\n", "bad.yml:3: groups[1].name: there is already a group 'a'"),
        ("groups:\n  - {name: a, name: b}\n", "bad.yml:2: groups[0].name"),
    ],
)
def test_a_bad_file_is_refused_with_its_lines(folder: Path, invoke: Invoke, text: str, said: str) -> None:
    (folder / "bad.yml").write_text(text, encoding="utf-8")
    answer = invoke("import", "prometheus-rules", "bad.yml", "--output", "made.yaml")
    assert answer.code == 2
    assert said in answer.err
    assert not (folder / "made.yaml").exists()


@pytest.mark.parametrize("url", ["localhost:9090", "ftp://prom", "http://"])
def test_a_prometheus_that_is_no_url_is_refused(folder: Path, invoke: Invoke, url: str) -> None:
    (folder / "none.yml").write_text("groups: []\n", encoding="utf-8")
    answer = invoke("import", "prometheus-rules", "none.yml", "--output", "made.yaml", "--url", url)
    assert (answer.code, f"--url: {url!r} is not a URL such as" in answer.err) == (2, True)
    assert not (folder / "made.yaml").exists()


def test_a_file_that_cannot_be_read_is_said_to_be(folder: Path, invoke: Invoke) -> None:
    assert "nowhere.yml: cannot be read: No such file" in invoke("import", "prometheus-rules", "nowhere.yml").err


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("5m", 300), ("1h30m", 5400), ("1d", 86_400), ("1w2d", 777_600), ("500ms", 0.5)]
)
def test_durations_of_prometheus(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


RULEBOOK = """\
- name: Shop
  hosts: all
  sources: [{ansible.eda.webhook: {port: 5000}}]
  rules:
    - name: high load
      condition: event.payload.load > vars.limit
      action: {debug: {msg: "{{ event.payload.host }}"}}
    - name: facts
      condition: fact.os == "linux"
      action: {none: }
"""


def test_a_rulebook_becomes_workflows_that_pass_the_check(folder: Path, invoke: Invoke) -> None:
    (folder / "rulebook.yml").write_text(RULEBOOK, encoding="utf-8")
    (folder / "vars.yml").write_text("limit: 5\n", encoding="utf-8")

    answer = invoke("import", "ansible-rulebook", "rulebook.yml", "--vars", "vars.yml", "--output", "made.yaml")

    assert (answer.code, answer.out.splitlines()) == (
        0,
        [
            "rulebook.yml:3: Shop: webhook: senders post to /webhooks/Shop here",
            "rulebook.yml:9: facts: the rule is left out: fact.os is a fact, which has no equivalent: have the events "
            "carry it as data",
            "1 workflows, 1 rules left out, 2 notes",
        ],
    )
    checked = invoke("check", "made.yaml")
    assert (checked.code, checked.out) == (0, "1 files, 1 workflows: 0 errors, 0 warnings\n")
    [workflow] = read_or_raise([folder / "made.yaml"]).workflows
    assert workflow.name == "Shop.high-load"
    assert workflow.model_dump(mode="json")["triggers"][0]["condition"] == "event.data.load > 5"


def test_a_rulebook_as_json_has_its_notes_beside_its_workflows(folder: Path, invoke: Invoke) -> None:
    (folder / "rulebook.yml").write_text(RULEBOOK, encoding="utf-8")
    found = invoke("import", "ansible-rulebook", "rulebook.yml", "--json").document
    assert (found["workflows"], found["sources"]) == ([], [])
    assert [(note["line"], note["rule"]) for note in found["notes"]] == [(3, "Shop"), (6, "high load"), (9, "facts")]
