"""What is promised holds whatever people, events, limits, crashes and a failing database do to an execution."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.databases import Database
from tests.support.stories import Story

STORIES = 3 * int(os.environ.get("DURABILITY_LIVES", "12"))
SEEDS = {"sqlite": range(STORIES), "postgres": range(STORIES // 3)}
"""Fewer where each start takes longer."""


@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize(
    ("database", "seed"), [(kind, seed) for kind, seeds in SEEDS.items() for seed in seeds], indirect=["database"]
)
async def test_each_execution_comes_to_its_end_once(
    seed: int, engines: int, database: Database, tmp_path: Path
) -> None:
    story = Story(seed, engines, database.url, tmp_path)
    try:
        await story.tell()
    except (AssertionError, TimeoutError) as error:
        bodies = [definition.model_dump(exclude_defaults=True) for definition in story.definitions]
        raise AssertionError(f"{error}\n{story.level.value}: {', '.join(story.told)}\n{bodies}") from error
