"""`smtp`: takes in e-mail, for systems that can tell nothing in any other way."""

from __future__ import annotations

import asyncio
import hmac
import ssl
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.parser import BytesHeaderParser, BytesParser
from email.policy import EmailPolicy
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from automation.model.event import Event
from automation.plugins import source
from automation.sources.record import TypeName
from automation.sources.source import Delivery, SourceContext

_MOST_WAITING = 100
_MOST_ATTACHMENTS = 100
_MOST_PARTS = 1000
_LONGEST = 500
_LONGEST_HEADER = 2000
"""Characters of a header field that are read: the time to read one grows with the square of its length."""
# What the standard library raises for header fields that are none; RecursionError for many brackets.
_UNREADABLE = (ValueError, IndexError, AttributeError, KeyError, TypeError, LookupError, RecursionError)


class Smtp(BaseModel):
    """Where mail is taken in, and which."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8025
    """The port to listen on."""
    recipients: Annotated[tuple[str, ...], Field(min_length=1)]
    """The addresses that mail is taken in for; `*` stands for any text in one. Any other is refused."""
    type: TypeName = "email.received"
    """The type of the events."""
    user: str | None = None
    """The user that a sender has to sign in as."""
    password: SecretStr | None = None
    """Its password."""
    certificate: Path | None = None
    """A file with a certificate and those above it, for STARTTLS, which is needed then."""
    key: Path | None = None
    """The file with its key."""
    max_bytes: Annotated[int, Field(ge=1024, le=104_857_600)] = 1_048_576
    """A larger mail is refused."""
    max_text: Annotated[int, Field(ge=0, le=1_000_000)] = 20_000
    """How many characters of the text are kept."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password: give both, or neither")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key: give both, or neither")
        if self.user is not None and self.certificate is None:
            raise ValueError("user: a password is taken over TLS only; give certificate and key")
        return self


@source("smtp", library="aiosmtpd", extra="smtp")
async def smtp(settings: Smtp, context: SourceContext) -> AsyncIterator[Delivery]:
    """Take in e-mail; a mail is answered with 250 after its event is on disk."""
    desk = _Desk(settings, context)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(desk.protocol, settings.host, settings.port)
    context.listening()
    try:
        while True:
            mails = [await desk.come.get()]
            while not desk.come.empty():
                mails.append(desk.come.get_nowait())
            yield Delivery(tuple(event for event, _ in mails), lag=desk.come.qsize())
            for _, stored in mails:
                # Only here: what was yielded is on disk. Who has hung up meanwhile will send it again.
                if not stored.done():
                    stored.set_result(None)
    finally:
        server.close()
        desk.close()


class _Desk:
    """Where mail comes in and waits until it is stored."""

    def __init__(self, settings: Smtp, context: SourceContext) -> None:
        self._settings = settings
        self._context = context
        self.come: asyncio.Queue[tuple[Event, asyncio.Future[None]]] = asyncio.Queue(_MOST_WAITING)
        self._tls = _tls(settings)
        self._protocols: list[Any] = []

    def protocol(self) -> Any:
        from aiosmtpd.smtp import SMTP

        made = SMTP(
            self,
            loop=asyncio.get_running_loop(),
            data_size_limit=self._settings.max_bytes,
            ident="automation",
            tls_context=self._tls,
            require_starttls=self._tls is not None,
            auth_required=self._settings.user is not None,
            auth_require_tls=self._tls is not None,
            authenticator=self._signs_in,
        )
        self._protocols = [known for known in self._protocols if known.transport is not None]
        self._protocols.append(made)
        return made

    def close(self) -> None:
        """Hang up on all who are connected: what is not stored they will send again."""
        for known in self._protocols:
            if known.transport is not None:
                known.transport.abort()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if not any(fnmatchcase(address.lower(), wanted.lower()) for wanted in self._settings.recipients):
            return "550 5.1.1 no mail is taken in for this address"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.come.full():
            return "451 4.3.2 too many mails wait to be stored; try again later"
        # A mail of a megabyte may take a second.
        event = await asyncio.to_thread(
            _event, envelope.mail_from or "", envelope.rcpt_tos, envelope.content, self._settings, self._context
        )
        if self.come.full():
            return "451 4.3.2 too many mails wait to be stored; try again later"
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.come.put_nowait((event, stored))
        await stored
        return "250 2.0.0 stored"

    def _signs_in(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        from aiosmtpd.smtp import AuthResult, LoginPassword

        wanted = self._settings
        fits = (
            isinstance(data, LoginPassword)
            and wanted.user is not None
            and wanted.password is not None
            and hmac.compare_digest(data.login, wanted.user.encode())
            and hmac.compare_digest(data.password, wanted.password.get_secret_value().encode())
        )
        return AuthResult(success=fits, handled=fits)


def _tls(settings: Smtp) -> ssl.SSLContext | None:
    if settings.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.certificate, settings.key)
    return context


