"""What JSON holds, and what the documentation says that it holds."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from automation.api.render import event_mapping, is_time, plain, to_json
from automation.api.schemas import hoist, schema_of
from automation.model.alert import Alert, AlertState
from automation.model.event import Event
from automation.model.execution import Execution, JournalEntry, WorkflowStatus
from automation.model.service import Replica
from automation.model.workflow import Priority, WorkflowDefinition
from automation.store.pages import Page

AT = 1_767_225_600.25
TEXT = "2026-01-01T00:00:00.250Z"


def alert() -> Alert:
    return Alert("f", "cpu", AlertState.FIRING, "high", "alerts", "api", AT, AT, since=(AT, None), cooldown_until=AT)


def test_times_of_nouns_are_rfc_3339() -> None:
    found = plain(alert())
    assert found["state"] == "firing"
    assert found["starts_at"] == found["updated_at"] == found["cooldown_until"] == TEXT
    assert found["since"] == [TEXT, None]
    assert found["resolved_at"] is None
    assert plain(Replica(id="a", service="s", started_at=AT))["started_at"] == TEXT


def test_what_users_sent_stays_as_it_is() -> None:
    event = Event(type="x", time=AT, data={"time": 5, "started_at": 1.5, "since": [1]}, id="1")
    found = plain(event)
    assert found["time"] == TEXT
    assert found["data"] == {"time": 5, "started_at": 1.5, "since": [1]}


def test_journal_entries_show_our_times_and_leave_theirs() -> None:
    body = {"variables": {"until": 5}, "event": {"type": "x", "time": AT, "data": {"time": 1}}, "retry_at": AT}
    found = plain(JournalEntry(execution_id="e", seq=1, at=AT, kind="started", body=body))
    assert found["at"] == TEXT
    assert found["body"] == {
        "variables": {"until": 5},
        "event": {"type": "x", "time": TEXT, "data": {"time": 1}},
        "retry_at": TEXT,
    }
    assert body["retry_at"] == AT


def test_enums_models_and_pages() -> None:
    execution = Execution("1", "w", "d", WorkflowStatus.RUNNING, 2, AT)
    page = json.loads(to_json(Page((execution,), "next")))
    assert page["next_cursor"] == "next"
    assert page["items"][0]["status"] == "running"
    definition = WorkflowDefinition.model_validate({"name": "w", "actions": [{"name": "a", "action_type": "b"}]})
    assert plain(definition)["priority"] == "normal"
    assert plain({Priority.HIGH: {1}}) == {"3": [1]}
    assert event_mapping(None) is None
    assert to_json({"x": float("nan")}) == b'{"x":null}'


@pytest.mark.parametrize("name", ["at", "time", "since", "wake_at", "cooldown_until", "last_run"])
def test_names_of_times(name: str) -> None:
    assert is_time(name)
    assert not is_time(f"{name}_seconds")


def check(value: Any, schema: dict[str, Any], components: dict[str, Any], path: str = "$") -> None:
    """Raise AssertionError where a value is not as its schema says."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        for option in schema["anyOf"]:
            try:
                check(value, option, components, path)
            except AssertionError:
                continue
            return
        raise AssertionError(f"{path}: {value!r} fits none of {schema}")
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
    kind = schema.get("type")
    if kind == "number":
        assert isinstance(value, int | float), path
    elif kind is not None:
        assert isinstance(value, kinds[kind]), f"{path}: {value!r} is not {kind}"
    if "enum" in schema:
        assert value in schema["enum"], path
    if schema.get("format") == "date-time":
        assert value.endswith("Z"), path
    if kind == "object" and "properties" in schema:
        assert set(schema.get("required", ())) <= value.keys(), path
        assert value.keys() <= schema["properties"].keys(), path
        for key, item in value.items():
            check(item, schema["properties"][key], components, f"{path}.{key}")
    elif kind == "array":
        for index, item in enumerate(value):
            check(item, schema["items"], components, f"{path}[{index}]")


@pytest.mark.parametrize(
    ("noun", "kind"),
    [
        (alert(), Alert),
        (Event(type="x"), Event),
        (Page((alert(),), None), Page[Alert]),
        (Replica(id="a", service="s"), Replica),
        (JournalEntry(execution_id="e", seq=1, at=AT, kind="started"), JournalEntry),
        (
            WorkflowDefinition.model_validate(
                {"name": "w", "actions": [{"name": "a", "action_type": "b"}], "triggers": [{"type": "manual"}]}
            ),
            WorkflowDefinition,
        ),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_schemas_say_what_is_rendered(noun: Any, kind: Any) -> None:
    components: dict[str, Any] = {}
    schema = hoist(schema_of(kind), components)
    check(msgspec.json.decode(to_json(noun)), schema, components)


def test_two_nouns_of_one_name_are_refused() -> None:
    components = {"Alert": {"title": "Alert", "properties": {}}}
    with pytest.raises(ValueError, match="two different nouns are called Alert"):
        hoist(schema_of(Alert), components)
