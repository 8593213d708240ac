"""Rulebooks as workflows, and what these do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from automation import Event
from automation.definitions import read_or_raise
from automation.definitions.rulebook.importing import ImportedRules, import_rulebook
from automation.errors import DefinitionError
from automation.testing import engine


def imported(folder: Path, rules: str, **settings: str) -> ImportedRules:
    """The rules of one ruleset named `shop`."""
    head = "".join(f"  {key}: {value}\n" for key, value in settings.items())
    indented = "".join(f"    {line}\n" for line in rules.splitlines())
    (folder / "rulebook.yml").write_text(
        f"- name: shop\n  hosts: all\n{head}  sources: [{{range: {{limit: 5}}}}]\n  rules:\n{indented}",
        encoding="utf-8",
    )
    return import_rulebook(folder / "rulebook.yml")


def rule(condition: str, more: str = "", name: str = "r", action: str = "debug:") -> str:
    return f"- name: {name}\n  condition: {condition}\n  action: {{{action} }}\n{more}"


async def started(folder: Path, made: ImportedRules, steps: Sequence[dict[str, Any] | float]) -> list[str]:
    """The workflows that these events, and seconds that pass between them, start: in order, without `shop.`."""
    (folder / "made.yaml").write_text(made.yaml(), encoding="utf-8")
    async with engine() as running:
        for workflow in read_or_raise([folder / "made.yaml"]).workflows:
            await running.register_workflow(workflow)
        for step in steps:
            if isinstance(step, float):
                await running.clock.advance(step)
            else:
                await running.publish(Event(type="shop", data=step))
            await running.clock.advance(0.001)
        await running.drain()
        found = (await running.queries.executions()).items
    return [execution.workflow.removeprefix("shop.") for execution in reversed(found)]


async def test_only_the_first_rule_that_an_event_fulfils_starts_its_workflow(tmp_path: Path) -> None:
    rules = rule("event.i == 1", name="one") + "\n" + rule("event.i > 0", name="more")
    events = [{"i": 1}, {"i": 2}]
    assert await started(tmp_path, imported(tmp_path, rules), events) == ["one", "more"]
    several = imported(tmp_path, rules, match_multiple_rules="true")
    assert sorted(await started(tmp_path, several, events)) == ["more", "more", "one"]


async def test_all_within_the_timeout(tmp_path: Path) -> None:
    made = imported(tmp_path, rule("{all: [event.i == 1, event.j == 2], timeout: 10 seconds}"))
    assert await started(tmp_path, made, [{"i": 1}, 11.0, {"j": 2}]) == []
    assert await started(tmp_path, made, [{"j": 2}, 9.0, {"i": 1}]) == ["r"]


async def test_without_a_timeout_events_wait_as_long_as_the_ruleset_says(tmp_path: Path) -> None:
    made = imported(tmp_path, rule("{all: [event.i == 1, event.j == 2]}"), default_events_ttl="5 minutes")
    assert made.workflows[0]["triggers"][0]["within"] == "5m"
    assert imported(tmp_path, rule("{all: [event.i == 1, event.j == 2]}")).workflows[0]["triggers"][0]["within"] == "2h"


async def test_events_with_something_in_common_are_followed_by_it(tmp_path: Path) -> None:
    made = imported(
        tmp_path,
        rule('{all: ["events.down << event.up == false", "event.up == true and event.host == events.down.host"]}'),
    )
    [trigger] = made.workflows[0]["triggers"]
    assert (trigger["type"], trigger["key"]) == ("all", "event.data.host")
    assert [part.get("condition") for part in trigger["events"]] == ["event.data.up == false", "event.data.up == true"]
    down, up = {"host": "a", "up": False}, {"host": "a", "up": True}
    assert await started(tmp_path, made, [down, {**up, "host": "b"}]) == []
    assert await started(tmp_path, made, [up, {**down, "host": "b"}, down]) == ["r"]


async def test_other_comparisons_between_events_make_a_sequence(tmp_path: Path) -> None:
    made = imported(tmp_path, rule('{all: ["events.first << event.i == 0", "event.i == events.first.i + 2"]}'))
    assert made.workflows[0]["triggers"][0]["type"] == "sequence"
    assert [note.message for note in made.notes if note.rule == "r"] == [
        "the events have to come in the order of the conditions: one is compared with another"
    ]
    assert await started(tmp_path, made, [{"i": 0}, {"i": 1}, {"i": 2}]) == ["r"]


async def test_not_all_and_any(tmp_path: Path) -> None:
    made = imported(tmp_path, rule("{not_all: [event.i == 1, event.j == 2], timeout: 10 seconds}"))
    assert await started(tmp_path, made, [{"i": 1}, 5.0, {"j": 2}, 20.0]) == []
    assert await started(tmp_path, made, [{"i": 1}, 20.0]) == ["r"]
    made = imported(tmp_path, rule("{any: [event.i == 1, event.j == 2 or event.k == 3 and event.l == 4]}"))
    assert await started(tmp_path, made, [{"i": 1}, {"j": 2}, {"k": 3, "l": 4}]) == ["r", "r"]


async def test_throttles(tmp_path: Path) -> None:
    once = "  throttle: {once_within: 5 minutes, group_by_attributes: [event.host, event.code]}"
    made = imported(tmp_path, rule("event.i == 1", once))
    a, b = {"i": 1, "host": "a", "code": 1}, {"i": 1, "host": "a", "code": 2}
    assert await started(tmp_path, made, [a, a, b, 301.0, a]) == ["r", "r", "r"]
    assert await started(tmp_path, made, [{"i": 1}, {"i": 1, "code": 1}, {"i": 1}]) == ["r", "r"]

    after = "  throttle: {once_after: 5 minutes, group_by_attributes: [event.host]}"
    assert await started(tmp_path, imported(tmp_path, rule("event.i == 1", after)), [a, b, 301.0]) == ["r"]

    several = "  throttle: {accumulate_within: 5 minutes, threshold: 3, group_by_attributes: [event.host]}"
    made = imported(tmp_path, rule("event.i == 1", several))
    assert await started(tmp_path, made, [a, a, {**a, "host": "b"}]) == []
    assert await started(tmp_path, made, [a, a, a]) == ["r"]


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("{not_all: [event.i == 1], timeout: 10 seconds}", "not_all with one condition never holds"),
        ("{all: []}", "the list of conditions is empty"),
        ('{all: ["events.a << event.i == 1", "events.a << event.j == 1"]}', "each event needs a name of its own"),
        ('{all: ["events._a << event.i == 1", "event.j == 1"]}', "each event needs a name of its own"),
        (str({"all": [f"event.i == {number}" for number in range(11)]}), "at most 10 events belong together here"),
        (
            '{not_all: ["events.a << event.i == 1", "event.j == events.a.j + 1"], timeout: 10 seconds}',
            "in not_all, no condition can compare",
        ),
        ('{all: ["event.i == events.b.i", "events.b << event.j == 1"]}', "events.b.i names no other event"),
    ],
)
def test_patterns_that_have_no_equivalent_are_left_out(tmp_path: Path, condition: str, why: str) -> None:
    made = imported(tmp_path, rule(condition))
    assert (made.workflows, made.left_out) == ([], 1)
    assert why in made.notes[-1].message


def test_a_workflow_with_an_action_that_is_to_be_written_is_disabled(tmp_path: Path) -> None:
    made = imported(tmp_path, rule("event.i == 1", action="run_playbook: {name: fix.yml}"))
    [workflow] = made.workflows
    assert workflow["enabled"] is False
    [action] = workflow["actions"]
    assert (action["action_type"], action["description"]) == ("flow.fail", '{"run_playbook": {"name": "fix.yml"}}')
    assert [(note.line, note.rule) for note in made.notes] == [(3, "shop"), (7, "r")]
    assert "ansible-playbook, -i, INVENTORY, fix.yml" in made.notes[1].message


def test_templates_become_expressions_where_they_are_paths(tmp_path: Path) -> None:
    action = 'debug: {msg: ["{{ event.host }} ${x}", "{{ event.a | upper }}"]}'
    made = imported(tmp_path, rule("event.i == 1", action=action))
    assert made.workflows[0]["actions"][0]["parameters"]["values"] == {
        "message": ["${event.data.host} $${x}", "{{ event.a | upper }}"]
    }
    assert made.notes[-1].message == (
        "the template {{ event.a | upper }} is kept as it is written: cannot be read at column 9: '| upper'"
    )


def test_a_disabled_rule_stays_disabled_and_what_has_no_equivalent_is_left_out(tmp_path: Path) -> None:
    rules = rule("event.i == 1", "  enabled: false\n", name="quiet") + rule("fact.os == 'linux'", name="facts")
    made = imported(tmp_path, rules)
    assert [(workflow["name"], workflow["enabled"]) for workflow in made.workflows] == [("shop.quiet", False)]
    assert made.left_out == 1
    assert [note.line for note in made.notes if "the rule is left out: fact.os is a fact" in note.message] == [10]


def test_sources_become_sources_or_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "rulebook.yml").write_text(
        """\
