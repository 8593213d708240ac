"""Identifiers that sort by the time they were made: UUID version 7 (RFC 9562)."""

from __future__ import annotations

import random
import time

_last = 0
_begin = (-1, "")
"""A millisecond and the text with which all identifiers of it begin: many are made in the same."""


def new_id() -> str:
    """A UUIDv7 as text. Strictly increasing within a process, so that paging by id is paging by age."""
    global _last, _begin
    # 48 bits of milliseconds and 12 bits of their fraction, kept increasing as RFC 9562 §6.2 method 3 allows.
    stamp = (time.time_ns() << 12) // 1_000_000
    if stamp <= _last:
        stamp = _last + 1
    _last = stamp
    millisecond, begin = _begin
    if stamp >> 12 != millisecond:
        millisecond = stamp >> 12
        begin = f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7"
        _begin = (millisecond, begin)
    tail = random.getrandbits(62)
    # A third quicker than an f-string, and there is one for every event.
    return "%s%03x-%04x-%012x" % (begin, stamp & 0xFFF, tail >> 48 | 0x8000, tail & 0xFFFF_FFFF_FFFF)  # noqa: UP031
