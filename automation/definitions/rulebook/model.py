"""A rulebook, as ansible-rulebook's schema has it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_LENGTH = re.compile(r"(\d+)\s(millisecond|second|minute|hour|day)s?")
_UNITS = {"millisecond": "ms", "second": "s", "minute": "m", "hour": "h", "day": "d"}


def _length(text: str) -> str:
    """A length of time as ours are written: `5 minutes` is `5m`."""
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a length of time such as '5 minutes'")
    return found[1] + _UNITS[found[2]]


Length = Annotated[str, AfterValidator(_length)]
Text = Annotated[str, Field(min_length=1, max_length=10_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Several(_Strict):
    """A condition about several events."""

    all: list[Text | bool] | None = None
    any: list[Text | bool] | None = None
    not_all: list[Text | bool] | None = None
    timeout: Length | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(kind is not None for kind in (self.all, self.any, self.not_all)) != 1:
            raise ValueError("has one of all, any, not_all")
        if self.not_all is not None and self.timeout is None:
            raise ValueError("not_all needs a timeout")
        if self.any is not None and self.timeout is not None:
            raise ValueError("any has no timeout: each event fulfils it by itself")
        return self

    @property
    def kind(self) -> str:
        """Which of the three."""
        return "all" if self.all is not None else "any" if self.any is not None else "not_all"

    @property
    def conditions(self) -> list[str | bool]:
        """The conditions."""
        return self.all or self.any or self.not_all or []


class Throttle(_Strict):
    """Fewer actions than events."""

    once_within: Length | None = None
    once_after: Length | None = None
    accumulate_within: Length | None = None
    threshold: Annotated[int, Field(ge=1)] | None = None
    group_by_attributes: list[Text]

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.once_within, self.once_after, self.accumulate_within)) != 1:
            raise ValueError("has one of once_within, once_after, accumulate_within")
        if self.accumulate_within is not None and self.threshold is None:
            raise ValueError("accumulate_within needs a threshold")
        return self


Step = dict[str, dict[str, Any] | None]
"""An action by its name, with its settings."""


class Rule(_Strict):
    """When to do what."""

    name: Text
    condition: Several | bool | Text
    action: Step | None = None
    actions: list[Step] | None = None
    throttle: Throttle | None = None
    enabled: bool = True

    @model_validator(mode="after")
    def _acts(self) -> Self:
        if (self.action is None) == (self.actions is None):
            raise ValueError("a rule has either 'action' or 'actions'")
        if any(len(step) != 1 for step in self.steps):
            raise ValueError("an action is one key with its settings")
        return self

    @property
    def steps(self) -> list[Step]:
        """Its actions."""
        return self.actions if self.actions is not None else [self.action or {}]


class Ruleset(_Strict):
    """Rules over the same sources."""

    name: Text
    hosts: str | list[str] = "all"
    sources: list[dict[str, Any]] = Field(default_factory=list)
    rules: list[Rule] = Field(default_factory=list)
    gather_facts: bool = False
    default_events_ttl: Length = "2h"
    execution_strategy: str = "sequential"
    match_multiple_rules: bool = False

    @model_validator(mode="after")
    def _names(self) -> Self:
        [(name, times)] = Counter(rule.name for rule in self.rules).most_common(1) or [("", 0)]
        if times > 1:
            raise ValueError(f"there are two rules {name!r}")
        return self


class Rulebook(BaseModel):
    """A file of rulesets."""

    rulesets: list[Ruleset]
