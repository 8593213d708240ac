"""The one registry: a plug-in is one typed function (or, for a platform, one class) in one file.

Built-ins are the modules of a few packages, imported when their kind is first looked up; third parties add theirs
by entry points of the group `automation.<kind>s`. The first parameter of a plug-in is its settings: a pydantic model,
read with unknown keys refused, so that a typo fails when a definition is registered and not when it runs.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
import re
import sys
import threading
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from automation.errors import DefinitionError, NotFound, Problem

Effect = Literal["read", "standard", "critical"]
Runs = Literal["loop", "thread", "process"]
Kind = Literal["action", "undo", "source", "channel", "platform", "collector"]
F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger(__name__)

_HOMES: Mapping[Kind, str] = {
    "action": "automation.actions.builtin",
    "undo": "automation.actions.builtin",
    "source": "automation.sources",
    "channel": "automation.notifications.channels",
    "platform": "automation.infrastructure.platforms",
    "collector": "automation.monitoring.collectors",
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """One registered plug-in."""

    kind: Kind
    name: str
    function: Callable[..., Any]
    settings: type[BaseModel]
    options: Mapping[str, Any] = field(default_factory=dict)
    runs: Runs = field(init=False, compare=False)
    """Where it is called: on the event loop, in a thread, in another process."""
    takes: int = field(init=False, compare=False)
    """How many arguments by position its function takes at most."""

    def __post_init__(self) -> None:
        if inspect.iscoroutinefunction(self.function):
            runs: Runs = "loop"
        else:
            runs = "process" if self.options.get("cpu_bound") else "thread"
        object.__setattr__(self, "runs", runs)
        object.__setattr__(self, "takes", taken(self.function))

    def call(self, *arguments: Any) -> Any:
        """Call it with as many of the arguments as it takes: what says less need not name what it does not use."""
        return self.function(*arguments[: self.takes])

    @property
    def home(self) -> tuple[str, str]:
        """Where it was written: module and qualified name."""
        return self.function.__module__, self.function.__qualname__

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


class Registry:
    """All plug-ins of one process, by kind and name."""

    def __init__(self) -> None:
        self._plugins: dict[Kind, dict[str, Plugin]] = {kind: {} for kind in _HOMES}
        self._last_parts: dict[str, set[str]] = {}
        self._loaded: set[str] = set()
        self._broken: dict[str, list[str]] = {}
        self.version = 0
        """Grows with each registration: what was made from plug-ins before may be out of date."""
        # Re-entrant: importing a home package registers plug-ins while it is being loaded.
        self._lock = threading.RLock()

    def add(self, plugin: Plugin) -> None:
        """Register; a name that something else already has is refused with a DefinitionError.

        The same function of the same module replaces itself, so that reloading a module works.
        """
        with self._lock:
            known = self._plugins[plugin.kind].get(plugin.name)
            if known is not None and known.home != plugin.home:
                place = ".".join(known.home)
                problem = Problem(plugin.name, f"there is already a {plugin.kind} of this name: {place}")
                raise DefinitionError([problem], what=plugin.kind)
            self._plugins[plugin.kind][plugin.name] = plugin
            self.version += 1
            if plugin.kind == "action":
                self._last_parts.setdefault(plugin.name.rpartition(".")[2], set()).add(plugin.name)

    def find(self, kind: Kind, name: str) -> Plugin | None:
        """The plug-in, or None. An action is also known by the last part of its name where that is unique."""
        self._load(kind)
        found = self._plugins[kind].get(name)
        if found is None and kind == "action":
            full = self._last_parts.get(name, set())
            if len(full) == 1:
                return self._plugins["action"][next(iter(full))]
        return found

    def get(self, kind: Kind, name: str) -> Plugin:
        """The plug-in; raises NotFound with the names that come near."""
        found = self.find(kind, name)
        if found is None:
            raise NotFound(self.unknown(kind, name), kind=kind, name=name)
        return found

    def unknown(self, kind: Kind, name: str) -> str:
        """A sentence that says the name is unknown and what was perhaps meant."""
        import difflib

        names = self.names(kind)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        near = near or [known for known in names if known.rpartition(".")[2] == name.rpartition(".")[2]]
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(names)}"
        broken = "".join(f"; not loaded: {reason}" for reason in self._broken.get(_HOMES[kind], ()))
        return f"there is no {kind} {name!r}{hint}{broken}"

    def names(self, kind: Kind) -> list[str]:
        """The names of all plug-ins of a kind, sorted."""
        self._load(kind)
        return sorted(self._plugins[kind])

    def all(self, kind: Kind) -> list[Plugin]:
        """All plug-ins of a kind, by name."""
        return [self._plugins[kind][name] for name in self.names(kind)]

    def _load(self, kind: Kind) -> None:
        home = _HOMES[kind]
        if home in self._loaded:
            return
        with self._lock:
            if home in self._loaded:
                return
            self._loaded.add(home)
            package = importlib.import_module(home)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{home}.{module.name}")
            for other in [other for other, place in _HOMES.items() if place == home]:
                for entry in entry_points(group=f"automation.{other}s"):
                    try:
                        entry.load()
                    except Exception as error:  # noqa: BLE001 - of somebody else; all others work without it
                        reason = f"{entry.value}: {type(error).__name__}: {' '.join(str(error).split())}"
                        self._broken.setdefault(home, []).append(reason)
                        log.error("plug-ins of the group %s could not be loaded: %s", entry.group, reason)


registry = Registry()


def taken(function: Callable[..., Any]) -> int:
    """How many arguments by position a function takes at most."""
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return sys.maxsize
    return sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)


class NoSettings(BaseModel):
    """For plug-ins that take no settings."""


def settings_model(function: Callable[..., Any]) -> type[BaseModel]:
    """The pydantic model that a plug-in's first parameter is annotated with."""
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        return NoSettings
    hints = typing.get_type_hints(function) if "<locals>" not in function.__qualname__ else _local_hints(function)
    model = hints.get(parameters[0].name)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(
            f"{function.__module__}.{function.__qualname__}: its first parameter {parameters[0].name!r} "
            f"must be annotated with a pydantic model (its settings), not {model!r}"
        )
    return model


