"""Signing in and out: sessions, refusals, and where one goes on to."""

from __future__ import annotations

import pytest

from automation.console.desk import local
from tests.unit.console.conftest import ORIGIN, Site

PAGES = ("/", "/executions", "/executions/x", "/workflows", "/workflows/x", "/events", "/events/x", "/alerts")


@pytest.mark.parametrize("path", PAGES)
async def test_who_is_not_signed_in_is_led_to_the_door_and_back(site: Site, path: str) -> None:
    browser = await site.browser()

    answer = await browser.get(path + "?status=failed")

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={path.replace('/', '%2F')}%3Fstatus%3Dfailed"
    form = await browser.get(answer.headers["location"])
    assert f'name="next" value="{path}?status=failed"' in form.text
    signed_in = await browser.post("/login", data={"token": await site.token(), "next": f"{path}?status=failed"})
    assert signed_in.headers["location"] == f"{path}?status=failed"


async def test_a_refresh_without_a_session_leads_the_whole_page_to_the_door(site: Site) -> None:
    answer = await (await site.browser()).get("/executions?status=failed", headers={"hx-request": "true"})
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/login?next=%2Fexecutions%3Fstatus%3Dfailed"


async def test_a_link_from_elsewhere_is_asked_for_again_from_here(site: Site) -> None:
    """The session's cookie is not sent with it, but is with the page's own second request."""
    browser = await site.signed_in()
    session = browser.cookies["automation_session"]
    browser.cookies.clear()

    first = await browser.get("/executions", headers={"sec-fetch-site": "cross-site"})
    assert first.status_code == 200
    assert '<meta http-equiv="refresh" content="0">' in first.text

    browser.cookies.set("automation_session", session)
    assert "<h1>Executions</h1>" in (await browser.get("/executions")).text


async def test_signing_in_gives_a_cookie_that_scripts_and_other_sites_cannot_have(site: Site) -> None:
    browser, token = await site.browser(), await site.token()

    answer = await browser.post("/login", data={"token": f"  {token}\n"})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert token not in cookie
    for part in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43"):
        assert part in cookie
    assert "Secure" not in cookie
    assert (await browser.get("/login?next=/alerts")).headers["location"] == "/alerts"


async def test_behind_tls_the_cookie_is_secure(site: Site) -> None:
    browser = await site.browser(origin="https://engine:8080")
    answer = await browser.post("/login", data={"token": await site.token()})
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("token", ["wrong", "", "   ", "aut_" + "x" * 43, "<script>alert(1)</script>", "\u2028" * 50])
async def test_a_wrong_token_is_told_and_not_repeated(site: Site, token: str) -> None:
    answer = await (await site.browser()).post("/login", data={"token": token, "next": "/alerts"})
    assert answer.status_code == 401
    assert 'role="alert"' in answer.text
    assert 'name="next" value="/alerts"' in answer.text
    assert "set-cookie" not in answer.headers
    assert not token.strip() or token not in answer.text


async def test_too_many_wrong_tokens_are_held_back(site: Site) -> None:
    browser = await site.browser()
    for _ in range(site.engine.config.security.failed_attempts):
        await browser.post("/login", data={"token": "wrong"})

    answer = await browser.post("/login", data={"token": await site.token()})

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "Too many wrong tokens" in answer.text
    other = await site.browser(address="10.0.0.8")
    assert (await other.post("/login", data={"token": await site.token(name="bob")})).status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/a\\b",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/ /evil.example",
        "\n//evil.example",
        "evil.example",
        "",
        None,
    ],
)
def test_nobody_is_led_to_another_site(path: str | None) -> None:
    assert local(path) == "/"


async def test_the_door_forgets_where_another_site_wants_one_to_go(site: Site) -> None:
    browser = await site.browser()
    assert 'name="next" value="/"' in (await browser.get("/login?next=//evil.example/")).text
    answer = await browser.post("/login", data={"token": await site.token(), "next": "https://evil.example/"})
    assert answer.headers["location"] == "/"


async def test_signing_out_ends_the_session(site: Site) -> None:
    browser = await site.signed_in()
    session = browser.cookies["automation_session"]

    answer = await browser.post("/logout")

    assert answer.headers["location"] == "/login"
    assert "automation_session" not in browser.cookies
    browser.cookies.set("automation_session", session)
    assert (await browser.get("/")).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/login", "/logout", "/console/theme", "/executions/x/cancel", "/workflows/x/start"])
async def test_forms_of_other_sites_are_refused(site: Site, path: str, headers: dict[str, str]) -> None:
    browser = await site.signed_in()
    answer = await browser.post(path, data={"token": await site.token(name="eve")}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert (await browser.get("/")).status_code == 200


async def test_a_browser_without_fetch_metadata_is_judged_by_the_origin(site: Site) -> None:
    browser = await site.signed_in()
    del browser.headers["sec-fetch-site"]
    assert (await browser.post("/console/theme", headers={"origin": "http://evil.example"})).status_code == 403
    assert (await browser.post("/console/theme", headers={"origin": ORIGIN})).status_code == 303
    del browser.headers["origin"]
    assert (await browser.post("/console/theme")).status_code == 403


async def test_the_theme_goes_round_and_is_kept(site: Site) -> None:
    browser = await site.signed_in()
    seen = []
    for _ in range(3):
        answer = await browser.post("/console/theme", data={"next": "/alerts?state=firing"})
        assert answer.headers["location"] == "/alerts?state=firing"
        seen.append((await browser.get("/alerts")).text.partition('data-theme="')[2].partition('"')[0])
    assert seen == ["dark", "light", "auto"]


async def test_an_ended_token_ends_its_sessions(site: Site) -> None:
    browser = await site.signed_in()
    (token,) = await site.engine.tokens.list()
    await site.engine.tokens.revoke(token.id, "local")
    assert (await browser.get("/")).headers["location"].startswith("/login")
