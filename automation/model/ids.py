"""Identifiers that sort by the time they were made: UUID version 7 (RFC 9562)."""

from __future__ import annotations

import random
import time

_last = 0
_of_millisecond = (-1, "", "")
"""A millisecond, and how all identifiers of it begin and end: hundreds are made in the same."""
_FRACTIONS = tuple(f"{fraction:03x}" for fraction in range(4096))


def new_id() -> str:
    """A UUIDv7 as text. Strictly increasing within a process, so that paging by id is paging by age.

    A name and no secret: those of the same millisecond end alike. Between processes 62 random bits tell them apart.
    """
    global _last, _of_millisecond
    # 48 bits of milliseconds and 12 bits of their fraction, kept increasing as RFC 9562 §6.2 method 3 allows. Nothing
    # is called between the look at the last one and its change, so that no other thread comes in between.
    stamp = (time.time_ns() << 12) // 1_000_000
    if stamp <= _last:
        stamp = _last + 1
    _last = stamp
    millisecond, begin, end = _of_millisecond
    if stamp >> 12 != millisecond:
        millisecond, bits = stamp >> 12, random.getrandbits(62)
        begin = f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7"
        end = f"-{bits >> 48 | 0x8000:04x}-{bits & 0xFFFF_FFFF_FFFF:012x}"
        _of_millisecond = (millisecond, begin, end)
    # A third of the time that it takes to draw and to write the bits for each: there is one for every event.
    return begin + _FRACTIONS[stamp & 0xFFF] + end
