from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.actions.builtin.infrastructure import (
    RestartService,
    ScaleInfrastructure,
    aim,
    restart_service,
    scale_infrastructure,
)
from automation.actions.context import ActionContext, Resources
from automation.clock import RealClock
from automation.errors import DefinitionError, Refused
from automation.infrastructure.services import Services
from automation.model.service import HealthCheck, ServiceDefinition
from automation.plugins import read_settings, registry

TINY = Path(__file__).parents[2] / "support" / "tiny_service.py"


def bounded(least: int = 1, most: int = 10) -> ServiceDefinition:
    return ServiceDefinition(name="api", min_replicas=least, max_replicas=most, settings={"command": ["x"]})


def aimed(current: int, service: ServiceDefinition | None = None, **parameters: object) -> tuple[int, str | None]:
    return aim(ScaleInfrastructure(service_name="api", **parameters), service or bounded(), current)


@pytest.mark.parametrize(
    ("current", "parameters", "expected"),
    [
        (2, {"scale_factor": 1.5}, (3, None)),
        (3, {"scale_factor": 1.5}, (5, None)),
        (1, {"scale_factor": 1.1}, (2, None)),
        (0, {"scale_factor": 1.5}, (1, None)),
        (10, {"scale_factor": 1.1}, (10, "max_replicas")),
        (4, {"scale_factor": 0.5}, (2, None)),
        (5, {"scale_factor": 0.9}, (4, None)),
        (1, {"scale_factor": 0.5}, (1, "min_replicas")),
        (3, {"scale_factor": 1}, (3, None)),
        (3, {"replicas": 7}, (7, None)),
        (3, {"replicas": 70}, (10, "max_replicas")),
        (8, {"scale_factor": 1.5, "max_instances": 9}, (9, "max_instances")),
        (8, {"scale_factor": 1.5, "max_instances": 20}, (10, "max_replicas")),
        (8, {"scale_factor": 0.1, "min_instances": 3}, (3, "min_instances")),
        # A bound holds growth back; it does not make it shrinkage.
        (8, {"scale_factor": 1.5, "max_instances": 5}, (8, "max_instances")),
        (2, {"scale_factor": 0.5, "min_instances": 4}, (2, "min_instances")),
        (8, {"replicas": 6, "max_instances": 5}, (5, "max_instances")),
    ],
)
def test_the_aim(current: int, parameters: dict[str, object], expected: tuple[int, str | None]) -> None:
    assert aimed(current, **parameters) == expected


def test_ten_times_1_1_is_eleven() -> None:
    assert aimed(10, bounded(most=20), scale_factor=1.1) == (11, None)


@given(current=st.integers(0, 50), factor=st.floats(0.01, 20), most=st.integers(1, 60), least=st.integers(0, 60))
def test_a_factor_never_moves_the_other_way_nor_further_out_of_bounds(
    current: int, factor: float, most: int, least: int
) -> None:
    if least > most:
        return
    target, bound = aimed(current, bounded(least, most), scale_factor=factor)
    assert target >= current if factor >= 1 else target <= current
    assert min(least, current) <= target <= max(most, current)
    if bound is None:
        assert target != current or factor == 1 or current == 0


def test_bounds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(Refused, match=r"min_instances \(12\) is above max_replicas \(10\)"):
        aimed(3, scale_factor=2, min_instances=12)


def test_just_one_aim_is_needed() -> None:
    for parameters in ({}, {"scale_factor": 2, "replicas": 3}):
        with pytest.raises(DefinitionError, match="either scale_factor or replicas"):
            read_settings(ScaleInfrastructure, {"service_name": "api", **parameters})


def test_they_are_idempotent_and_standard() -> None:
    for name in ("restart_service", "scale_infrastructure"):
        options = registry.get("action", name).options
        assert (options["idempotent"], options["effect"]) == (True, "standard")


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    services = Services(tmp_path, RealClock())
    service = ServiceDefinition(
        name="spotify-api",
        replicas=1,
        max_replicas=3,
        health=HealthCheck(),
        settings={"command": [sys.executable, "-S", str(TINY), "{port}"], "stop_timeout_seconds": 2},
    )
    services.define(service)
    yield services
    await services.platform(service).scale(service, 0)


def context(services: Services, execution: str = "e1") -> ActionContext:
    resources = Resources()
    resources.provide(Services, services)
    return ActionContext(execution_id=execution, action="scale", resources=resources)


async def test_an_unknown_service_is_refused_with_the_known_ones(services: Services) -> None:
    with pytest.raises(Refused, match=r"no service 'playback'; defined services: spotify-api"):
        await restart_service(RestartService(service_name="playback"), context(services))
    with pytest.raises(Refused, match="defined services"):
        await scale_infrastructure(ScaleInfrastructure(service_name="x", replicas=1), context(services))


async def test_a_restart_replaces_a_dead_replica(services: Services) -> None:
    started = await restart_service(RestartService(service_name="spotify-api"), context(services))
    assert (started["restarted"], started["replicas"]) == ([], 1)
    service = services.get("spotify-api")
    (old,) = await services.platform(service).replicas(service)
    os.kill(old.pid, signal.SIGKILL)

    result = await restart_service(RestartService(service_name="spotify-api"), context(services))

    (new,) = await services.platform(service).replicas(service)
    assert result["service_name"] == "spotify-api"
    assert result["restarted"] == [old.id]
    assert result["replicas"] == 1
    assert result["addresses"] == [new.address] != [old.address]
    assert result["seconds"] > 0


async def test_scaling_again_with_the_same_key_does_not_scale_twice(services: Services, tmp_path: Path) -> None:
    service = services.get("spotify-api")
    await services.platform(service).scale(service, 1)
    params = ScaleInfrastructure(service_name="spotify-api", scale_factor=1.5)

    first = await scale_infrastructure(params, context(services))
    # Another engine on the same records runs it again, as after a crash.
    second = Services(tmp_path, RealClock())
    second.define(service)
    again = await scale_infrastructure(params, context(second))
    other = await scale_infrastructure(params, context(services, "e2"))

    assert first == {"service_name": "spotify-api", "from": 1, "to": 2, "replicas": 2, "bounded_by": None}
    assert again == first
    assert (other["from"], other["to"]) == (2, 3)
