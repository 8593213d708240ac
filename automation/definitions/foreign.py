"""What the imports of other systems' files have in common: reading one, reporting on it, writing definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from automation.definitions.tree import Entries, Finding, Items, Node, Scalar, Unreadable
from automation.definitions.yaml_tree import read_yaml
from automation.errors import DefinitionError, Problem

MAX_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Note:
    """Something that has no equivalent here, or came out otherwise than it was written."""

    line: int
    rule: str
    """The name of the rule, or of what it is part of."""
    message: str


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A file that another system wrote, with what it is called in errors."""

    path: Path
    what: str

    def root(self, kind: type[Entries] | type[Items], form: str, *, may_be_empty: bool = False) -> Node:
        """The one document in it, of this kind. Raises DefinitionError with the line; `form` is what it should be."""
        try:
            with self.path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise self.refused(None, f"cannot be read: {error.strerror}") from None
        if len(content) > MAX_BYTES:
            raise self.refused(None, f"is larger than {MAX_BYTES // 1024 // 1024} MiB")
        try:
            roots = read_yaml(content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise self.refused(content.count(b"\n", 0, error.start) + 1, "is not UTF-8 text") from None
        except Unreadable as error:
            raise self.refused(error.line, error.message) from None
        if may_be_empty and (not roots or (len(roots) == 1 and _is_nothing(roots[0]))):
            return kind(1)
        if len(roots) != 1 or not isinstance(roots[0], kind):
            raise self.refused(roots[-1].line if roots else 1, f"must be {form}")
        return roots[0]

    def refused(self, line: int | None, message: str) -> DefinitionError:
        """The error for one problem."""
        return DefinitionError([Problem("", message, file=str(self.path), line=line)], what=self.what)

    def wrong(self, findings: Sequence[Finding]) -> DefinitionError:
        """The error for all that was found."""
        problems = [Problem(each.path, each.message, file=str(self.path), line=each.line) for each in findings]
        return DefinitionError(problems, what=self.what)


def _is_nothing(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None and not node.quoted


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def to_yaml(definitions: Mapping[str, Any]) -> str:
    """The text of a definition file."""
    return yaml.dump(dict(definitions), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
