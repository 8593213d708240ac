"""YAML as trees of nodes with lines, one for each document.

Read event by event, so that depth and size are bounded while reading. Three differences from YAML 1.1, each where it
would surprise: keys are the text that was written (`on:` is the key "on", not true); dates and times stay text; what
only base 60 could read as a number (`10:30`) is text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from automation.definitions import tree
from automation.definitions.tree import Builder, Entries, Items, Node, Scalar, Unreadable

# The C parser where PyYAML was built with it: 10 times faster.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"
_AS_TEXT = frozenset({"str", "timestamp", "value", "merge"})
_MAX_DIRECTIVES = 100
_NOT_ALLOWED = yaml.reader.Reader.NON_PRINTABLE


def read_yaml(text: str) -> list[Node]:
    """The documents of a YAML text; raises Unreadable."""
    wrong = _NOT_ALLOWED.search(text)
    if wrong:
        line = text.count("\n", 0, wrong.start()) + 1
        raise Unreadable(line, f"has a character that YAML does not allow: U+{ord(wrong[0]):04X}")
    # Each of them is compared with all before it: a file full of them would take minutes.
    if len(re.findall(r"^%TAG", text, re.MULTILINE)) > _MAX_DIRECTIVES:
        raise Unreadable(1, f"has more than {_MAX_DIRECTIVES} %TAG directives")
    try:
        loader = _Loader(text)
        try:
            return _Composer(loader).compose()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error) from None


def _unreadable(error: yaml.MarkedYAMLError) -> Unreadable:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    message = error.problem or str(error)
    if "cannot start any token" in message:
        message += " (indent with spaces, not tabs; put a text that begins with @, ` or % in quotes)"
    began = error.context_mark.line + 1 if error.context_mark else line
    context = f" {error.context}" if error.context else ""
    began_in = f" that began in line {began}" if context and began != line else ""
    return Unreadable(line, f"not valid YAML: {message}{context}{began_in}")


class _Composer:
    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._builder = Builder()
        self._anchors: dict[str, Node | None] = {}
        """None while the node is not complete."""
        self._names: list[str | None] = []

    def compose(self) -> list[Node]:
        while self._loader.check_event():
            event: yaml.Event = self._loader.get_event()  # type: ignore[no-untyped-call]
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.ScalarEvent):
                scalar = _scalar(self._loader, event)
                if event.anchor is not None:
                    self._anchors[event.anchor] = scalar
                self._builder.add(scalar)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                node = self._builder.end()
                name = self._names.pop()
                if name is not None:
                    self._anchors[name] = node
        return self._builder.roots

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        is_list = isinstance(event, yaml.SequenceStartEvent)
        problem = None
        if event.tag not in (None, "!", _PREFIX + ("seq" if is_list else "map")):
            problem = _wrong_tag(event.tag)
        line = _line(event)
        self._builder.begin(Items(line, problem=problem) if is_list else Entries(line, problem=problem))
        self._names.append(event.anchor)
        if event.anchor is not None:
            self._anchors[event.anchor] = None

    def _alias(self, event: yaml.AliasEvent) -> None:
        line = _line(event)
        if event.anchor not in self._anchors:
            raise Unreadable(line, f"the alias *{event.anchor} has no anchor &{event.anchor} before it")
        node = self._anchors[event.anchor]
        if node is None:
            raise Unreadable(line, f"the alias *{event.anchor} stands within what it stands for")
        self._builder.add(tree.at_line(node, line))


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _wrong_tag(tag: str) -> str:
    shown = f"!!{tag.removeprefix(_PREFIX)}" if tag.startswith(_PREFIX) else tag
    return f"the tag {shown} is not supported; write a plain value, list or mapping"


def _scalar(loader: yaml.SafeLoader, event: yaml.ScalarEvent) -> Scalar:
    line = _line(event)
    text: str = event.value
    guessed = event.tag in (None, "!")
    quoted = bool(event.style)
    tag = str(loader.resolve(yaml.ScalarNode, text, event.implicit) if guessed else event.tag)  # type: ignore[no-untyped-call]
    kind = tag.removeprefix(_PREFIX)
    if kind in _AS_TEXT:
        merge = kind == "merge"
        return Scalar(line, text, text, quoted, merge, tree.text_problem(text))
    if tag == kind or kind not in ("null", "bool", "int", "float"):
        return Scalar(line, None, text, quoted, problem=_wrong_tag(tag))
    if kind == "null":
        return Scalar(line, None, text, quoted)
    if guessed and ":" in text:
        return Scalar(line, text, text)
    return _converted(loader, kind, Scalar(line, None, text, quoted))


def _converted(loader: yaml.SafeLoader, kind: str, scalar: Scalar) -> Scalar:
    convert = {
        "bool": loader.construct_yaml_bool,
        "int": loader.construct_yaml_int,
        "float": loader.construct_yaml_float,
    }[kind]
    value: Any = None
    problem: str | None = f"is not a value of the tag !!{kind}"
    # More digits than any number needs: converting them takes time that grows with their square.
    if len(scalar.text) > 1000:
        problem = "is too long a number; put it in quotes to have it as text"
    else:
        try:
            value = convert(yaml.ScalarNode(_PREFIX + kind, scalar.text))
            problem = None if isinstance(value, bool) else tree.number(scalar.text, value)
        except (ValueError, KeyError, IndexError):
            pass
    return Scalar(scalar.line, value if problem is None else None, scalar.text, scalar.quoted, problem=problem)