def _local_hints(function: Callable[..., Any]) -> dict[str, Any]:
    # A function defined inside another one names types that only its closure or the caller's frame knows.
    frame = inspect.currentframe()
    names: dict[str, Any] = {}
    while frame is not None:
        names = {**frame.f_locals, **names}
        frame = frame.f_back
    hints: dict[str, Any] = {}
    for name, annotation in function.__annotations__.items():
        if isinstance(annotation, str):
            try:
                annotation = eval(annotation, function.__globals__, names)  # noqa: S307 - the plug-in's own source text
            except NameError:
                continue
        hints[name] = annotation
    return hints


def read_settings(model: type[BaseModel], values: Mapping[str, Any], path: str = "") -> BaseModel:
    """Validate settings with unknown keys refused whatever the model says; raises DefinitionError with all problems."""
    try:
        return model.model_validate(dict(values), extra="forbid")
    except ValidationError as error:
        found = [
            Problem(".".join(filter(None, (path, problem.path))), problem.message)
            for problem in setting_problems(error, model)
        ]
        raise DefinitionError(found, what=path or model.__name__) from None


SECRET = re.compile(r"\$\{secret:\s*([^}\s]+)\s*\}")
"""How a text of settings names a secret."""


def revealed(value: Any, secret: Callable[[str], str]) -> Any:
    """A copy of settings with each `${secret:NAME}` in their texts replaced; raises what `secret` raises."""
    if isinstance(value, str):
        return SECRET.sub(lambda found: secret(found[1]), value)
    if isinstance(value, Mapping):
        return {key: revealed(item, secret) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [revealed(item, secret) for item in value]
    return value


def no_secret(name: str) -> str:
    """Where there are no secrets: raises NotFound."""
    raise NotFound(kind="secret", name=name)


def validation_problems(error: ValidationError, path: str = "") -> list[Problem]:
    """Each error of pydantic as a Problem with its path: `actions[0].timeout_seconds`."""
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        place = path
        for part in item["loc"]:
            if isinstance(part, int):
                place += f"[{part}]"
            else:
                place += f".{part}" if place else str(part)
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key"
        elif item["type"] == "missing":
            message = "is required"
        problems.append(Problem(place, message))
    return problems


def setting_problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """The problems of a configuration or of settings: of a misspelt key what was perhaps meant, one for each value.

    Where a value may be of several kinds, pydantic complains of each, and adds the kind to the place.
    """
    import difflib

    found: dict[str, str] = {}
    items = error.errors(include_url=False, include_context=False)
    for item, problem in zip(items, validation_problems(error), strict=True):
        message = re.sub("^Input should be ", "must be ", problem.message).replace("a valid tuple", "a list")
        if item["type"] == "string_type":
            message = "must be a text" + ("; write it in quotes" if isinstance(item["input"], int | float) else "")
        path = problem.path
        known, plain = _known_at(model, item["loc"])
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.6)
            message += f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(sorted(known))}"
        elif plain is not None:
            path = plain
        found[path] = f"{found[path]}, or {message}" if path in found else message
    return [Problem(path, message) for path, message in found.items()]


