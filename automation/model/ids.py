"""Identifiers that sort by the time they were made: UUID version 7 (RFC 9562)."""

from __future__ import annotations

import random
import time

_last = 0


def new_id() -> str:
    """A UUIDv7 as text. Strictly increasing within a process, so that paging by id is paging by age."""
    global _last
    # 48 bits of milliseconds and 12 bits of their fraction, kept increasing as RFC 9562 §6.2 method 3 allows.
    stamp = (time.time_ns() << 12) // 1_000_000
    if stamp <= _last:
        stamp = _last + 1
    _last = stamp
    tail = random.getrandbits(62) | 0x8000000000000000
    text = f"{stamp >> 12:012x}7{stamp & 0xFFF:03x}{tail:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
