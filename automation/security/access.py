"""Whether a caller may do something: asked in one place for REST, console and the command line over REST."""

from __future__ import annotations

from automation.errors import Forbidden
from automation.model.identity import Identity
from automation.security.refusals import Refusals


def require(identity: Identity, permission: str) -> None:
    """Return if the caller has the permission; else raise Forbidden, which names it."""
    if not identity.may(permission):
        raise Forbidden(permission=permission)


async def refuse(refusals: Refusals, identity: Identity, permission: str, *, address: str, path: str) -> None:
    """Audit that a caller asked for what it may not do."""
    await refusals.record(identity.name, "authorize", path, {"permission": permission, "address": address})
