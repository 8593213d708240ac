"""The services that are known, and the platform that runs each."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from automation.clock import Clock
from automation.errors import NotFound
from automation.infrastructure.files import write_json
from automation.infrastructure.platform import Platform
from automation.model.service import ServiceDefinition
from automation.plugins import read_settings, registry

KEPT_DECISIONS = 100
"""How many decisions are remembered for each service."""


class Services:
    """Looks services up by name and keeps one platform of each kind."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self._services: dict[str, ServiceDefinition] = {}
        self._platforms: dict[str, Platform] = {}

    def define(self, service: ServiceDefinition) -> None:
        """Add or replace a service; raises NotFound for an unknown platform, DefinitionError for wrong settings."""
        plugin = registry.get("platform", service.platform)
        read_settings(plugin.settings, service.settings, f"services.{service.name}.settings")
        self._services[service.name] = service

    def forget(self, name: str) -> None:
        """Remove a definition; what runs goes on running."""
        self._services.pop(name, None)

    def get(self, name: str) -> ServiceDefinition:
        """The service of that name; raises NotFound."""
        try:
            return self._services[name]
        except KeyError:
            known = ", ".join(sorted(self._services)) or "none"
            raise NotFound(
                f"there is no service {name!r}; defined services: {known}", kind="service", name=name
            ) from None

    def names(self) -> list[str]:
        """The names of all services, sorted."""
        return sorted(self._services)

    def all(self) -> list[ServiceDefinition]:
        """All services, by name."""
        return [self._services[name] for name in self.names()]

    def platform(self, service: ServiceDefinition) -> Platform:
        """The platform that runs it."""
        kind = service.platform
        if kind not in self._platforms:
            plugin = registry.get("platform", kind)
            self._platforms[kind] = plugin.function(home=self._home / kind, clock=self._clock)
        return self._platforms[kind]

    async def decided(
        self, service: ServiceDefinition, key: str, decide: Callable[[], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """What was decided for `key`, or what `decide()` says now, durably recorded before it is returned.

        For changes that depend on the present state ("one and a half times as many"): acted upon twice with the same
        idempotency key, they must aim at the same end.
        """
        folder = self._home / service.platform / service.name
        path = folder / f"scale-{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
        known = await asyncio.to_thread(_read, path)
        if known is not None:
            return known
        decision = await decide()
        await asyncio.to_thread(_remember, path, {"key": key, "at": self._clock.now(), "decision": decision})
        return decision


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = msgspec.json.decode(path.read_bytes())["decision"]
    except FileNotFoundError:
        return None
    return found


def _remember(path: Path, content: dict[str, Any]) -> None:
    write_json(path, content)
    old = sorted(path.parent.glob("scale-*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in [file for file in old if len(file.stem) == len(path.stem)][KEPT_DECISIONS:]:
        file.unlink(missing_ok=True)
