"""Decisions that are remembered by their idempotency key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automation.clock import RealClock, VirtualClock
from automation.errors import NotFound
from automation.infrastructure import services as module
from automation.infrastructure.services import Services
from automation.model.service import ServiceDefinition

SERVICE = ServiceDefinition(name="api", settings={"command": ["x"]})


async def test_a_decision_is_made_once_for_a_key_also_by_a_later_engine(tmp_path: Path) -> None:
    made: list[int] = []

    async def decide() -> dict[str, Any]:
        made.append(1)
        return {"to": len(made)}

    first = await Services(tmp_path, VirtualClock()).decided(SERVICE, "one", decide)
    again = await Services(tmp_path, VirtualClock()).decided(SERVICE, "one", decide)
    other = await Services(tmp_path, VirtualClock()).decided(SERVICE, "two", decide)

    assert (first, again, other) == ({"to": 1}, {"to": 1}, {"to": 2})


async def test_old_decisions_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_DECISIONS", 3)

    async def decide() -> dict[str, Any]:
        return {}

    for number in range(6):
        await Services(tmp_path, RealClock()).decided(SERVICE, str(number), decide)

    assert len(list((tmp_path / "process" / "api").glob("scale-*.json"))) == 3


def test_an_unknown_service_is_told_with_the_known_ones(tmp_path: Path) -> None:
    services = Services(tmp_path, RealClock())
    services.define(SERVICE)

    with pytest.raises(NotFound, match=r"no service 'ap'; defined services: api"):
        services.get("ap")
    services.forget("api")
    assert services.names() == []
