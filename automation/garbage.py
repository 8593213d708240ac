"""How often the interpreter looks for cyclic garbage while an engine runs (docs/decisions/0017).

CPython looks each time that some hundreds of containers more were made than freed. Two hundred executions hold tens of
thousands that are all alive: with the interpreter's own setting, looking at them took almost half of the loop's time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_wanted: list[int] = []
"""By each engine that runs in this process."""
_own: tuple[int, int, int] | None = None
"""The process's setting, while ours holds."""
_ours: tuple[int, int, int] | None = None


@contextmanager
def looked_for_after(containers: int | None) -> Iterator[None]:
    """Have it look only after so many containers, for as long as this is entered; with the last exit it is as before.

    None changes nothing, nor does less than the process has. What the process has turned off stays off.
    """
    if containers is None:
        yield
        return
    _wanted.append(containers)
    _set()
    try:
        yield
    finally:
        _wanted.remove(containers)
        _set()


def _set() -> None:
    global _own, _ours
    found = gc.get_threshold()
    if found != _ours:
        # Nobody has set it yet, or the process has done so since: that is what counts, and what is left behind.
        _own = found
    assert _own is not None
    if _own[0] > 0:
        gc.set_threshold(max(_own[0], *_wanted, 0), *_own[1:])
    _ours = gc.get_threshold() if _wanted else None
