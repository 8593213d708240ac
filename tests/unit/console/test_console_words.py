"""How things are put in words, and drawn."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.console import icons, words
from automation.console.drawing import draw_execution, draw_workflow, progress
from automation.model.alert import AlertState
from automation.model.execution import ActionRun, ActionStatus, WorkflowStatus
from automation.model.workflow import ActionDefinition, WorkflowDefinition


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (-1, "0 ms"),
        (0.0123, "12 ms"),
        (0.9996, "1.0 s"),
        (3.21, "3.2 s"),
        (59.96, "1 min"),
        (75, "1 min 15 s"),
        (3600, "1 h"),
        (3700, "1 h 1 min"),
        (86399.9, "1 d"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("distance", "text"),
    [(0.5, "now"), (12, "12 s ago"), (60, "1 min ago"), (7199, "1 h ago"), (1e6, "11 d ago"), (-300, "in 5 min")],
)
def test_how_long_ago(distance: float, text: str) -> None:
    assert words.ago(1e9, 1e9 + distance) == text


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_number_may_be_a_time(at: float) -> None:
    assert words.moment(at)
    assert words.stamp(at)
    assert words.ago(at, 1e9)


def test_moments() -> None:
    assert words.moment(1_800_000_000.25) == "2027-01-15 08:00:00.250 UTC"
    assert words.stamp(1_800_000_000.25) == "2027-01-15T08:00:00.250Z"


def test_long_values_are_cut_off() -> None:
    assert len(words.as_json("x" * 100_000)) < 21_000
    assert words.brief({"a": "x" * 500}, 20) == '{"a": "xxxxxxxxxxxx…'
    assert words.brief("a\n\n b") == "a b"


@given(st.text(max_size=60), st.floats(20, 300))
def test_what_is_cut_off_begins_as_the_text(text: str, width: float) -> None:
    fitted = words.fit(text, width, 13)
    assert fitted == text or text.startswith(fitted.removesuffix("…"))
    assert len(fitted) <= len(text)


def test_errors() -> None:
    assert words.failure({"type": "Refused", "message": "no"}) == "Refused: no"
    assert words.failure({"type": "ValueError", "message": "ValueError: no"}) == "ValueError: no"
    assert words.failure({"type": "Denied", "message": "denied: no"}) == "denied: no"
    assert words.failure({}) == "error: "


@pytest.mark.parametrize("status", [s.value for kind in (WorkflowStatus, ActionStatus, AlertState) for s in kind])
def test_every_status_has_an_icon_and_a_tone(status: str) -> None:
    assert icons.path(status)
    assert icons.tone(status) in ("good", "bad", "busy", "wait", "idle")


RUN = ActionRun(name="a", operation="test.a", status=ActionStatus.RUNNING, attempt=3, started_at=100.0)
DEFINITION = WorkflowDefinition(
    name="w",
    actions=(
        ActionDefinition(name="a", action_type="test.a"),
        ActionDefinition(name="a_rather_long_name_of_an_action", action_type="infrastructure", conditions=("x > '<'",)),
        ActionDefinition(name="c", action_type="test.c", depends_on=("a",), always=True),
    ),
)


def test_progress_says_status_duration_and_attempt() -> None:
    assert progress(RUN, 102.5) == "running · 2.5 s · try 3"


def test_a_drawing_is_well_formed_and_says_what_it_shows() -> None:
    for drawing in (draw_workflow(DEFINITION), draw_execution(DEFINITION, [RUN], 102.5)):
        root = ElementTree.fromstring(drawing)
        pictures = list(root.iter("svg"))
        assert len(pictures) == 2
        for picture in pictures:
            assert picture.get("role") == "img"
            named = {e.get("id") for e in picture.iter() if e.get("id")}
            assert set((picture.get("aria-labelledby") or "").split()) <= named
            assert len(picture.findall("g")) == 3
            assert len(picture.findall("path")) == 2
        titles = [title.text or "" for title in root.iter("title")]
        assert any(title.startswith("a_rather_long_name_of_an_action, infrastructure.a_rather") for title in titles)
    assert "running · 2.5 s · try 3" in draw_execution(DEFINITION, [RUN], 102.5)
    assert "if x &gt; &#39;&lt;&#39;" in draw_workflow(DEFINITION)
    assert "always runs" in draw_workflow(DEFINITION)


def test_vendored_scripts_are_what_the_manifest_says() -> None:
    home = Path(words.__file__).parent / "static"
    scripts = json.loads((home / "manifest.json").read_text())["scripts"]
    for script in scripts:
        assert hashlib.sha256((home / script["file"]).read_bytes()).hexdigest() == script["sha256"], script["name"]
        assert (home / script["licence_file"]).read_text().strip()
        assert script["version"] in script["source"]
        assert script["licence"] == "0BSD"
    assert {script["file"] for script in scripts} == {f"vendor/{file.name}" for file in home.glob("vendor/*.js")}
