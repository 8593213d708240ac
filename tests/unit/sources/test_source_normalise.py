"""Normalisers: what is made of events before any rule sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automation import AutomationEngine
from automation.errors import DefinitionError, InputError
from automation.model.event import Event
from automation.model.normaliser import Normaliser
from automation.sources.normalise import Normalise
from tests.support.sources import NAME, came, dead_letters, follow, is_so


def normalise(*definitions: dict[str, Any]) -> Normalise:
    return Normalise([Normaliser.model_validate(one) for one in definitions])


def event(**data: Any) -> Event:
    return Event(type="raw", source="s", id="1", subject="x", labels={"a": "1"}, data=data, time=5.0)


def test_names_and_values_are_set_from_expressions() -> None:
    step = {
        "type": "order.${kind}",
        "subject": "${shop.name}",
        "severity": "${event.labels.a}",
        "labels": {"b": "${count + 1}", "ok": "${flag}"},
        "data": {"count": "${count * 2}", "all": {"deep": ["${shop.name}"]}},
        "remove": ["kind", "nosuch"],
    }
    found = normalise(step)(event(kind="late", shop={"name": "eu"}, count=4, flag=True))
    assert (found.type, found.subject, found.severity) == ("order.late", "eu", "1")
    assert found.labels == {"a": "1", "b": "5", "ok": "true"}
    assert found.data == {"shop": {"name": "eu"}, "count": 8, "flag": True, "all": {"deep": ["eu"]}}
    assert (found.source, found.id, found.time) == ("s", "1", 5.0)


def test_one_after_the_other_and_only_where_it_is_wanted() -> None:
    both = normalise(
        {"when": "level == 'error'", "severity": "high"},
        {"when": "event.severity == 'high'", "subject": "loud"},
    )
    loud, quiet = event(level="error"), event(level="info")
    assert (both(loud).severity, both(loud).subject) == ("high", "loud")
    assert both(quiet) == quiet


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"subject": "${nosuch}"}, r"normalise\[0\]: no value for\n  .*subject: nosuch"),
        ({"subject": "${list}"}, r"normalise\[0\]: subject: must be text or a number, not a list"),
        ({"labels": {"l": "${list}"}}, r"normalise\[0\]: labels.l: must be text"),
    ],
)
def test_what_has_no_value_is_no_event(step: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        normalise(step)(event(list=[1]))


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"when": "a ==", "type": "x"}, r"normalise\[0\].when: column"),
        ({"data": {"a": "${1 +}"}}, r"normalise\[0\].data.a: column"),
        ({"subject": "${secret:key}"}, r"normalise\[0\]: a secret must not become part of an event"),
    ],
)
def test_wrong_ones_are_refused_with_their_place(step: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        normalise(step)


def test_one_that_changes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="it changes nothing"):
        Normaliser.model_validate({"when": "a"})


async def test_a_source_has_them(engine: AutomationEngine, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"hostname": "a1"}\n{"other": 1}\n{"hostname": "a2"}\n')
    steps = [{"subject": "${hostname}", "type": "seen"}]
    await follow(engine, "file", normalise=steps, path=str(path), type="raw")
    first, second = await came(engine, 2)
    assert [(one.type, one.subject) for one in (first, second)] == [("seen", "a1"), ("seen", "a2")]
    found = await is_so(engine, lambda found: found.rejected == 1)
    assert (found.name, found.restarts) == (NAME, 0)
    assert "normalise[0]: no value for" in (await dead_letters(engine))[0]
