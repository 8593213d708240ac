"""How often cyclic garbage is looked for while engines run."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from automation import AutomationConfig, AutomationEngine
from automation.garbage import looked_for_after
from automation.model.performance import Performance


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_it_is_looked_for_less_often_while_an_engine_runs_and_as_before_after_the_last() -> None:
    with looked_for_after(50_000):
        assert gc.get_threshold() == (50_000, 10, 10)
        with looked_for_after(60_000):
            assert gc.get_threshold() == (60_000, 10, 10)
        assert gc.get_threshold() == (50_000, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


def test_engines_may_end_in_any_order() -> None:
    first, second = looked_for_after(50_000), looked_for_after(60_000)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] == 60_000
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [(100_000, 5, 5), (0, 10, 10)])
def test_a_process_that_wants_it_less_often_or_not_at_all_has_its_way(chosen: tuple[int, int, int]) -> None:
    gc.set_threshold(*chosen)

    with looked_for_after(50_000):
        assert gc.get_threshold() == chosen

    assert gc.get_threshold() == chosen


def test_what_the_process_sets_meanwhile_is_left_behind() -> None:
    with looked_for_after(50_000):
        gc.set_threshold(90_000, 20, 20)
        with looked_for_after(60_000):
            assert gc.get_threshold() == (90_000, 20, 20)

    assert gc.get_threshold() == (90_000, 20, 20)


def test_it_is_as_before_also_after_an_error() -> None:
    with pytest.raises(ValueError, match="within"), looked_for_after(50_000):
        raise ValueError("within")

    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize(("wanted", "found"), [(20_000, 20_000), (None, 700)])
async def test_an_engine_does_as_it_is_configured(config: AutomationConfig, wanted: int | None, found: int) -> None:
    changed = AutomationConfig(
        database_url=config.database_url, data_dir=config.data_dir, performance=Performance(garbage_threshold=wanted)
    )

    async with AutomationEngine(changed):
        assert gc.get_threshold()[0] == found
    assert gc.get_threshold()[0] == 700
