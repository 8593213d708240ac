"""Reads definition files: all problems of all files at once, each with its file and line."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from automation.config import AutomationConfig
from automation.definitions import tree
from automation.definitions.complaints import complaints, unknown_key
from automation.definitions.json_tree import read_json
from automation.definitions.remains import Remains, remains_of
from automation.definitions.tree import Entries, Finding, Items, Node, Scalar, Unreadable
from automation.definitions.yaml_tree import read_yaml
from automation.errors import ConfigurationError, DefinitionError, Problem
from automation.model.alert import AlertRule
from automation.model.base import Definition
from automation.model.schedule import MonitorDefinition, ScheduleDefinition, SourceDefinition
from automation.model.service import ServiceDefinition
from automation.model.workflow import WorkflowDefinition

MAX_BYTES = 5 * 1024 * 1024
SUFFIXES = frozenset({".yaml", ".yml", ".json"})

KINDS: Mapping[str, type[Definition]] = {
    "workflows": WorkflowDefinition,
    "alerts": AlertRule,
    "schedules": ScheduleDefinition,
    "services": ServiceDefinition,
    "sources": SourceDefinition,
    "monitors": MonitorDefinition,
}
"""The lists that a file may have, and what stands in each."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one definition was written."""

    file: str
    name: str
    node: Node
    path: str = ""
    """Its place in the file, such as `workflows[2]`."""


@dataclass(frozen=True)
class Definitions:
    """All that was defined, and where."""

    workflows: tuple[WorkflowDefinition, ...] = ()
    alerts: tuple[AlertRule, ...] = ()
    schedules: tuple[ScheduleDefinition, ...] = ()
    services: tuple[ServiceDefinition, ...] = ()
    sources: tuple[SourceDefinition, ...] = ()
    monitors: tuple[MonitorDefinition, ...] = ()
    content_hash: str = field(default="", compare=False)
    """Of the files that this was read from; see `content_hash`."""
    places: Mapping[str, tuple[Place, ...]] = field(default_factory=dict, compare=False, repr=False)
    """For each kind, where each definition was written, in the same order."""

    def locate(self, problem: Problem) -> Problem:
        """The problem with file and line, if its path begins with `workflows[0]`, `workflows.<name>` or the like.

        An index counts the definitions that were read; in what is returned, it counts those of the file.
        """
        if problem.file is not None:
            return problem
        kind = problem.path.partition(".")[0].partition("[")[0]
        path, rest = problem.path, problem.path[len(kind) :]
        place: Place | None = None
        if rest.startswith("["):
            index, _, rest = rest[1:].partition("]")
            if index.isdecimal() and int(index) < len(self.places.get(kind, ())):
                place = self.places[kind][int(index)]
                path = place.path + rest
        elif rest.startswith("."):
            rest = rest[1:]
            # A name may have dots in it, so the longest one that fits is meant.
            fitting = [place for place in self.places.get(kind, ()) if f"{rest}.".startswith(f"{place.name}.")]
            place = max(fitting, key=lambda place: len(place.name), default=None)
            rest = rest[len(place.name) :] if place else rest
        if place is None:
            return problem
        return replace(problem, path=path, file=place.file, line=tree.find(place.node, rest)[0])


Check = Callable[[Definitions], Iterable[Problem]]
"""Finds what is wrong across definitions; its problems are located here."""


def definition_files(folder: Path | None, main: Path | None = None) -> tuple[Path, ...]:
    """The main file, then the definition files of the folder by name. Hidden files and backups of editors are not
    among them; a folder that does not exist has none. Raises ConfigurationError for one that cannot be read."""
    found: list[Path] = [] if main is None else [main]
    try:
        if folder is not None and folder.is_dir():
            found += sorted(path for path in folder.iterdir() if _wanted(path) and path != main)
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be read: {error.strerror}") from None
    return tuple(found)


