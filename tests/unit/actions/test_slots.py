"""Who gets a place among the running actions, and when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.actions.middleware.slots import STEP_SECONDS, Slots
from automation.model.workflow import Priority

PRIORITIES = [Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.CRITICAL]


@dataclass(eq=False)
class Actor:
    """One action that wants a place."""

    number: int
    priority: int
    came: float
    has: bool = False
    left: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def waits(self) -> bool:
        return not self.has and not self.left


class Scene:
    """Actions that come, end and give up, in virtual time."""

    def __init__(self, places: int, *, one_lane: bool = False) -> None:
        self.places = places
        self.now = 0.0
        self.slots = Slots(places, lambda: self.now, one_lane=one_lane)
        self.actors: list[Actor] = []
        self.served: list[Actor] = []

    async def come(self, priority: int) -> Actor:
        actor = Actor(len(self.actors), priority, self.now)
        self.actors.append(actor)

        async def take() -> None:
            await self.slots.lane(priority).acquire(priority)
            actor.has = True
            self.served.append(actor)

        actor.task = asyncio.create_task(take())
        await self.settle()
        return actor

    async def end(self, actor: Actor) -> None:
        actor.has, actor.left = False, True
        self.slots.lane(actor.priority).release()
        await self.settle()

    async def give_up(self, actor: Actor) -> None:
        assert actor.task is not None
        actor.left = True
        actor.task.cancel()
        await self.settle()

    @staticmethod
    async def settle() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    def running(self, *, critical: bool) -> int:
        return sum(actor.has for actor in self.actors if (actor.priority == Priority.CRITICAL) is critical)

    def waiting(self, *, critical: bool) -> list[Actor]:
        return [a for a in self.actors if a.waits and (a.priority == Priority.CRITICAL) is critical]

    async def close(self) -> None:
        for actor in self.actors:
            if actor.waits:
                await self.give_up(actor)


moves = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from(PRIORITIES)),
        st.tuples(st.just("end"), st.integers(0, 50)),
        st.tuples(st.just("give up"), st.integers(0, 50)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, STEP_SECONDS / 2, STEP_SECONDS, 3 * STEP_SECONDS])),
    ),
    max_size=60,
)


@given(places=st.integers(1, 3), moves=moves)
def test_places_are_never_exceeded_never_idle_and_given_in_order(places: int, moves: list[tuple[str, Any]]) -> None:
    asyncio.run(_play(places, moves))


async def _play(places: int, moves: list[tuple[str, Any]]) -> None:
    scene = Scene(places)
    for kind, value in moves:
        before = [actor for actor in scene.actors if actor.waits]
        served = len(scene.served)
        if kind == "come":
            await scene.come(value)
        elif kind == "wait":
            scene.now += value
        elif kind == "end" and (having := [actor for actor in scene.actors if actor.has]):
            await scene.end(having[value % len(having)])
        elif kind == "give up" and before:
            await scene.give_up(before[value % len(before)])
        for critical in (False, True):
            running = scene.running(critical=critical)
            assert running <= places
            assert running == places or not scene.waiting(critical=critical), "a place is idle while somebody waits"
        for chosen in scene.served[served:]:
            _check_fair(chosen, [actor for actor in before if actor.waits])
    await scene.close()


def _check_fair(chosen: Actor, passed_over: list[Actor]) -> None:
    for other in passed_over:
        if (other.priority == Priority.CRITICAL) is not (chosen.priority == Priority.CRITICAL):
            continue
        if other.priority == chosen.priority:
            assert chosen.number < other.number, "who came later went first"
        # Nobody is overtaken by one that came later than the difference of their priorities allows for.
        assert chosen.came <= other.came + (chosen.priority - other.priority) * STEP_SECONDS


async def test_a_critical_action_does_not_wait_for_long_low_ones() -> None:
    scene = Scene(2)
    for _ in range(5):
        await scene.come(Priority.LOW)

    critical = [await scene.come(Priority.CRITICAL) for _ in range(3)]

    assert [actor.has for actor in critical] == [True, True, False], "critical ones wait for critical ones only"
    assert sum(actor.has for actor in scene.actors) == 4
    await scene.close()


async def test_a_low_action_is_not_passed_over_for_ever() -> None:
    scene = Scene(1)
    current = await scene.come(Priority.HIGH)
    low = await scene.come(Priority.LOW)
    turns = 0
    while low.waits:
        following = await scene.come(Priority.HIGH)
        scene.now += 10.0
        await scene.end(current)
        current = following
        turns += 1

    assert scene.now == pytest.approx(2 * STEP_SECONDS, abs=20.0)
    assert turns < 20
    await scene.close()


async def test_with_one_lane_everything_goes_one_after_the_other() -> None:
    scene = Scene(1, one_lane=True)
    first = await scene.come(Priority.NORMAL)
    low = await scene.come(Priority.LOW)
    critical = await scene.come(Priority.CRITICAL)
    assert not critical.has

    await scene.end(first)

    assert critical.has
    assert low.waits
    await scene.close()


async def test_a_place_that_is_given_to_one_who_just_gave_up_is_passed_on() -> None:
    scene = Scene(1)
    first = await scene.come(Priority.NORMAL)
    second = await scene.come(Priority.NORMAL)
    third = await scene.come(Priority.NORMAL)

    # Both in the same turn of the event loop: the place is on its way when the second gives up.
    scene.slots.lane(first.priority).release()
    first.has, first.left = False, True
    await scene.give_up(second)

    assert third.has
    await scene.close()
