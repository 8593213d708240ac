"""What collectors have in common that connect to `host:port`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from automation.infrastructure.connect import Endpoint
from automation.monitoring.collector import Thresholds

AT_ONCE = 32
"""How many connections of one collector are under way at the same time."""


class Connections(BaseModel):
    """What is connected to, whom TLS trusts, and when a check has failed."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    targets: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    """Each `host:port`, or `[address]:port` for IPv6."""
    subject: str = ""
    """What the targets belong to; by default the host of each."""
    verify: bool = True
    """Whether the certificate of a target is verified."""
    ca_file: str | None = None
    """A PEM file of the authorities that are trusted, in the place of those known to this machine."""
    server_name: str | None = None
    """The name that is asked for in TLS and that the certificate must hold; by default the host."""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    """The limit for one connection."""
    failures: Annotated[int, Field(ge=1)] = 2
    """After how many bad results in a row a check has failed."""
    successes: Annotated[int, Field(ge=1)] = 1
    """After how many good results in a row it has recovered."""

    @field_validator("targets")
    @classmethod
    def _endpoints(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        for target in targets:
            Endpoint.of(target)
        return targets

    @model_validator(mode="after")
    def _whom_to_trust(self) -> Self:
        if self.ca_file is not None and not self.verify:
            raise ValueError("a ca_file says whom to trust, and verify is off: leave one of them out")
        return self

    @property
    def thresholds(self) -> Thresholds:
        """How many results in a row change what is held true."""
        return Thresholds(self.failures, self.successes)
