"""Who sends a webhook: its signature, its time, its certificate. What is wrong is never said more exactly than needed
to put it right, and takes the same time whatever part of a signature is wrong."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

from automation.clock import Clock
from automation.errors import TooManyRequests, Unauthenticated
from automation.model.webhook import ClientCertificate, Webhook

_MOST_REMEMBERED = 100_000
_LONGEST_HEADER = 4096
_MOST_SIGNATURES = 10
_TIME = re.compile(r"[0-9]{1,11}")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it came: who is at the other end of the connection, its headers in lower case, its body."""

    address: str
    headers: Mapping[str, Sequence[str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """What the signature says of a request."""

    key: str | None = None
    """Names a request whose time is signed once and for all; None where there is no such time."""
    expires_at: float = 0.0


class Signatures:
    """Verifies webhooks, and remembers the signatures that it has seen for as long as their time is taken."""

    def __init__(self, clock: Clock, secret: Callable[[str], str]) -> None:
        self._clock = clock
        self._secret = secret
        self._seen: dict[str, float] = {}

    def verify(self, name: str, webhook: Webhook, sent: Sent) -> Verified:
        """What is verified. Raises Unauthenticated whose `reason` is one word, and what looking up a secret raises."""
        if webhook.client_certificate is not None:
            _check_certificate(webhook.client_certificate, sent)
        if not webhook.secrets:
            return Verified()
        text = _header(sent, webhook.signature_header, "no_signature")
        if webhook.style == "body":
            self._compare(webhook, sent.body, [_without(text, webhook.signature_prefix)])
            return Verified()
        if webhook.style == "timestamped":
            moment = _header(sent, webhook.timestamp_header, "no_timestamp")
            signatures = [_without(text, webhook.signature_prefix)]
        else:
            moment, signatures = _parts(text)
        self._check_time(webhook, moment)
        before, _, after = webhook.signed_text.replace("{timestamp}", moment).partition("{body}")
        used = self._compare(webhook, before.encode() + sent.body + after.encode(), signatures)
        key = sha256(f"{name}\0{used}".encode()).hexdigest()[:32]
        return Verified(key, int(moment) + webhook.window_seconds)

    @contextmanager
    def once(self, verified: Verified) -> Iterator[None]:
        """Do what a request asks for, if it has not come before; where that fails, it may come again.

        Raises Unauthenticated for a replay. Only this process knows; the id of the event that is made of the request
        holds for all.
        """
        if verified.key is None:
            yield
            return
        now = self._clock.now()
        if self._seen.get(verified.key, 0.0) >= now:
            raise _refused("replayed", "this signature was used before; sign each request anew")
        if len(self._seen) >= _MOST_REMEMBERED:
            self._seen = {key: until for key, until in self._seen.items() if until >= now}
        if len(self._seen) >= _MOST_REMEMBERED:
            raise TooManyRequests(retry_after=1.0)
        self._seen[verified.key] = verified.expires_at
        try:
            yield
        except BaseException:
            self._seen.pop(verified.key, None)
            raise

    def _check_time(self, webhook: Webhook, moment: str) -> None:
        if not _TIME.fullmatch(moment):
            raise _refused("bad_timestamp", "the time of the signature must be whole seconds since 1970")
        apart = self._clock.now() - int(moment)
        if abs(apart) > webhook.window_seconds:
            way = "old" if apart > 0 else "in the future"
            raise _refused(
                "stale", f"the signature is {abs(apart):.0f} s {way}, more than {webhook.window_seconds:g} s"
            )

    def _compare(self, webhook: Webhook, signed: bytes, signatures: Sequence[str]) -> str:
        found = ""
        for name in webhook.secrets:
            digest = hmac.new(self._secret(name).encode(), signed, webhook.algorithm).digest()
            for text in signatures:
                # All are compared, whichever fits.
                if hmac.compare_digest(_decoded(text, webhook.encoding), digest):
                    found = digest.hex()
        if not found:
            raise _refused("wrong_signature", "the signature does not fit the body and the secret")
        return found


def _decoded(text: str, encoding: str) -> bytes:
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""


def _refused(reason: str, message: str) -> Unauthenticated:
    return Unauthenticated(f"the webhook was not verified: {message}", reason=reason)


def _header(sent: Sent, name: str, reason: str) -> str:
    found = sent.headers.get(name.lower(), ())
    # Twice: perhaps one by the caller and one by a proxy behind it, and nobody can say which is which.
    if len(found) != 1 or not found[0] or len(found[0]) > _LONGEST_HEADER:
        raise _refused(reason, f"the header {name} must be there, once")
    return found[0].strip()


def _without(text: str, prefix: str) -> str:
    if not text.startswith(prefix):
        raise _refused("wrong_signature", f"the signature must begin with {prefix!r}")
    return text.removeprefix(prefix)


def _parts(text: str) -> tuple[str, list[str]]:
    pairs = [part.strip().partition("=") for part in text.split(",")]
    moments = [value for key, _, value in pairs if key == "t"]
    signatures = [value for key, _, value in pairs if key == "v1"]
    if len(moments) != 1 or not 1 <= len(signatures) <= _MOST_SIGNATURES:
        raise _refused("bad_header", "the header must read t=<seconds>,v1=<signature>")
    return moments[0], signatures


def _check_certificate(wanted: ClientCertificate, sent: Sent) -> None:
    try:
        address = ip_address(sent.address.partition("%")[0])
    except ValueError:
        raise _refused("untrusted_proxy", "it did not come through a trusted proxy") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if not any(address in network for network in wanted.trusted_proxies):
        raise _refused("untrusted_proxy", "it did not come through a trusted proxy")
    if _header(sent, wanted.verify_header, "no_certificate") != wanted.verify_value:
        raise _refused("invalid_certificate", "the proxy found no valid client certificate")
    subject = _header(sent, wanted.subject_header, "no_certificate")
    if not any(_fits(pattern, subject) for pattern in wanted.subjects):
        raise _refused("unknown_subject", "the subject of the client certificate may not send here")


def _fits(pattern: str, subject: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), subject, re.DOTALL) is not None
