"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller and what it may do."""

    name: str
    roles: tuple[str, ...] = ()
    permissions: frozenset[str] = field(default_factory=frozenset)

    def may(self, permission: str) -> bool:
        """Whether this caller has the permission; `system:admin` has all."""
        return permission in self.permissions or "system:admin" in self.permissions


LOCAL = Identity(name="local", roles=("automation_admin",), permissions=frozenset({"system:admin"}))
"""Whoever runs the engine in their own process."""
