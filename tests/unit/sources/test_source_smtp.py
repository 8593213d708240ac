"""The `smtp` source with the mail client of the standard library."""

from __future__ import annotations

import asyncio
import datetime
import json
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from automation import AutomationEngine
from automation.clock import VirtualClock
from automation.errors import DefinitionError
from automation.plugins import read_settings
from automation.sources.smtp import Smtp, smtp
from automation.sources.smtp import _event as event_of_mail
from automation.sources.source import SourceContext
from automation.triggers.dispatcher import check
from tests.support.brokers import listens
from tests.support.programs import free_port, until
from tests.support.sources import came, follow, is_so, state


def mail(text: str = "the disk is full\n", **headers: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "ups@example.com", "alarms@ops.example.com", "UPS: on battery ⚡"
    made["Message-ID"] = "<1@example.com>"
    made.set_content(text)
    for name, value in headers.items():
        del made[name.replace("_", "-")]
        made[name.replace("_", "-")] = value
    return made


async def send(port: int, *mails: EmailMessage | bytes, prepare: Callable[[smtplib.SMTP], object] = bool) -> None:
    def speak() -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            prepare(client)
            for one in mails:
                if isinstance(one, bytes):
                    client.sendmail("ups@example.com", ["alarms@ops.example.com"], one)
                else:
                    client.send_message(one)

    await asyncio.to_thread(speak)


async def listening(engine: AutomationEngine, **settings: Any) -> int:
    port = free_port()
    await follow(engine, "smtp", port=port, recipients=["*@ops.example.com"], **settings)
    await is_so(engine, lambda found: found.status == "running")
    await until(lambda: listens(port), "it listens")
    return port


async def test_a_mail_is_an_event_once_it_is_stored(engine: AutomationEngine) -> None:
    port = await listening(engine)
    made = mail()
    made.add_attachment(b"abc", maintype="application", subtype="pdf", filename="plan.pdf")
    await send(port, made)
    # Answered with 250, so it is there.
    [event] = await came(engine, 1)
    assert (event.type, event.subject) == ("email.received", "alarms@ops.example.com")
    assert event.data["message_id"] == "<1@example.com>"
    assert event.data["subject"] == "UPS: on battery ⚡"
    assert event.data["text"] == "the disk is full\n"
    assert event.data["attachments"] == [{"name": "plan.pdf", "type": "application/pdf", "bytes": 3}]
    assert event.data["envelope_from"] == "ups@example.com"
    # Sent again, it is a duplicate.
    await send(port, made)
    await is_so(engine, lambda found: found.duplicates == 1)


async def test_mail_for_others_and_large_mail_is_refused(engine: AutomationEngine) -> None:
    port = await listening(engine, max_bytes=2048)
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="no mail is taken in for this address"):
        await send(port, mail(To="root@example.com"))
    with pytest.raises((smtplib.SMTPSenderRefused, smtplib.SMTPDataError)):
        await send(port, mail("x" * 3000))
    assert state(engine).events == 0


async def test_a_mail_that_comes_in_one_delivery_for_each_recipient_is_an_event_for_each(
    engine: AutomationEngine,
) -> None:
    port = await listening(engine)
    one, other = mail(), mail(To="night@ops.example.com")
    await send(port, one, other, one)
    assert [event.subject for event in await came(engine, 2)] == ["alarms@ops.example.com", "night@ops.example.com"]
    assert state(engine).duplicates == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00 no header at all",
        b"Subject: =?utf-8?q?=ff?=\r\nContent-Type: text/plain; charset=nosuch\r\n\r\ntext\xff\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--x--\r\n",
        b"From: " + b"a" * 900 + b"\r\nMessage-ID: <" + b"9" * 900 + b">\r\n\r\n\r\n",
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!!\r\n",
    ],
)
async def test_odd_mail_is_an_event_too(engine: AutomationEngine, content: bytes) -> None:
    port = await listening(engine)
    await send(port, content)
    [event] = await came(engine, 1)
    assert event.type == "email.received"
    assert state(engine).restarts == 0


@given(st.binary(max_size=400) | st.builds(lambda a, b: a + b"\r\n\r\n" + b, st.binary(), st.binary()))
def test_any_bytes_are_an_event(content: bytes) -> None:
    event = event_of_mail("", ["a@example.com"], content, Smtp(recipients=("*",)), SourceContext("x", VirtualClock()))
    check(event)
    assert json.loads(msgspec.json.encode(event.data)) == event.data


WIDE = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\na\r\n" * 100_000
DEEP = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(5_000))


# What takes minutes fails by the limit.
@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "content",
    [
        b"From: " + b"a," * 400_000 + b"\r\n\r\nhello",
        b"From: " + b"(" * 900_000 + b"\r\n\r\nhello",
        b"Subject: " + b"=?utf-8?q?a?= " * 70_000 + b"\r\n\r\nhello",
        b"Content-Type: text/plain; " + b"; ".join(b"a*%d*=b" % n for n in range(90_000)) + b"\r\n\r\nhello",
        b"Content-Type: text/plain (" + b"(" * 900_000 + b"\r\n\r\nhello",
        WIDE + b"hello",
        DEEP + b"hello",
    ],
    ids=["addresses", "brackets", "words", "parameters", "comments", "parts", "parts within parts"],
)
def test_a_mail_that_is_hard_to_read_is_read_in_part(content: bytes) -> None:
    settings = Smtp(recipients=("*",), max_text=1_000_000)
    event = event_of_mail("ups@example.com", ["a@example.com"], content, settings, SourceContext("x", VirtualClock()))
    check(event)
    assert "hello" in event.data["text"]
    assert len(event.data["attachments"]) <= 100


async def test_a_sender_waits_until_its_mail_is_stored() -> None:
    found = read_settings(Smtp, {"port": free_port(), "recipients": ["*"]})
    assert isinstance(found, Smtp)
    items = smtp(found, SourceContext("x", VirtualClock()))
    first = asyncio.ensure_future(anext(items))
    await until(lambda: listens(found.port), "it listens")
    sending = asyncio.ensure_future(send(found.port, mail()))
    delivery = await first
    assert len(delivery.events) == 1
    assert not sending.done()
    waits = asyncio.ensure_future(anext(items))
    await sending
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that it signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    secret.write_bytes(key.private_bytes(*form))
    return chain, secret


async def test_a_password_is_taken_over_tls(engine: AutomationEngine, tmp_path: Path) -> None:
    chain, secret = certificate(tmp_path)
    port = await listening(engine, user="ups", password="battery", certificate=str(chain), key=str(secret))
    tls = ssl.create_default_context(cafile=str(chain))
    tls.check_hostname = False

    def signing_in(password: str) -> Callable[[smtplib.SMTP], object]:
        def prepare(client: smtplib.SMTP) -> None:
            client.starttls(context=tls)
            client.login("ups", password)

        return prepare

    with pytest.raises(smtplib.SMTPException):
        await send(port, mail())
    with pytest.raises(smtplib.SMTPAuthenticationError):
        await send(port, mail(), prepare=signing_in("wrong"))
    assert state(engine).events == 0
    await send(port, mail(), prepare=signing_in("battery"))
    await came(engine, 1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"user": "x"}, "user and password: give both"),
        ({"user": "x", "password": "y"}, "over TLS only"),
        ({"key": "x"}, "certificate and key: give both"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        read_settings(Smtp, {"recipients": ["*"], **settings})
