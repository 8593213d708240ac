from __future__ import annotations

import pytest

from automation.config import Security
from automation.errors import Forbidden
from automation.model.identity import LOCAL, Identity
from automation.model.roles import ROLES
from automation.security.access import refuse, require


def identity(*roles: str) -> Identity:
    return Identity("anna", roles, Security().permissions(roles))


def admitted(who: Identity, permission: str) -> bool:
    try:
        require(who, permission)
    except Forbidden:
        return False
    return True


def test_who_has_the_permission_may_and_nobody_else():
    assert admitted(identity("automation_viewer"), "workflows:view")
    assert admitted(identity("automation_source", "automation_viewer"), "events:publish")
    assert not admitted(identity("automation_viewer"), "events:publish")


def test_an_administrator_and_the_local_user_may_do_everything():
    permissions = {permission for granted in ROLES.values() for permission in granted}
    for who in (identity("automation_admin"), LOCAL):
        assert {permission for permission in permissions if not admitted(who, permission)} == set()


@pytest.mark.parametrize("roles", [(), ("automation_viewer",), ("unknown",)])
def test_who_lacks_the_permission_is_told_which(roles):
    with pytest.raises(Forbidden, match="this needs the permission 'workflows:execute'") as caught:
        require(identity(*roles), "workflows:execute")

    assert caught.value.permission == "workflows:execute"


async def test_a_forbidden_attempt_is_audited(tokens, audited):
    await refuse(
        tokens.refusals, identity("automation_viewer"), "workflows:execute", address="192.0.2.7", path="/api/v1/x"
    )

    (row,) = await audited()
    assert (row.kind, row.actor, row.act, row.subject, row.outcome) == (
        "access_attempt",
        "anna",
        "authorize",
        "/api/v1/x",
        "refused",
    )
    assert row.detail == {"permission": "workflows:execute", "address": "192.0.2.7"}
