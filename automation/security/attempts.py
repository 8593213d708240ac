"""Wrong tokens, counted by the address that they came from."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

from automation.clock import Clock

WINDOW = 60.0
_ADDRESSES = 10_000


@dataclass(slots=True)
class _Failures:
    times: deque[float] = field(default_factory=deque)
    told: bool = False


class FailedAttempts:
    """A sliding minute for each address. The addresses that failed last are remembered, a bounded number of them:
    whoever has more than that many could try more often, which does not help against 256 bits."""

    def __init__(self, limit: int, clock: Clock, *, addresses: int = _ADDRESSES) -> None:
        self._limit = limit
        self._clock = clock
        self._most = addresses
        self._known: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, address: str) -> float:
        """In how many seconds this address may try again; 0 if it may now."""
        failures = self._known.get(network(address))
        if failures is None:
            return 0.0
        now = self._clock.monotonic()
        while failures.times and failures.times[0] <= now - WINDOW:
            failures.times.popleft()
        if len(failures.times) < self._limit:
            return 0.0
        return failures.times[0] + WINDOW - now

    def add(self, address: str) -> None:
        """Count a wrong token."""
        key = network(address)
        failures = self._known.setdefault(key, _Failures())
        self._known.move_to_end(key)
        failures.times.append(self._clock.monotonic())
        failures.told = False
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def first(self, address: str) -> bool:
        """Whether this is the first time since its last wrong token that this address is held back."""
        failures = self._known.get(network(address))
        if failures is None or failures.told:
            return False
        failures.told = True
        return True


@lru_cache(1_000)
def network(address: str) -> str:
    """What counts as one address: an IPv6 network of 64 bits, since one machine has as many addresses as it wants."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), 64), strict=False))
