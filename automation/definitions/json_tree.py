"""JSON as a tree of nodes with lines. The standard library checks the grammar; here only the lines are added.

YAML is nearly a superset of JSON, but not where it matters: tabs, `1e5`, and `\\ud83d\\ude00` are read differently.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from automation.definitions import tree
from automation.definitions.tree import Builder, Entries, Items, Node, Scalar, Unreadable

_TOKEN = re.compile(r'[ \t\r\n]*(?:(?P<mark>[{}\[\],:])|(?P<string>"(?:[^"\\]|\\.)*")|(?P<word>[^{}\[\],:"\s]+))')


def read_json(text: str) -> list[Node]:
    """The document of a JSON text, none if it is empty; raises Unreadable."""
    if not text.strip():
        return []
    _check(text)
    builder = Builder()
    line = 1
    position = 0
    while token := _TOKEN.match(text, position):
        line += text.count("\n", position, token.end())
        position = token.end()
        mark = token["mark"]
        if mark == "{":
            builder.begin(Entries(line))
        elif mark == "[":
            builder.begin(Items(line))
        elif mark in ("}", "]"):
            builder.end()
        elif mark is None:
            builder.add(_scalar(line, token["string"] or token["word"]))
    return builder.roots


def _check(text: str) -> None:
    def refuse(word: str) -> NoReturn:
        raise Unreadable(_line_of(text, word), f"{word} is not a finite number")

    try:
        # Numbers are left as text: a number of a million digits would take minutes to convert.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise Unreadable(error.lineno, f"not valid JSON: {error.msg} in column {error.colno}") from None
    except RecursionError:
        raise Unreadable(1, f"is nested too deeply: more than {tree.MAX_DEPTH} levels") from None


def _line_of(text: str, word: str) -> int:
    for token in _TOKEN.finditer(text):
        if token["word"] == word:
            return text.count("\n", 0, token.end()) + 1
    return 1


def _scalar(line: int, token: str) -> Scalar:
    if token.startswith('"'):
        value = json.loads(token)
        return Scalar(line, value, value, quoted=True, problem=tree.text_problem(value))
    if len(token) > 1000:
        return Scalar(line, None, token, problem="is too long a number")
    constant: Any = json.loads(token)
    problem = None if constant is None or isinstance(constant, bool) else tree.number(token, constant)
    return Scalar(line, constant if problem is None else None, token, problem=problem)