- name: Audit!
  hosts: web
  sources:
    - ansible.eda.kafka: {host: k, port: 9093, topic: audit, group_id: g, verify_mode: CERT_NONE}
      filters: [{json_filter: {exclude_keys: [a]}}]
    - ansible.eda.webhook: {port: 5000, token: t}
    - ansible.eda.aws_sqs_queue: {name: q}
  rules:
    - {name: r, condition: event.body.i == 1 or event.payload.i == 1, action: {none: }}
""",
        encoding="utf-8",
    )
    made = import_rulebook(tmp_path / "rulebook.yml")
    settings = {"servers": ["k:9093"], "topics": ["audit"], "type": "webhook.Audit", "group": "g", "begin": "new"}
    assert made.sources == [{"name": "Audit-kafka-1", "type": "kafka", "settings": settings}]
    [workflow] = made.workflows
    assert workflow["triggers"] == [
        {"type": "event", "event": "webhook.Audit", "condition": "event.data.i == 1 OR event.data.i == 1"}
    ]
    assert [(note.line, note.message.partition(":")[0]) for note in made.notes] == [
        (2, "hosts is left out"),
        (4, "settings of kafka are left out"),
        (4, "the filter json_filter is left out"),
        (6, "webhook"),
        (7, "the source aws_sqs_queue is left out"),
    ]


def test_that_alerts_beside_other_events_are_not_seen_is_told(tmp_path: Path) -> None:
    (tmp_path / "rulebook.yml").write_text(
        """\