def _wanted(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.name[0] not in ".#~" and path.is_file()


def content_hash(paths: Iterable[Path]) -> str:
    """A hash over the names and the content of the files; it changes whenever reading them again may differ."""
    reading = _Reading(None)
    for path in paths:
        reading.load(path)
    return reading.digest.hexdigest()


def read_files(
    paths: Iterable[Path], *, main: Path | None = None, check: Check | None = None
) -> tuple[Definitions, list[Problem]]:
    """Read all files; return what is right, and all problems, by file and line.

    In `main`, the configuration file, the keys of settings may stand beside the lists. `check` is called with what
    was right; its problems are located and added.
    """
    reading = _Reading(main)
    for path in paths:
        reading.file(path)
    return reading.done(check)


def read_text(text: str, file: str = "input.yaml", *, check: Check | None = None) -> tuple[Definitions, list[Problem]]:
    """The same for one text that is not in a file, such as a request's body; `file` says what it is, by its ending."""
    reading = _Reading(None)
    reading.document(file, text.encode("utf-8", "surrogatepass"))
    return reading.done(check)


def read_or_raise(paths: Iterable[Path], *, main: Path | None = None, check: Check | None = None) -> Definitions:
    """Read all files; raises DefinitionError with all problems if any of them is an error."""
    definitions, problems = read_files(paths, main=main, check=check)
    if any(problem.severity == "error" for problem in problems):
        raise DefinitionError(problems, what="the set of definition files")
    return definitions


def _kind(node: Node) -> str:
    if isinstance(node, Scalar):
        return "empty" if node.value is None else "a text" if isinstance(node.value, str) else f"{node.text}"
    return "a list" if isinstance(node, Items) else "a mapping"


class _Reading:
    def __init__(self, main: Path | None) -> None:
        self._main = main
        self._files: list[str] = []
        self._found: dict[str, list[Definition]] = {kind: [] for kind in KINDS}
        self._places: dict[str, list[Place]] = {kind: [] for kind in KINDS}
        self._remains: dict[str, list[tuple[Remains, Place]]] = {kind: [] for kind in KINDS}
        self._names: dict[tuple[str, str], Place] = {}
        self._problems: list[Problem] = []
        self.digest = sha256()

    def load(self, path: Path) -> bytes | None:
        """The file's content, or None and a problem."""
        content: bytes | None = None
        try:
            # Before it is opened: opening a pipe would wait for a writer.
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                self._problem(str(path), None, "is not a regular file")
            elif status.st_size > MAX_BYTES:
                self._problem(str(path), None, f"is larger than {MAX_BYTES // 1024 // 1024} MiB")
            else:
                with path.open("rb") as stream:
                    content = stream.read(MAX_BYTES)
        except OSError as error:
            self._problem(str(path), None, f"cannot be read: {error.strerror}")
        size = -1 if content is None else len(content)
        self.digest.update(f"{path}\0{size}\0".encode("utf-8", "surrogateescape"))
        self.digest.update(content or b"")
        return content

    def file(self, path: Path) -> None:
        """Read one file."""
        content = self.load(path)
        if content is not None:
            self.document(str(path), content, settings=self._main is not None and path == self._main)

    def document(self, file: str, content: bytes, settings: bool = False) -> None:
        """Read what a file holds."""
        self._files.append(file)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self._problem(file, line, f"is not UTF-8 text: byte {content[error.start]:#04x} in this line")
            return
        try:
            roots = read_json(text) if file.lower().endswith(".json") else read_yaml(text)
        except Unreadable as error:
            self._problem(file, error.line, error.message)
            return
        counts = dict.fromkeys(KINDS, 0)
        for root in roots:
            self._root(file, root, counts, settings)

    def _root(self, file: str, root: Node, counts: dict[str, int], settings: bool) -> None:
        if isinstance(root, Scalar) and root.value is None and root.problem is None:
            return
        if not isinstance(root, Entries) or root.problem is not None:
            message = f"must be a mapping with lists such as 'workflows:', not {_kind(root)}"
            self._problem(file, root.line, root.problem or message)
            return
        findings: list[Finding] = []
        tree.check_keys(root, "", findings)
        self._add(file, findings)
        known = [*KINDS, *(AutomationConfig.model_fields if settings else ())]
        for key, node in root.pairs():
            if key.text in KINDS:
                counts[key.text] += self._list(file, key.text, node, counts[key.text])
            elif key.text in known:
                # Another reader's values; here only that no key is there twice.
                findings = []
                tree.plain(node, key.text, findings)
                self._add(file, findings)
            elif key.problem is None:
                self._problem(file, key.line, unknown_key(key.text, known), key.text)

    def _list(self, file: str, kind: str, node: Node, start: int) -> int:
        """Read one list of definitions; how many there are."""
        if isinstance(node, Scalar) and node.value is None and node.problem is None:
            return 0
        if not isinstance(node, Items) or node.problem is not None:
            message = f"must be a list, not {_kind(node)}; begin each definition with '- '"
            self._problem(file, node.line, node.problem or message, kind)
            return 0
        for index, child in enumerate(node.children, start):
            self._definition(file, kind, child, f"{kind}[{index}]")
        return len(node.children)

    def _definition(self, file: str, kind: str, node: Node, path: str) -> None:
        findings: list[Finding] = []
        value = tree.plain(node, "", findings)
        self._add(file, findings, path)
        if not isinstance(value, dict):
            if node.problem is None:
                self._problem(file, node.line, f"must be a mapping, not {_kind(node)}", path)
            return
        # What could not be read is null here; that null does not fit either would be said twice.
        said = {finding.path for finding in findings}
        try:
            left: Remains | None = Remains(KINDS[kind].model_validate(value), tuple(said))
        except ValidationError as error:
            found = complaints(error, KINDS[kind], value, node)
            self._add(file, [finding for finding in found if finding.path not in said], path)
            left = remains_of(KINDS[kind], value, error)
        if left is not None:
            self._keep(kind, left, Place(file, cast(Any, left.definition).name, node, path))

    def _keep(self, kind: str, left: Remains, place: Place) -> None:
        other = self._names.setdefault((kind, place.name), place)
        if other is place:
            if left.without:
                self._remains[kind].append((left, place))
            else:
                self._found[kind].append(left.definition)
                self._places[kind].append(place)
        else:
            there = f"{other.file}:{tree.find(other.node, 'name')[0]}"
            message = f"there is already a {kind.removesuffix('s')} {place.name!r}: {there}"
            self._problem(place.file, tree.find(place.node, "name")[0], message, f"{place.path}.name")

    def _add(self, file: str, findings: Iterable[Finding], path: str = "") -> None:
        for finding in findings:
            self._problem(file, finding.line, finding.message, tree.join(path, finding.path))

    def _problem(self, file: str, line: int | None, message: str, path: str = "") -> None:
        if file not in self._files:
            self._files.append(file)
        self._problems.append(Problem(path, message, file=file, line=line))

    def done(self, check: Check | None) -> tuple[Definitions, list[Problem]]:
        """What was read, and all problems in the order of the files and lines."""
        definitions = self._definitions()
        problems = self._problems + ([] if check is None else self._checked(check))
        order = {file: index for index, file in enumerate(self._files)}
        last = len(order)
        problems.sort(key=lambda problem: (order.get(problem.file or "", last), problem.line or 0))
        return definitions, problems

    def _definitions(self, further: bool = False) -> Definitions:
        found: dict[str, Any] = {}
        places: dict[str, tuple[Place, ...]] = {}
        for kind in KINDS:
            left = self._remains[kind] if further else []
            found[kind] = (*self._found[kind], *(each.definition for each, _ in left))
            places[kind] = (*self._places[kind], *(place for _, place in left))
        return Definitions(**found, content_hash=self.digest.hexdigest(), places=places)

    def _checked(self, check: Check) -> list[Problem]:
        """What is wrong across definitions, those among them of which a part could not be read."""
        definitions = self._definitions(further=True)
        remains = {(place.file, place.path): left for pairs in self._remains.values() for left, place in pairs}
        problems: list[Problem] = []
        for problem in map(definitions.locate, check(definitions)):
            head, bracket, _ = problem.path.partition("]")
            left = remains.get((problem.file or "", head + bracket))
            if left is None or left.owns(problem, head + bracket):
                problems.append(problem)
        return problems
