"""A value that is too large for the journal, and is kept beside it: what stands in its place until it is needed."""

from __future__ import annotations

import msgspec


class LargeValue(msgspec.Struct, frozen=True):
    """Which value it is, by the SHA-256 of its JSON, and how many bytes that JSON has."""

    sha256: str
    size: int

    def as_reference(self) -> dict[str, str | int]:
        """What REST, command line and console show in its place."""
        return {"$ref": f"sha256:{self.sha256}", "size": self.size}
