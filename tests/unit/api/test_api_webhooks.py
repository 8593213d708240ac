"""Webhooks that are verified by a signature or a certificate, and what is counted of those refused."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation import AutomationConfig
from automation.clock import VirtualClock
from automation.engine import AutomationEngine
from automation.errors import TooManyRequests, Unauthenticated
from automation.model.webhook import Webhook
from automation.notifications.channels.webhook import signature
from automation.security import signatures
from automation.security.signatures import Sent, Signatures
from tests.unit.api.conftest import Face

BODY = b'{"service": "shop"}'
PROXY = {"trusted_proxies": ["10.0.0.0/24"], "subjects": ["CN=billing,*"]}
WEBHOOKS: dict[str, Any] = {
    "github": {"secrets": ["github"]},
    "slack": {
        "secrets": ["slack"],
        "style": "timestamped",
        "signature_header": "X-Slack-Signature",
        "signature_prefix": "v0=",
        "timestamp_header": "X-Slack-Request-Timestamp",
        "signed_text": "v0:{timestamp}:{body}",
    },
    "ours": {"secrets": ["old", "new"], "style": "combined", "signature_header": "X-Automation-Signature"},
    "billing": {"client_certificate": PROXY},
    "alertmanager": {"secrets": ["github"]},
    "renamed": {"normalise": [{"subject": "${shop}", "severity": "high"}]},
    "keyless": {"secrets": ["nosuch"]},
}
SECRETS = {"github": "g" * 20, "slack": "s" * 20, "old": "o" * 20, "new": "n" * 20}


@pytest.fixture
def config(config: AutomationConfig) -> AutomationConfig:
    folder = config.data_dir / "secrets"
    folder.mkdir(parents=True, mode=0o700)
    for name, text in SECRETS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return config.model_copy(
        update={"webhooks": {name: Webhook.model_validate(value) for name, value in WEBHOOKS.items()}}
    )


def mac(secret: str, text: bytes) -> str:
    return hmac.new(SECRETS[secret].encode(), text, hashlib.sha256).hexdigest()


def slack(engine: AutomationEngine, apart: float = 0.0, body: bytes = BODY) -> dict[str, str]:
    moment = str(int(engine.clock.now() + apart))
    signed = mac("slack", f"v0:{moment}:".encode() + body)
    return {"X-Slack-Signature": f"v0={signed}", "X-Slack-Request-Timestamp": moment}


def counted(face: Face, webhook: str, reason: str) -> float:
    labels = {"webhook": webhook, "reason": reason}
    return face.engine.metrics.registry.get_sample_value("automation_webhooks_refused_total", labels) or 0.0


async def test_a_signed_body_needs_no_token(face: Face) -> None:
    client = await face.client()
    signed = {"X-Hub-Signature-256": f"sha256={mac('github', BODY)}", "X-GitHub-Delivery": "d-1"}
    first = await client.post("/webhooks/github", content=BODY, headers=signed)
    again = await client.post("/webhooks/github", content=BODY, headers=signed)
    assert (first.status_code, again.status_code) == (202, 202)
    assert [answer.json()["receipts"][0]["event_id"] for answer in (first, again)] == ["d-1", "d-1"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "no_signature"),
        ({"X-Hub-Signature-256": ""}, "no_signature"),
        ({"X-Hub-Signature-256": "sha256=" + "0" * 64}, "wrong_signature"),
        ({"X-Hub-Signature-256": mac("github", BODY)}, "wrong_signature"),
        ({"X-Hub-Signature-256": "sha256=" + mac("slack", BODY)}, "wrong_signature"),
        ({"X-Hub-Signature-256": "sha256=zz"}, "wrong_signature"),
        ({"X-Hub-Signature-256": "sha256="}, "wrong_signature"),
    ],
)
async def test_a_wrong_signature_is_refused_counted_and_audited(
    face: Face, admin: Any, headers: dict[str, str], reason: str
) -> None:
    # A token does not help: it is the signature that is asked for.
    answer = await admin.post("/webhooks/github", content=BODY, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["detail"].startswith("the webhook was not verified: ")
    assert counted(face, "github", reason) == 1
    [row] = [row for row in (await face.engine.queries.audit()).items if row.actor == "webhook:github"]
    assert (row.act, row.outcome, row.detail["reason"]) == ("verify", "refused", reason)
    assert (await face.engine.queries.events()).items == ()


async def test_a_signature_holds_for_every_format(face: Face) -> None:
    client = await face.client()
    alert = {"status": "firing", "labels": {"alertname": "A"}, "startsAt": "2026-11-23T09:00:00Z"}
    body = json.dumps({"version": "4", "alerts": [alert]}).encode()
    wrong = await client.post("/webhooks/alertmanager", content=body, headers={"X-Hub-Signature-256": "sha256=00"})
    right = await client.post(
        "/webhooks/alertmanager", content=body, headers={"X-Hub-Signature-256": f"sha256={mac('github', body)}"}
    )
    assert (wrong.status_code, right.status_code) == (401, 202)


async def test_what_is_signed_is_what_gzip_holds(face: Face) -> None:
    client = await face.client()
    headers = {"X-Hub-Signature-256": f"sha256={mac('github', BODY)}", "Content-Encoding": "gzip"}
    assert (await client.post("/webhooks/github", content=gzip.compress(BODY), headers=headers)).status_code == 202


async def test_a_signed_time_is_taken_within_the_window_and_once(face: Face) -> None:
    client = await face.client()
    headers = slack(face.engine)
    first = await client.post("/webhooks/slack", content=BODY, headers=headers)
    assert first.status_code == 202
    # With another id, which is not signed, it is no duplicate: it is a replay all the same.
    again = await client.post("/webhooks/slack", content=BODY, headers={**headers, "X-Event-Id": "other"})
    assert (again.status_code, counted(face, "slack", "replayed")) == (401, 1)
    for apart in (-301, 302):
        answer = await client.post("/webhooks/slack", content=BODY, headers=slack(face.engine, apart))
        assert answer.status_code == 401
    assert counted(face, "slack", "stale") == 2
    bare = {"X-Slack-Signature": headers["X-Slack-Signature"]}
    assert (await client.post("/webhooks/slack", content=BODY, headers=bare)).status_code == 401
    assert counted(face, "slack", "no_timestamp") == 1
    moved = {**headers, "X-Slack-Request-Timestamp": str(int(headers["X-Slack-Request-Timestamp"]) + 1)}
    assert (await client.post("/webhooks/slack", content=BODY, headers=moved)).status_code == 401
    assert counted(face, "slack", "wrong_signature") == 1
    odd = {**headers, "X-Slack-Request-Timestamp": "1e9"}
    assert (await client.post("/webhooks/slack", content=BODY, headers=odd)).status_code == 401
    assert counted(face, "slack", "bad_timestamp") == 1


async def test_what_could_not_be_taken_in_may_come_again(face: Face) -> None:
    client = await face.client()
    headers = slack(face.engine, body=b"{")
    for _ in range(2):
        assert (await client.post("/webhooks/slack", content=b"{", headers=headers)).status_code == 400
    assert counted(face, "slack", "replayed") == 0


async def test_what_our_own_channel_sends_is_verified_with_any_of_the_secrets(face: Face) -> None:
    client = await face.client()
    now = int(face.engine.clock.now())
    for number, name in enumerate(("old", "new")):
        header = {"X-Automation-Signature": signature(SECRETS[name], BODY, now - number)}
        assert (await client.post("/webhooks/ours", content=BODY, headers=header)).status_code == 202
    for text, reason in (("t=1", "bad_header"), ("v1=00", "bad_header"), (f"t={now},v1=00", "wrong_signature")):
        answer = await client.post("/webhooks/ours", content=BODY, headers={"X-Automation-Signature": text})
        assert answer.status_code == 401
        assert counted(face, "ours", reason) >= 1


async def test_a_certificate_counts_only_from_a_trusted_proxy(face: Face) -> None:
    said = {"X-Client-Verify": "SUCCESS", "X-Client-Subject": "CN=billing,O=acme"}
    proxy, other = await face.client(), await face.client(address="10.0.1.7")
    assert (await proxy.post("/webhooks/billing", content=BODY, headers=said)).status_code == 202
    for client, headers, reason in (
        (other, said, "untrusted_proxy"),
        (proxy, {**said, "X-Client-Verify": "FAILED"}, "invalid_certificate"),
        (proxy, {**said, "X-Client-Subject": "CN=shop,O=acme"}, "unknown_subject"),
        (proxy, {"X-Client-Verify": "SUCCESS"}, "no_certificate"),
        (proxy, [*said.items(), ("X-Client-Subject", "CN=billing,O=evil")], "no_certificate"),
    ):
        before = counted(face, "billing", reason)
        assert (await client.post("/webhooks/billing", content=BODY, headers=headers)).status_code == 401
        assert counted(face, "billing", reason) == before + 1


async def test_normalisers_see_an_event_before_the_rules(face: Face, admin: Any) -> None:
    # It verifies nothing, so that a token is needed as ever.
    assert (await (await face.client()).post("/webhooks/renamed", json={"shop": "eu"})).status_code == 401
    [receipt] = (await admin.post("/webhooks/renamed", json={"shop": "eu"})).json()["receipts"]
    event = (await face.engine.queries.event(receipt["event_id"])).stored.event
    assert (event.type, event.subject, event.severity) == ("webhook.renamed", "eu", "high")
    refused = await admin.post("/webhooks/renamed", json={"other": 1})
    assert (refused.status_code, counted(face, "renamed", "invalid")) == (400, 1)
    refused = await admin.post("/webhooks/renamed", json=[{"shop": "eu"}, {"other": 1}])
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("[1]: webhooks.renamed.normalise[0]: no value for")


async def test_a_secret_that_is_not_there_is_our_fault(face: Face) -> None:
    answer = await (await face.client()).post(
        "/webhooks/keyless", content=BODY, headers={"X-Hub-Signature-256": "sha256=00"}
    )
    assert answer.status_code == 503
    assert "nosuch" not in answer.text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"{", "not_json"),
        (b'{"a": NaN}', "nan"),
        (b'{"a": Infinity}', "nan"),
        (b'{"a": "\xff"}', "not_utf8"),
        (b"[" * 65 + b"]" * 65, "too_deep"),
        (b'{"a": 1e999}', "number_too_large"),
    ],
)
async def test_a_body_that_cannot_be_read_is_counted_with_its_reason(
    face: Face, admin: Any, body: bytes, reason: str
) -> None:
    assert (await admin.post("/webhooks/never-heard-of", content=body)).status_code == 400
    assert counted(face, "other", reason) == 1


async def test_without_a_token_it_is_counted_too(face: Face) -> None:
    assert (await (await face.client()).post("/webhooks/deploy", content=BODY)).status_code == 401
    assert counted(face, "other", "no_token") == 1


def test_signatures_are_remembered_until_their_time_is_over_and_no_more_than_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signatures, "_MOST_REMEMBERED", 2)
    clock = VirtualClock()
    verifier = Signatures(clock, SECRETS.__getitem__)
    webhook = Webhook.model_validate({"secrets": ["old"], "style": "timestamped", "encoding": "base64"})

    def send(moment: int) -> None:
        signed = hmac.new(SECRETS["old"].encode(), f"{moment}.".encode() + BODY, hashlib.sha256).digest()
        headers = {
            "x-hub-signature-256": ["sha256=" + base64.b64encode(signed).decode()],
            "x-signature-timestamp": [str(moment)],
        }
        with verifier.once(verifier.verify("x", webhook, Sent("10.0.0.7", headers, BODY))):
            pass

    now = int(clock.now())
    send(now - 200)
    send(now)
    with pytest.raises(Unauthenticated, match="used before"):
        send(now - 200)
    with pytest.raises(TooManyRequests):
        send(now + 1)
    clock.set_by(101)
    send(now + 1)
    with pytest.raises(Unauthenticated, match=r"is 301 s old, more than 300 s"):
        send(now - 200)


@given(
    st.text(max_size=60) | st.builds("t={},v1={}".format, st.integers(), st.text(max_size=20)),
    st.text(max_size=20),
    st.sampled_from(["body", "timestamped", "combined"]),
    st.sampled_from(["hex", "base64"]),
)
def test_any_headers_are_refused_and_nothing_else_happens(text: str, moment: str, style: str, encoding: str) -> None:
    verifier = Signatures(VirtualClock(), SECRETS.__getitem__)
    webhook = Webhook.model_validate({"secrets": ["old"], "style": style, "encoding": encoding, "signature_prefix": ""})
    headers = {"x-hub-signature-256": [text], "x-signature-timestamp": [moment]}
    with pytest.raises(Unauthenticated):
        verifier.verify("x", webhook, Sent("10.0.0.7", headers, BODY))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "it verifies nothing"),
        ({"secrets": ["a"], "signed_text": "{body}"}, "must hold {timestamp} and {body} once each"),
        ({"secrets": ["a"], "signature_header": "X:Y"}, "signature_header"),
        ({"client_certificate": {"trusted_proxies": ["nowhere"], "subjects": ["*"]}}, "trusted_proxies"),
    ],
)
def test_a_wrong_configuration_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Webhook.model_validate(settings)
