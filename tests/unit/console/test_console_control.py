"""Pause, resume, retry, rerun and fork in the console."""

from __future__ import annotations

import pytest

from automation import ExecutionContext
from automation.model.execution import WorkflowStatus
from tests.support import handlers
from tests.unit.console.conftest import Elements, Site, until

WAIT = {"name": "wait", "action_type": "test.wait"}


@pytest.fixture(autouse=True)
def _mended() -> None:
    handlers.broken.clear()


async def test_an_execution_is_paused_and_resumed(site: Site) -> None:
    await site.workflow("slow", WAIT)
    execution = await site.engine.start_workflow("slow")
    await until(site, execution, WorkflowStatus.WAITING)
    browser, path = await site.signed_in(), f"/executions/{execution}"
    assert f'href="{path}/pause"' in (await browser.get(path)).text
    assert "Pause slow?" in (await browser.get(f"{path}/pause")).text
    assert "That is not possible" in (await browser.get(f"{path}/resume")).text

    answer = await browser.post(f"{path}/pause", data={"reason": "not now"})
    assert answer.headers["location"] == path
    await until(site, execution, WorkflowStatus.PAUSED)
    page = (await browser.get(path)).text
    assert f'href="{path}/resume"' in page
    assert "ada: not now" in page
    assert (await browser.post(f"{path}/pause")).status_code == 409

    assert (await browser.post(f"{path}/resume")).status_code == 303
    await until(site, execution, WorkflowStatus.WAITING)


async def test_a_pause_that_has_not_come_yet_is_told(site: Site) -> None:
    await site.workflow("slow", {"name": "pause", "action_type": "test.pause"})
    execution = await site.engine.start_workflow("slow")
    browser, path = await site.signed_in(), f"/executions/{execution}"
    await browser.post(f"{path}/pause", data={"reason": "soon"})

    page = (await browser.get(path)).text

    assert "ada has asked it to pause: soon. What runs may end first." in page
    assert f'href="{path}/resume"' in page


async def test_a_failed_one_is_retried(site: Site) -> None:
    handlers.broken.add("a")
    await site.workflow("mended", {"name": "a", "action_type": "test.mend"})
    failed = await site.engine.execute_workflow("mended")
    browser, path = await site.signed_in(), f"/executions/{failed.execution_id}"
    assert f'href="{path}/retry"' in (await browser.get(path)).text
    handlers.broken.clear()

    assert (await browser.post(f"{path}/retry", data={"reason": "mended"})).status_code == 303

    await until(site, failed.execution_id, WorkflowStatus.SUCCEEDED)
    page = (await browser.get(path)).text
    assert "ada: mended" in page
    assert f'href="{path}/retry"' not in page


async def test_one_is_run_again_with_other_variables_and_once_for_one_form(site: Site) -> None:
    await site.workflow()
    first = await site.engine.execute_workflow("hello", ExecutionContext(variables={"who": "ann"}))
    browser, path = await site.signed_in(), f"/executions/{first.execution_id}"
    elements = Elements((await browser.get(f"{path}/rerun")).text)
    key = elements.all("input", name="key")[0]["value"]
    assert {option.get("value") for option in elements.all("option")} == {"", "greet"}

    form = {"key": key, "variables": '{"who": "bob"}', "reason": "for bob", "action": ""}
    answers = [await browser.post(f"{path}/rerun", data=form) for _ in range(2)]

    assert answers[0].headers["location"] == answers[1].headers["location"] != path
    again = answers[0].headers["location"].rpartition("/")[2]
    await until(site, again, WorkflowStatus.SUCCEEDED)
    assert handlers.calls == [("greet", "ann"), ("greet", "bob")]
    page = (await browser.get(f"/executions/{again}")).text
    assert "Rerun of" in page
    assert f"rerun of {first.execution_id}: for bob" in page


async def test_one_is_forked_from_an_action(site: Site) -> None:
    actions = [{"name": name, "action_type": "test.record"} for name in ("a", "b")]
    await site.workflow("two", *actions)
    first = await site.engine.execute_workflow("two")
    browser, path = await site.signed_in(), f"/executions/{first.execution_id}"
    handlers.calls.clear()
    assert '<option value="b" selected>' in (await browser.get(f"{path}/rerun?action=b")).text

    answer = await browser.post(f"{path}/rerun", data={"action": "b"})
    fork = answer.headers["location"].rpartition("/")[2]
    await until(site, fork, WorkflowStatus.SUCCEEDED)

    assert [name for name, _ in handlers.calls] == ["b"]
    page = (await browser.get(f"/executions/{fork}")).text
    assert "Forked from" in page
    assert "taken over" in page


async def test_what_does_not_fit_is_told_and_nothing_typed_is_lost(site: Site) -> None:
    await site.workflow("known", inputs={"who": {"type": "string"}})
    first = await site.engine.execute_workflow("known", ExecutionContext(variables={"who": "ann"}))
    browser, path = await site.signed_in(), f"/executions/{first.execution_id}/rerun"

    for variables, told in (("{", "not valid JSON"), ('{"x": 1}', "x: is not an input")):
        answer = await browser.post(path, data={"variables": variables, "reason": "why not", "newest": "true"})
        assert answer.status_code == 400
        assert told in answer.text.replace("&#39;", "'")
        assert 'value="why not"' in answer.text
        assert 'value="true" checked' in answer.text


async def test_who_may_not_is_not_offered_and_refused(site: Site) -> None:
    await site.workflow("slow", WAIT)
    execution = await site.engine.start_workflow("slow")
    browser, path = await site.signed_in("automation_viewer"), f"/executions/{execution}"

    page = (await browser.get(path)).text

    assert "/pause" not in page
    assert "/rerun" not in page
    for ask in ("pause", "resume", "retry", "rerun"):
        assert (await browser.get(f"{path}/{ask}")).status_code == 403
        assert (await browser.post(f"{path}/{ask}")).status_code == 403
