"""The page on roles says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from automation.config import AutomationConfig
from automation.errors import Forbidden
from automation.model.identity import Identity
from automation.model.roles import ROLES
from automation.security.access import require

PAGE = (Path(__file__).parents[3] / "docs/reference/roles.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_listed_with_its_permissions(role):
    (row,) = re.findall(rf"^\| `{role}` \| (.*) \|$", PAGE, re.MULTILINE)

    assert set(re.findall(r"`(\w+:\w+)`", row)) == set(ROLES[role])


def test_each_permission_is_explained():
    explained = set(re.findall(r"^\| `(\w+:\w+)` \|", PAGE, re.MULTILINE))

    assert explained == {permission for granted in ROLES.values() for permission in granted}


def test_the_example_configures_a_role(tmp_path: Path):
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "automation.yaml").write_text(example)

    security = AutomationConfig.load(tmp_path / "automation.yaml").security

    assert security.permissions(("release",)) == {"workflows:view", "workflows:execute"}


def test_every_setting_named_exists():
    config = AutomationConfig()

    named = re.findall(r"`(security|api)\.(\w+)`", PAGE)

    assert named
    assert [(section, key) for section, key in named if not hasattr(getattr(config, section), key)] == []


def test_an_administrator_needs_no_other_permission():
    admin = Identity("a", (), frozenset({"system:admin"}))
    viewer = Identity("b", (), frozenset({"workflows:view"}))

    assert [who.name for who in (admin, viewer) if admitted(who, "metrics:view")] == ["a"]


def admitted(who: Identity, permission: str) -> bool:
    try:
        require(who, permission)
    except Forbidden:
        return False
    return True
