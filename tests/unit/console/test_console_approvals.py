"""The console's page of approvals."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from automation import ExecutionContext
from automation.model.approval import ApprovalStatus
from automation.model.execution import WorkflowStatus
from automation.store import approvals
from tests.unit.console.conftest import Elements, Site, until

CRITICAL = {
    "name": "drop",
    "action_type": "test.critical",
    "parameters": {"value": "the table of users"},
    "approval": {"quorum": 2, "expires": "1h"},
}
STANDARD = {"name": "note", "action_type": "test.record", "approval": {"required": True}}


async def asking(site: Site, action: dict[str, Any], name: str) -> tuple[str, str]:
    await site.workflow(name, action)
    execution = await site.engine.start_workflow(name, ExecutionContext(actor="eve"))
    await until(site, execution, WorkflowStatus.WAITING)
    (approval,) = await site.engine.approvals.of(execution)
    return execution, approval.id


async def test_what_waits_is_listed_with_what_can_be_done(site: Site) -> None:
    critical, hard = await asking(site, CRITICAL, "risky")
    _, easy = await asking(site, STANDARD, "plain")
    browser = await site.signed_in()
    assert "2" in (await browser.get("/")).text

    text = (await browser.get("/approvals")).text
    elements = Elements(text)

    assert 'aria-current="page">' in text
    assert "2 have to approve" in text
    assert "started by eve" in text
    assert "asked of whoever may approve what is critical" in text
    assert "the table of users" in text
    assert "expires <time" in text
    assert elements.all("form", action=f"/approvals/{easy}")
    # What is critical is looked at before it is answered.
    assert not elements.all("form", action=f"/approvals/{hard}")
    assert elements.all("a", href=f"/executions/{critical}/decision?action=drop")


@pytest.mark.parametrize(("agreed", "status"), [("true", WorkflowStatus.SUCCEEDED), ("false", WorkflowStatus.FAILED)])
async def test_it_is_answered_from_the_list(site: Site, agreed: str, status: WorkflowStatus) -> None:
    execution, approval = await asking(site, STANDARD, "plain")
    browser = await site.signed_in("automation_operator")

    answer = await browser.post(f"/approvals/{approval}", data={"agreed": agreed})

    assert (answer.status_code, answer.headers["location"]) == (303, "/approvals")
    await until(site, execution, status)
    assert "Nothing waits for approval." in (await browser.get("/approvals")).text
    tab = "approved" if agreed == "true" else "denied"
    assert f"ada {tab}" in (await browser.get(f"/approvals?status={tab}")).text
    assert (await browser.post(f"/approvals/{approval}", data={"agreed": agreed})).status_code == 409


async def test_the_review_tells_how_it_is_asked_and_who_has_answered(site: Site) -> None:
    execution, approval = await asking(site, CRITICAL, "risky")
    browser, path = await site.signed_in(), f"/executions/{execution}"
    await browser.post(f"{path}/decision", data={"action": "drop", "agreed": "true", "reason": "looks right"})

    review = (await browser.get(f"{path}/decision?action=drop")).text
    assert "<dd>1 of 2</dd>" in review
    assert "<strong>ada</strong> approved <time" in review
    assert "</time>: looks right</li>" in review
    assert "is then denied" in review
    page = (await browser.get(path)).text
    assert "ada approved: looks right" in page
    assert "1 of 2 have approved" in page
    assert (await site.engine.approvals.get(approval)).status is ApprovalStatus.PENDING


async def test_an_escalation_is_told_and_not_taken_for_a_second_question(site: Site) -> None:
    action = {**STANDARD, "approval": {"required": True, "escalate_after": 0.05, "expires": "1h"}}
    execution, approval = await asking(site, action, "plain")
    async with asyncio.timeout(20):
        while len((await site.engine.queries.execution_detail(execution)).journal) < 3:
            await asyncio.sleep(0.01)

    page = (await (await site.signed_in()).get(f"/executions/{execution}")).text

    assert page.count("test.record needs approval by its definition") == 4, (
        "the note, the action, the table, the journal"
    )
    assert page.count("it still waits for approval") == 1
    assert "escalated <time" in page
    # It is not said that it goes on by itself, when it expires then.
    assert "goes on" not in page
    assert (await site.engine.approvals.get(approval)).escalated_at is not None


async def test_who_may_not_is_offered_nothing(site: Site) -> None:
    execution, approval = await asking(site, CRITICAL, "risky")
    _, easy = await asking(site, STANDARD, "plain")
    viewer = await site.signed_in("automation_viewer")
    page = (await viewer.get("/approvals")).text
    assert "Review" not in page
    assert 'name="agreed"' not in page
    assert (await viewer.post(f"/approvals/{easy}", data={"agreed": "true"})).status_code == 403

    operator = await site.signed_in("automation_operator")
    assert f"/executions/{execution}/decision?action=drop" in (await operator.get("/approvals")).text
    assert (await operator.post(f"/approvals/{approval}", data={"agreed": "true"})).status_code == 403
    assert (await operator.get("/approvals?status=done")).status_code == 400
    assert (await operator.post("/approvals/nothing", data={"agreed": "true"})).status_code == 404


async def test_whom_it_is_not_asked_of_is_told_whom_it_is(site: Site) -> None:
    action = {**STANDARD, "approval": {"required": True, "roles": ["release"]}}
    execution, approval = await asking(site, action, "plain")
    operator, path = await site.signed_in("automation_operator"), f"/executions/{execution}"
    for page in ("/approvals", path):
        assert ">Review<" not in (await operator.get(page)).text
    review = (await operator.get(f"{path}/decision?action=note")).text
    assert "It is not for you to answer: it is asked of release." in review
    assert 'name="agreed"' not in review
    assert (await operator.post(f"/approvals/{approval}", data={"agreed": "false"})).status_code == 403
    assert (await site.engine.approvals.get(approval)).answers == ()


async def test_an_item_that_was_interrupted_is_reviewed_too(site: Site) -> None:
    """Asked is then for one item of an action; what is shown is the action."""
    each = {**CRITICAL, "for_each": ["a", "b"]}
    execution, approval = await asking(site, each, "many")
    asked = await site.engine.approvals.get(approval)
    await site.engine.store.commit([approvals.insert(replace(asked, id=f"{approval}0", action="drop[1]"))])
    browser, path = await site.signed_in(), f"/executions/{execution}/decision"

    review = await browser.get(path, params={"action": "drop[1]"})

    assert review.status_code == 200
    assert "Approve drop[1]?" in review.text
    assert "the table of users" in review.text
    assert (await browser.get(path, params={"action": "other[1]"})).status_code == 404


async def test_another_sites_page_cannot_answer(site: Site) -> None:
    _, approval = await asking(site, STANDARD, "plain")
    browser = await site.signed_in()
    foreign = {"sec-fetch-site": "cross-site", "origin": "https://elsewhere.example"}

    assert (await browser.post(f"/approvals/{approval}", data={"agreed": "true"}, headers=foreign)).status_code == 403
    assert (await site.engine.approvals.get(approval)).status is ApprovalStatus.PENDING