def _known_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], str | None]:
    """The keys of the mapping that has the last part of a place, and the path of the plain value that the place is
    part of, if it is part of one."""
    models = [model]
    for index, part in enumerate(loc):
        kinds = {kind for each in models if part in each.model_fields for kind in _kinds(each.model_fields[part])}
        if not kinds:
            continue  # an item of a list or a mapping, or what pydantic adds
        models = [kind for kind in kinds if issubclass(kind, BaseModel)] if index < len(loc) - 1 else models
        if index < len(loc) - 1 and not models and not any(issubclass(kind, Collection) for kind in kinds - {str}):
            return [], ".".join(str(each) for each in loc[: index + 1])
    return [key for each in models for key in each.model_fields], None


def _kinds(field: FieldInfo) -> set[type]:
    def of(annotation: Any) -> Iterator[type]:
        for each in (annotation, typing.get_origin(annotation)):
            if isinstance(each, type):
                yield each
        for each in typing.get_args(annotation):
            yield from of(each)

    return set(of(field.annotation))


def plugin(kind: Kind, name: str, **options: Any) -> Callable[[F], F]:
    """Register the decorated function as a plug-in of this kind."""

    def register(function: F) -> F:
        model = settings_model(function)
        target = options.get("target")
        if isinstance(target, str) and target not in model.model_fields:
            raise TypeError(f"{kind} {name}: its target {target!r} is not a parameter of {model.__name__}")
        registry.add(Plugin(kind, name, function, model, options))
        return function

    return register


Target = str | Callable[[Mapping[str, Any]], str]
"""What says what an action acts on: the name of a parameter, or a function of the parameters."""


def action(
    name: str,
    *,
    idempotent: bool = False,
    effect: Effect = "standard",
    cpu_bound: bool = False,
    target: Target | None = None,
    touches: Callable[..., int] | None = None,
    guarded: bool = True,
) -> Callable[[F], F]:
    """Register a handler for an operation: `async def f(params: Model, context: ActionContext) -> result`.

    A plain function runs in a thread; with `cpu_bound=True`, in a process. `effect` says what it does to the world
    (`read`, `standard`, `critical`); `idempotent` that running it twice with one idempotency key is as running it once.
    `target` says what it acts on, for guardrails and circuit breakers: by default the first of the parameters
    `service_name`, `target` and `subject` that is given. `touches(parameters, service, replicas)` says how many of a
    service's replicas it acts on; by default all. With `guarded=False` no guardrail ever holds it back: for telling
    people.
    """
    further: dict[str, Any] = {} if guarded else {"guarded": False}
    further |= {key: value for key, value in (("target", target), ("touches", touches)) if value is not None}
    return plugin("action", name, idempotent=idempotent, effect=effect, cpu_bound=cpu_bound, **further)


def undo(name: str) -> Callable[[F], F]:
    """Register what takes an operation back: called with its parameters, its recorded result and a context."""
    return plugin("undo", name)


def source(name: str, *, library: str | None = None, extra: str | None = None) -> Callable[[F], F]:
    """Register a source: `async def f(settings: Model, ...) -> AsyncIterator[Event]`.

    `library` is the optional module that it imports when it runs, and `extra` what installs that: a definition is
    refused where it is missing.
    """
    return plugin("source", name, library=library, extra=extra or name)


def channel(name: str) -> Callable[[F], F]:
    """Register a channel: `async def f(settings: Model, message: Message) -> None`, raising TryLater or Refused."""
    return plugin("channel", name)


def collector(name: str) -> Callable[[F], F]:
    """Register a collector: `async def f(settings: Model, probe: Probe) -> Observations`, called every interval."""
    return plugin("collector", name)


C = TypeVar("C", bound=type[Any])


def platform(name: str, settings: type[BaseModel]) -> Callable[[C], C]:
    """Register a class of the `Platform` protocol; `settings` is the model of a service's `settings` on it."""

    def register(cls: C) -> C:
        registry.add(Plugin("platform", name, cls, settings))
        return cls

    return register
