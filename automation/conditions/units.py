"""Numbers with units: durations are seconds, sizes are bytes, percents are fractions."""

from __future__ import annotations

import difflib
import re
import sys
from fractions import Fraction

from automation.conditions.syntax import Mistake

DURATIONS: dict[str, Fraction] = {
    "us": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1_000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3_600),
    "d": Fraction(86_400),
    "w": Fraction(604_800),
}
SIZES: dict[str, Fraction] = {
    "B": Fraction(1),
    **{f"{prefix}B": Fraction(1000**power) for power, prefix in enumerate("KMGTP", start=1)},
    **{f"{prefix}iB": Fraction(1024**power) for power, prefix in enumerate("KMGTP", start=1)},
}
LONGEST = 10 * 366 * 86_400
"""Seconds that `seconds_of` takes at most: ten years."""
PERCENT_UNITS = frozenset({"percent", "%"})

_WORDS = {
    "m": ("min", "mins", "minute", "minutes"),
    "s": ("sec", "secs", "second", "seconds"),
    "ms": ("msec", "msecs", "milli", "millis", "millisecond", "milliseconds"),
    "us": ("µs", "usec", "micros", "microseconds"),
    "h": ("hr", "hrs", "hour", "hours"),
    "d": ("day", "days"),
    "w": ("wk", "week", "weeks"),
    "GB": ("G", "gig"),
    "KB": ("K", "k"),
    "TB": ("T",),
    "GiB": ("Gi",),
    "MiB": ("Mi",),
    "KiB": ("Ki",),
}
_MEANT = {word: unit for unit, words in _WORDS.items() for word in words}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?([0-9]+))?")
_STEP = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z_]+)")
# Enough for any float; what is longer would only cost time.
_DIGITS = 400


def seconds_of(value: object) -> float:
    """The seconds of a number, or of a text such as `90`, `30s`, `5m` or `1h30m`. Raises ValueError."""
    if isinstance(value, str):
        text = value.replace(" ", "")
        unit = re.search(r"[A-Za-z%_]", text)
        try:
            seconds = float(text) if unit is None else parse_number(text, 1)
        except (ValueError, AssertionError):
            raise ValueError(f"{value!r} is neither seconds nor a duration such as '90s', '5m' or '1h30m'") from None
        except Mistake as mistake:
            raise ValueError(f"{value!r} is not a duration: {mistake}") from None
        if unit is not None and text[unit.start() :] in {*SIZES, "%"}:
            raise ValueError(f"{value!r} is not a duration such as '90s', '5m' or '1h30m'")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    else:
        raise ValueError(f"must be seconds or a duration such as '5m', not {type(value).__name__}")
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"{value!r} is not between 0 and {LONGEST:,} seconds")
    return float(seconds)


def is_duration(text: str) -> bool:
    """Whether a number, as it is written in a condition, has the unit of a duration."""
    found = _NUMBER.match(text)
    unit = re.match(r"[A-Za-z]+", text[found.end() :]) if found else None
    return unit is not None and unit[0] in DURATIONS


def parse_number(text: str, column: int) -> int | float:
    """What a number with its unit is worth. Raises `Mistake` for a unit that does not exist."""
    found = _NUMBER.match(text)
    assert found is not None, "the grammar lets only numbers through"
    if len(found[0]) > _DIGITS or int(found[1] or 0) > _DIGITS:
        raise Mistake(column, "the number is too large or too long")
    number, unit = found[0], text[found.end() :]
    value = _exact(number, unit, column)
    if value > sys.float_info.max:
        raise Mistake(column, "the number is too large or too long")
    return int(value) if value.denominator == 1 and (unit or number.isdigit()) else float(value)


def _exact(number: str, unit: str, column: int) -> Fraction:
    if unit == "%":
        return Fraction(number) / 100
    if unit in SIZES:
        return Fraction(number) * SIZES[unit]
    return _duration(number, unit, column) if unit else Fraction(number)


def _duration(number: str, rest: str, column: int) -> Fraction:
    """`1h30m`: from the largest unit to the smallest, each at most once."""
    first = re.match(r"[A-Za-z_]+", rest)
    assert first is not None, "the grammar lets only letters follow a number"
    steps = [(number, first[0], len(number))]
    end = first.end()
    while end < len(rest):
        step = _STEP.match(rest, end)
        if step is None:
            raise Mistake(column + len(number) + end, f"{rest[end:]!r} needs a unit, as in 1h30m")
        steps.append((step[1], step[2], len(number) + step.start(2)))
        end = step.end()
    total, last = Fraction(0), None
    for amount, unit, offset in steps:
        if unit not in DURATIONS:
            raise _unknown(amount, unit, column + offset, compound=len(steps) > 1)
        size = DURATIONS[unit]
        if last is not None and size >= last:
            raise Mistake(
                column + offset, f"the unit {unit!r} is out of order: write the larger unit first, as in 1h30m"
            )
        total, last = total + Fraction(amount) * size, size
    return total


def _unknown(amount: str, unit: str, column: int, *, compound: bool) -> Mistake:
    if unit == "M":
        return Mistake(column, f"there is no unit 'M': write {amount}m for minutes, {amount}MB for megabytes")
    if unit in SIZES and compound:
        return Mistake(column, "sizes have one unit, as in 10GB")
    meant = suggested_unit(unit)
    if meant is None:
        known = ", ".join([*DURATIONS, "B", "KB to PB", "KiB to PiB"])
        return Mistake(column, f"there is no unit {unit!r}; units are {known}, and %")
    return Mistake(column, f"there is no unit {unit!r}: write {amount}{meant}")


def suggested_unit(word: str) -> str | None:
    """The unit that a word which is none stands for, if that is clear."""
    known = [*DURATIONS, *SIZES]
    if word in known:
        return word
    if word in _MEANT or word.lower() in _MEANT:
        return _MEANT.get(word) or _MEANT[word.lower()]
    if len(word) == 1:
        return None
    same = [unit for unit in known if unit.lower() == word.lower()]
    if same:
        return same[0]
    close = difflib.get_close_matches(word, [*known, *_MEANT], n=1, cutoff=0.75)
    return _MEANT.get(close[0], close[0]) if close else None
