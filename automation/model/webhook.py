"""How a webhook is verified: by the sender's signature, or by the certificate that a proxy has checked."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, IPvAnyNetwork, model_validator

from automation.model.base import Definition
from automation.model.normaliser import Normaliser

Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}$")]


class ClientCertificate(Definition):
    """A certificate of the sender that a proxy in front of us has verified, and tells of in headers."""

    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], Field(min_length=1)]
    """The addresses of the proxies, such as `10.0.0.5/32`. From any other address the headers count for nothing."""
    subjects: Annotated[tuple[str, ...], Field(min_length=1)]
    """The subjects that may send, as the proxy writes them; `*` stands for any text in one."""
    subject_header: Header = "X-Client-Subject"
    """The header with the subject. The proxy has to overwrite what a caller sends in it."""
    verify_header: Header = "X-Client-Verify"
    """The header that says whether the certificate is valid."""
    verify_value: str = "SUCCESS"
    """What that header says of a valid one: `SUCCESS` with nginx's `$ssl_client_verify`."""


class Webhook(Definition):
    """How requests to `/webhooks/<name>` are verified, instead of by a token, and what is made of their events."""

    secrets: tuple[str, ...] = ()
    """The names of the secrets that the sender may sign with: HMAC of the body. Several, while one is replaced."""
    style: Literal["body", "timestamped", "combined"] = "body"
    """What is signed and how the header reads: `body` as GitHub does (`sha256=<HMAC of the body>`), `timestamped` with
    the time in a header of its own, `combined` with both in one (`t=<seconds>,v1=<HMAC>`), as our own channel sends."""
    signature_header: Header = "X-Hub-Signature-256"
    """The header with the signature."""
    signature_prefix: str = "sha256="
    """What stands before the signature in it; not used by `combined`."""
    timestamp_header: Header = "X-Signature-Timestamp"
    """The header with the seconds since the epoch, for `timestamped`."""
    signed_text: str = "{timestamp}.{body}"
    """What is signed by `timestamped` and `combined`; Slack has `v0:{timestamp}:{body}`."""
    algorithm: Literal["sha256", "sha512"] = "sha256"
    """The hash of the HMAC."""
    encoding: Literal["hex", "base64"] = "hex"
    """How the signature is written."""
    window_seconds: Annotated[float, Field(gt=0, le=3600)] = 300.0
    """How far the time of a signature may be from ours. A signature that comes twice within it is a replay."""
    client_certificate: ClientCertificate | None = None
    """The certificate that the sender needs; with `secrets` it needs both."""
    normalise: tuple[Normaliser, ...] = ()
    """What is made of its events before any rule sees them, one after the other."""

    @property
    def verifies(self) -> bool:
        """Whether it verifies the sender, who needs a token otherwise."""
        return bool(self.secrets) or self.client_certificate is not None

    @model_validator(mode="after")
    def _is_of_use(self) -> Self:
        if not self.verifies and not self.normalise:
            raise ValueError("it verifies nothing: name `secrets`, a `client_certificate` or `normalise`")
        if self.signed_text.count("{body}") != 1 or self.signed_text.count("{timestamp}") != 1:
            raise ValueError("signed_text: must hold {timestamp} and {body} once each")
        return self
