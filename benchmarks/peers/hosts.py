"""The rules and the events that engines of rules are compared with: a rule a host, one event in a hundred fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

KIND = "hosts"
"""The name of the ruleset."""
IN_A_HUNDRED = 1


def rulebook(rules: int, source: str) -> str:
    """A rulebook of ansible-rulebook with so many rules, whose events come from `source`, a mapping in YAML."""
    each = (
        f'    - {{name: r{number}, condition: event.host == "host-{number}" and event.load > 90, action: {{none: }}}}'
        for number in range(rules)
    )
    return f"- name: {KIND}\n  hosts: all\n  sources:\n    - {source}\n  rules:\n" + "\n".join(each) + "\n"


def events(rules: int, number: int, begin: int = 0) -> Iterator[dict[str, Any]]:
    """So many events: the hosts in turn, in a scattered order; one in a hundred, of any host, has a load that fits."""
    for index in range(begin, begin + number):
        # By a multiplicative hash: every hundredth would be of the same few hosts.
        load = 95 if index * 2654435761 % 2**32 // 7 % 100 < IN_A_HUNDRED else index % 90
        yield {"host": f"host-{index * 7919 % rules}", "load": load, "zone": f"z-{index % 3}", "index": index}
