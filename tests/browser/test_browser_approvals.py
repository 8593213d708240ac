"""What people are asked, and how they answer and steer: each with a browser of their own."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from automation import ExecutionContext
from automation.model.approval import Approval, ApprovalStatus
from automation.model.execution import WorkflowStatus
from tests.browser.conftest import PATIENCE, Site
from tests.support import handlers

expect.set_options(timeout=PATIENCE)

DROP = {
    "name": "drop",
    "action_type": "test.critical",
    "description": "Remove what nobody reads.",
    "parameters": {"value": "the table of ${what}"},
}

ANSWER = re.compile("Approve|Deny")


async def ask(site: Site, **policy: Any) -> Approval:
    """Start what asks people, as eve; the approval."""
    await site.workflow("risky", {**DROP, "approval": policy}, {"name": "after", "action_type": "test.record"})
    context = ExecutionContext(variables={"what": "visits"}, actor="eve")
    execution = await site.engine.start_workflow("risky", context)
    await site.engine.drain(20)
    (approval,) = await site.engine.approvals.of(execution)
    return approval


async def review(page: Page) -> None:
    """Go from the list to what would be done."""
    await page.goto("/approvals")
    await page.get_by_role("link", name="Review drop").click()
    await expect(page.get_by_role("heading", name="Approve drop?")).to_be_visible()


async def answer(page: Page, button: str, reason: str) -> None:
    await page.get_by_label("Reason").fill(reason)
    await page.get_by_role("button", name=button).click()


async def fact(page: Page, name: str) -> str:
    """What stands under a heading of the review."""
    return await page.locator(f"dl div:has(dt:text-is('{name}')) dd").inner_text()


async def test_what_would_be_done_is_told_before_it_is_approved_with_a_reason(site: Site) -> None:
    asked = await ask(site, quorum=1, expires="2h", roles=["automation_admin", "release"])
    page = await site.page()
    await page.get_by_role("link", name="Approvals").first.click()

    row = page.locator(f"#approval-{asked.id}")
    for text in (
        *("risky, test.critical", "critical", "test.critical needs approval at level intelligent", "started by eve"),
        *("asked of automation_admin or release", "expires in 1 h"),
    ):
        await expect(row).to_contain_text(text)
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    await row.get_by_text("Parameters").click()
    await expect(row.get_by_role("region", name="Parameters")).to_contain_text("the table of ${what}")

    await page.get_by_role("link", name="Review drop").click()
    for name, text in {
        "Workflow": "risky",
        "Started by": "eve (asked for)",
        "Expires": "in 1 h and is then denied",
        "Asked of": "automation_admin or release",
        "Approved by": "0 of 1",
    }.items():
        assert await fact(page, name) == text
    await expect(page.get_by_text("Remove what nobody reads.")).to_be_visible()
    await expect(page.get_by_text("Critical.")).to_be_visible()
    assert handlers.calls == []

    await answer(page, "Approve", "nobody reads it")

    await expect(page.locator("#status")).to_have_text("succeeded")
    await expect(page.get_by_text("ada approved: nobody reads it")).to_be_visible()
    assert handlers.calls == [("drop", "the table of visits"), ("after", None)]
    (given,) = (await site.engine.approvals.get(asked.id)).answers
    assert (given.actor, given.agreed, given.reason) == ("ada", True, "nobody reads it")


async def test_what_is_denied_fails_with_the_reason(site: Site) -> None:
    asked = await ask(site)
    page = await site.page()
    await review(page)

    await answer(page, "Deny", "it is read each month")

    await expect(page.locator("#status")).to_have_text("failed")
    await expect(page.locator("#outcome-drop .failure")).to_have_text("denied: it is read each month")
    assert handlers.calls == []
    await page.goto("/approvals?status=denied")
    await expect(page.locator(f"#approval-{asked.id}")).to_contain_text("ada denied: it is read each month")
    await expect(page.get_by_role("link", name="Review")).to_have_count(0)


async def test_two_people_approve_and_each_sees_the_other(site: Site) -> None:
    asked = await ask(site, quorum=2)
    ada, bob = await site.page(name="ada"), await site.page(name="bob")
    await bob.goto("/approvals")
    row = bob.locator(f"#approval-{asked.id}")
    await expect(row).to_contain_text("2 have to approve")
    await expect(bob.locator("#live-sign")).to_have_text("Live")

    await review(ada)
    await answer(ada, "Approve", "looks right")

    await expect(ada.get_by_text("1 of 2 have approved")).to_be_visible()
    await expect(row).to_contain_text("ada approved: looks right")
    await expect(row).to_contain_text("1 of 2 have approved")
    # Whoever approves twice is still one.
    await review(ada)
    assert await fact(ada, "Approved by") == "1 of 2"
    await answer(ada, "Approve", "once more")
    await expect(ada.locator("#status")).to_have_text("waiting")
    assert handlers.calls == []

    await row.get_by_role("link", name="Review drop").click()
    await expect(bob.get_by_role("list", name="Answers")).to_contain_text("looks right")
    await answer(bob, "Approve", "to me as well")

    await expect(bob.locator("#status")).to_have_text("succeeded")
    await expect(ada.locator("#status")).to_have_text("succeeded")
    await expect(ada.get_by_text("bob approved: to me as well")).to_be_visible()
    assert [name for name, _ in handlers.calls] == ["drop", "after"]


async def test_what_nobody_answers_in_time_leaves_the_list_and_takes_no_answer(site: Site) -> None:
    asked = await ask(site, expires="2h", on_expiry="fail")
    watching, slow = await site.page(name="ada"), await site.page(name="bob")
    await watching.goto("/approvals")
    await expect(watching.locator(f"#approval-{asked.id}")).to_be_visible()
    await review(slow)
    assert await fact(slow, "Expires") == "in 1 h and then fails"

    site.clock.ahead = 3 * 3600
    await expect(watching.get_by_text("Nothing waits for approval.")).to_be_visible()
    await answer(slow, "Approve", "at last")

    await expect(slow.get_by_text("it was expired")).to_be_visible()
    await watching.get_by_role("link", name="expired").click()
    await expect(watching.locator(f"#approval-{asked.id}")).to_contain_text("expired")
    assert handlers.calls == []
    assert await site.engine.get_workflow_status(asked.execution_id) is WorkflowStatus.FAILED
    site.complaints[:] = [text for text in site.complaints if "409" not in text]


@pytest.mark.parametrize(
    ("role", "policy"),
    [("automation_viewer", {}), ("automation_operator", {"roles": ["release"]})],
    ids=["permission", "role of the policy"],
)
async def test_who_may_not_answer_is_offered_nothing_and_refused(site: Site, role: str, policy: dict[str, Any]) -> None:
    asked = await ask(site, **policy)
    page = await site.page(role)
    for path in ("/approvals", f"/executions/{asked.execution_id}"):
        await page.goto(path)
        await expect(page.get_by_text("drop").first).to_be_visible()
        await expect(page.get_by_role("link", name="Review")).to_have_count(0)
        await expect(page.get_by_role("button", name=ANSWER)).to_have_count(0)

    # Neither is what no page offers.
    for path in (f"/approvals/{asked.id}", f"/executions/{asked.execution_id}/decision"):
        for agreed in ("true", "false"):
            assert await post(page, path, {"agreed": agreed, "action": "drop"}) == 403, path

    now = await site.engine.approvals.get(asked.id)
    assert (now.status, now.answers) == (ApprovalStatus.PENDING, ())
    assert handlers.calls == []
    site.complaints[:] = [text for text in site.complaints if "403" not in text]


async def post(page: Page, path: str, form: dict[str, str]) -> int:
    """Send a form from a page as a script of it would; the status of the answer."""
    script = "([path, form]) => fetch(path, {method: 'POST', body: new URLSearchParams(form)}).then(a => a.status)"
    return int(await page.evaluate(script, [path, form]))


async def test_the_keyboard_is_enough_to_answer(site: Site) -> None:
    await ask(site, quorum=1)
    page = await site.page()
    await page.goto("/approvals")

    await tab_to(page, "Review drop")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/decision?action=drop")
    await tab_to(page, "Reason")
    await page.keyboard.type("by hand")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Approve")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Deny")).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")

    await expect(page.locator("#status")).to_have_text("succeeded")
    await expect(page.get_by_text("ada approved: by hand")).to_be_visible()


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus, and shows that it has."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        said = await focused.evaluate("e => e.labels && e.labels[0] ? e.labels[0].textContent : e.textContent")
        if said.strip() == name:
            assert await focused.evaluate("e => getComputedStyle(e).outlineStyle") != "none"
            return
    raise AssertionError(f"no Tab leads to {name!r}")


async def test_an_execution_is_paused_resumed_retried_and_run_again(site: Site) -> None:
    handlers.gates.clear()
    handlers.broken.add("mend")
    await site.workflow(
        "steps",
        {"name": "hold", "action_type": "test.gate", "parameters": {"value": "${gate}"}},
        {"name": "mend", "action_type": "test.mend"},
        inputs={"gate": {"default": "first"}},
    )
    execution = await site.engine.start_workflow("steps", ExecutionContext(variables={"gate": "first"}))
    page = await site.page()
    await page.goto(f"/executions/{execution}")
    await expect(page.locator("svg.wide .node.busy .name")).to_have_text("hold")

    await steer(page, "Pause", "a change of the network", "Pause the execution")
    await expect(page.get_by_text("ada has asked it to pause: a change of the network.")).to_be_visible()
    handlers.open_gate("first")
    await expect(page.locator("#status")).to_have_text("paused")
    assert handlers.calls == [("hold", "first")]

    await steer(page, "Resume", "it is over", "Resume the execution")
    await expect(page.locator("#status")).to_have_text("failed")
    await expect(page.locator("#outcome-mend .failure")).to_have_text("Refused: it is broken")
    handlers.broken.clear()

    await steer(page, "Retry", "mended", "Retry the execution")
    await expect(page.locator("#status")).to_have_text("succeeded")
    assert handlers.calls == [("hold", "first"), ("mend", 1), ("mend", 1)]
    for name in ("Pause", "Resume", "Retry", "Cancel"):
        await expect(page.get_by_role("link", name=name, exact=True)).to_have_count(0)

    handlers.open_gate("second")
    await page.get_by_role("link", name="Run again").click()
    await page.get_by_label("Variables that are to be different").fill('{"gate": "second"}')
    await page.get_by_role("button", name="Run it again").click()
    await expect(page.locator("#status")).to_have_text("succeeded")
    await expect(page.get_by_role("link", name=execution)).to_be_visible()
    assert handlers.calls[3:] == [("hold", "second"), ("mend", 1)]


async def steer(page: Page, act: str, reason: str, button: str) -> None:
    """Ask something of the execution that the page shows."""
    await page.get_by_role("link", name=act, exact=True).click()
    await expect(page.get_by_label("Reason")).to_be_focused()
    await answer(page, button, reason)


async def test_a_viewer_cannot_steer(site: Site) -> None:
    await site.workflow("slow", {"name": "long", "action_type": "test.pause"})
    execution = await site.engine.start_workflow("slow")
    page = await site.page("automation_viewer")
    await page.goto(f"/executions/{execution}")
    await expect(page.locator("#status")).to_have_text("running")
    for name in ("Pause", "Resume", "Retry", "Run again", "Cancel"):
        await expect(page.get_by_role("link", name=name, exact=True)).to_have_count(0)

    for act in ("pause", "resume", "retry", "rerun", "cancel"):
        assert await post(page, f"/executions/{execution}/{act}", {}) == 403, act

    assert await site.engine.get_workflow_status(execution) is WorkflowStatus.RUNNING
    await site.engine.cancel(execution)
    site.complaints[:] = [text for text in site.complaints if "403" not in text]
