"""What a benchmark returns, and how it is shown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number."""

    name: str
    value: float
    unit: str
    note: str = ""

    @property
    def text(self) -> str:
        """Three significant digits, with its unit."""
        if self.value >= 1000:
            number = f"{self.value:,.0f}"
        elif self.value == 0:
            number = "0"
        else:
            number = f"{self.value:.{max(0, 2 - math.floor(math.log10(abs(self.value))))}f}"
        return f"{number} {self.unit}".rstrip()


@dataclass(slots=True)
class Outcome:
    """What one benchmark found."""

    name: str
    title: str
    figures: list[Figure]
    facts: dict[str, Any] = field(default_factory=dict)
    """What helps to read the figures."""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def table(self) -> str:
        """For people."""
        width = max((len(figure.name) for figure in self.figures), default=0)
        numbers = max((len(figure.text) for figure in self.figures), default=0)
        lines = [f"{self.name}: {self.title}"]
        lines += [
            f"  {figure.name:<{width}}  {figure.text:>{numbers}}  {figure.note}".rstrip() for figure in self.figures
        ]
        lines += [f"  {key}: {value}" for key, value in self.facts.items()]
        return "\n".join(lines)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)
