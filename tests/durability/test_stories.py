"""What is promised holds whatever people, events, limits and crashes do to an execution, at whichever moment."""

from __future__ import annotations

import os

import pytest

from tests.support.stories import Story

STORIES = 3 * int(os.environ.get("DURABILITY_LIVES", "12"))


@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize("seed", range(STORIES))
async def test_each_execution_comes_to_its_end_once(seed: int, engines: int) -> None:
    story = Story(seed, engines)
    try:
        await story.tell()
    except (AssertionError, TimeoutError) as error:
        bodies = [definition.model_dump(exclude_defaults=True) for definition in story.definitions]
        raise AssertionError(f"{error}\n{story.level.value}: {', '.join(story.told)}\n{bodies}") from error
