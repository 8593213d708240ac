"""Files as trees of nodes that know their lines: what YAML and JSON have in common.

A node's weight is what it is once every alias is written out, so that a few lines of aliases of aliases ("billion
laughs") are refused before anything is copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

MAX_NODES = 100_000
MAX_DEPTH = 100
# A text of this length weighs as much as one node more: aliases of one long text are a bomb as well.
_TEXT_WEIGHT = 256


class Unreadable(Exception):
    """A file cannot be read as a tree."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, number, boolean or null."""

    line: int
    value: str | int | float | bool | None
    text: str
    """As it was written."""
    quoted: bool = False
    merge: bool = False
    """Whether this is YAML's `<<`."""
    problem: str | None = None
    depth: int = 0

    @property
    def weight(self) -> int:
        """How many nodes this counts as."""
        return 1 + len(self.text) // _TEXT_WEIGHT

    @property
    def missing(self) -> bool:
        """Whether, as a key, this is none at all."""
        return self.value is None and not self.quoted and self.text in ("", "~") and self.problem is None


@dataclass(slots=True, eq=False)
class Items:
    """A list."""

    line: int
    children: list[Node] = field(default_factory=list)
    weight: int = 1
    depth: int = 1
    problem: str | None = None


@dataclass(slots=True, eq=False)
class Entries:
    """A mapping; `children` are its keys and values in turn."""

    line: int
    children: list[Node] = field(default_factory=list)
    weight: int = 1
    depth: int = 1
    problem: str | None = None

    def own(self) -> Iterator[tuple[Node, Node]]:
        """Keys and values as they stand there, a `<<` among them."""
        return zip(self.children[::2], self.children[1::2], strict=True)

    def pairs(self) -> Iterator[tuple[Scalar, Node]]:
        """Keys and values with `<<` carried out: first the own ones, then those merged in that are not there yet."""
        seen: set[str] = set()
        merged: list[Node] = []
        for key, value in self.own():
            if isinstance(key, Scalar) and key.merge:
                merged += value.children if isinstance(value, Items) else [value]
            elif isinstance(key, Scalar) and not key.missing and key.text not in seen:
                seen.add(key.text)
                yield key, value
        for source in merged:
            if isinstance(source, Entries):
                for key, value in source.pairs():
                    if key.text not in seen:
                        seen.add(key.text)
                        yield key, value


Node = Scalar | Items | Entries


def at_line(node: Node, line: int) -> Node:
    """The same node, seen from another line: where an alias stands."""
    return replace(node, line=line)


class Builder:
    """Puts a tree together from its parts in the order of the text. It has no recursion that a text could exhaust."""

    def __init__(self) -> None:
        self.roots: list[Node] = []
        self._open: list[Items | Entries] = []
        self._weight = 0

    def begin(self, node: Items | Entries) -> None:
        """A list or mapping begins; what is added next goes into it."""
        if len(self._open) >= MAX_DEPTH:
            raise Unreadable(node.line, f"is nested too deeply: more than {MAX_DEPTH} levels")
        self._open.append(node)

    def end(self) -> Node:
        """The list or mapping that began last is complete."""
        node = self._open.pop()
        # Its children were weighed when they were added.
        self._attach(node, 1)
        return node

    def add(self, node: Node) -> None:
        """Put a scalar, or what an alias stands for, where the text stands."""
        self._attach(node, node.weight)

    def _attach(self, node: Node, weight: int) -> None:
        self._weight += weight
        if self._weight > MAX_NODES:
            raise Unreadable(node.line, f"is too large: more than {MAX_NODES} values, with aliases written out")
        if len(self._open) + node.depth > MAX_DEPTH:
            raise Unreadable(node.line, f"is nested too deeply: more than {MAX_DEPTH} levels")
        if not self._open:
            self.roots.append(node)
            return
        parent = self._open[-1]
        parent.children.append(node)
        parent.weight += node.weight
        parent.depth = max(parent.depth, node.depth + 1)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong within a tree, before it is known in which file."""

    path: str
    line: int
    message: str


def plain(node: Node, path: str, findings: list[Finding]) -> Any:
    """The tree as lists, mappings with text keys, and scalars, as JSON could hold it; what could not be is found."""
    if node.problem is not None:
        findings.append(Finding(path, node.line, node.problem))
        return None
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Items):
        return [plain(child, f"{path}[{index}]", findings) for index, child in enumerate(node.children)]
    check_keys(node, path, findings)
    return {key.text: plain(value, join(path, key.text), findings) for key, value in node.pairs()}


def check_keys(node: Entries, path: str, findings: list[Finding]) -> None:
    """Find the keys of a mapping that are no texts, or are there twice."""
    lines: dict[str, int] = {}
    for key, value in node.own():
        if not isinstance(key, Scalar):
            findings.append(Finding(path, key.line, "a key must be a text, not a list or mapping"))
        elif key.problem is not None:
            findings.append(Finding(join(path, key.text), key.line, key.problem))
        elif key.merge:
            sources = value.children if isinstance(value, Items) else [value]
            if not all(isinstance(source, Entries) for source in sources):
                findings.append(Finding(path, key.line, "'<<' takes a mapping, or a list of mappings"))
        elif key.missing:
            findings.append(Finding(path, key.line, "a key is missing before the ':'"))
        elif key.text in lines:
            message = f"this key is there twice; the first is in line {lines[key.text]}"
            findings.append(Finding(join(path, key.text), key.line, message))
        else:
            lines[key.text] = key.line


def join(path: str, key: str) -> str:
    """The path of a key, or of a further path, below a path."""
    return f"{path}.{key}" if path and key and not key.startswith("[") else path + key


def find(node: Node, path: str) -> tuple[int, Node, str]:
    """Follow a path such as `actions[1].parameters.url` as far as it leads.

    Returns the line of the last key or item reached, the node there, and the rest of the path. A key may itself have
    dots or brackets in it: the longest one that fits is taken.
    """
    line = node.line
    while path:
        if isinstance(node, Items) and path.startswith("["):
            index, _, rest = path[1:].partition("]")
            if not index.isdecimal() or int(index) >= len(node.children):
                break
            node = node.children[int(index)]
            line, path = node.line, rest
        elif isinstance(node, Entries):
            wanted = path.removeprefix(".")
            fitting = [(key, value) for key, value in node.pairs() if begins(wanted, key.text)]
            if not fitting:
                break
            key, node = max(fitting, key=lambda pair: len(pair[0].text))
            line, path = key.line, wanted[len(key.text) :]
        else:
            break
    return line, node, path


def begins(path: str, key: str) -> bool:
    """Whether a path leads to this key first, or is it."""
    return path.startswith(key) and (len(path) == len(key) or path[len(key)] in ".[")


def number(text: str, value: int | float) -> str | None:
    """Why a number cannot be kept in JSON and back, or None."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{text} is not a finite number"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"{_short(text)} is too large a number; put it in quotes to have it as text"
    return None


def text_problem(text: str) -> str | None:
    """Why a text cannot be kept, or None."""
    # A lone half of a surrogate pair ("\\ud83d") cannot be written as UTF-8, so no database would take it.
    if text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text):
        return None
    return "has a broken character: half of a surrogate pair"


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:27]}..."