- name: Mixed
  hosts: all
  sources: [{ansible.eda.alertmanager: {port: 8000}}, {ansible.eda.webhook: {port: 5000}}]
  rules:
    - {name: r, condition: event.alert.labels.job == "a", action: {none: }}
""",
        encoding="utf-8",
    )
    made = import_rulebook(tmp_path / "rulebook.yml")
    assert "which these rules, of webhook.Mixed, do not see" in made.notes[0].message


def test_alerts_are_taken_in_the_states_that_can_fulfil_the_condition(tmp_path: Path) -> None:
    (tmp_path / "rulebook.yml").write_text(
        """\
- name: Alerts
  hosts: all
  sources: [{ansible.eda.alertmanager: {port: 8000}}]
  rules:
    - {name: one, condition: event.alert.status == "firing" and event.alert.labels.job == "a", action: {none: }}
    - {name: both, condition: event.alert.labels.job == "b", action: {run_playbook: {name: "${x}.yml"}}}
""",
        encoding="utf-8",
    )
    one, both = import_rulebook(tmp_path / "rulebook.yml").workflows
    assert [trigger["event"] for trigger in one["triggers"]] == ["alert.firing"]
    assert [trigger["event"] for trigger in both["triggers"]] == ["alert.firing", "alert.resolved"]
    assert "$${x}.yml" in both["actions"][0]["parameters"]["message"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: b", "rulebook.yml:1: must be one list of rulesets"),
        ("- name: a\n  rule: []\n", "rulebook.yml:2: [0].rule: unknown key; did you mean 'rules'?"),
        ("- name: a\n  rules:\n    - name: r\n      condition: event.i\n", "rulebook.yml:3: [0].rules[0]: a rule has"),
        (
            "- name: a\n  rules:\n    - {name: r, condition: {all: [a], any: [b]}, action: {none: }}\n",
            "one of all, any",
        ),
        (
            "- name: a\n  rules:\n    - {name: r, condition: {any: [a], timeout: 5 days}, action: {none: }}\n",
            "no timeout",
        ),
        ("- name: a\n  rules:\n" + "    - {name: r, condition: a, action: {none: }}\n" * 2, "there are two rules 'r'"),
        ("- name: a\n  default_events_ttl: soon\n", "'soon' is not a length of time such as '5 minutes'"),
    ],
)
def test_a_bad_file_is_refused_with_its_lines(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rulebook.yml").write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionError) as refused:
        import_rulebook(tmp_path / "rulebook.yml")
    assert said in str(refused.value)