class _Policy(EmailPolicy):
    """Reads only the beginning of a header field, and one that cannot be read as empty."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        try:
            return super().header_fetch_parse(name, value[:_LONGEST_HEADER])
        except _UNREADABLE:
            return ""


_POLICY = _Policy()


def _read(content: bytes) -> EmailMessage:
    whole, head = BytesParser(EmailMessage, policy=_POLICY), BytesHeaderParser(EmailMessage, policy=_POLICY)
    # Many parts, or parts within parts within parts: what is behind the header is one text then.
    if content.count(b"\n--") > _MOST_PARTS:
        return cast(EmailMessage, head.parsebytes(content))
    try:
        return cast(EmailMessage, whole.parsebytes(content))
    except RecursionError:
        return cast(EmailMessage, head.parsebytes(content))


def _event(sender: str, recipients: list[str], content: bytes, settings: Smtp, context: SourceContext) -> Event:
    mail = _read(content)
    text, cut = _text(mail, settings.max_text)
    message_id = _header(mail, "Message-ID")
    return Event(
        type=settings.type,
        source=f"smtp:{context.name}",
        subject=recipients[0][:_LONGEST],
        id=_id(message_id, recipients, content),
        time=context.clock.now(),
        data={
            "from": _header(mail, "From") or sender,
            "envelope_from": sender,
            "to": recipients,
            "subject": _header(mail, "Subject"),
            "message_id": message_id,
            "text": text,
            "text_cut": cut,
            "attachments": [_attachment(part) for part in list(mail.iter_attachments())[:_MOST_ATTACHMENTS]]
            if mail.is_multipart()
            else [],
        },
    )


def _id(message_id: str, recipients: list[str], content: bytes) -> str:
    # A sender that did not hear our answer sends the same again. What it sends to other recipients in a delivery of its
    # own has the same Message-ID and is not the same.
    to = sha256("\n".join(sorted(recipients)).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{message_id[: _LONGEST - 13] or sha256(content).hexdigest()[:32]}:{to}"


def _header(mail: EmailMessage, name: str) -> str:
    # Whoever sends mail may write anything, and reading it must not fail.
    try:
        return str(mail.get(name, "")).encode("utf-8", "replace").decode().replace("\0", "").strip()
    except _UNREADABLE:
        return ""


def _text(mail: EmailMessage, most: int) -> tuple[str, bool]:
    try:
        body = mail.get_body(("plain", "html"))
        text = _raw(mail) if body is None else str(body.get_content())
    except _UNREADABLE:
        text = _raw(mail)
    text = text.encode("utf-8", "replace").decode().replace("\0", "").replace("\r\n", "\n")
    return text[:most], len(text) > most


def _raw(mail: EmailMessage) -> str:
    raw = mail.get_payload(decode=True)
    return raw.decode(errors="replace") if isinstance(raw, bytes) else ""


def _attachment(part: Any) -> dict[str, Any]:
    content = part.get_payload(decode=True)
    return {
        "name": str(part.get_filename() or "")[:_LONGEST],
        "type": part.get_content_type(),
        "bytes": len(content) if isinstance(content, bytes) else 0,
    }
