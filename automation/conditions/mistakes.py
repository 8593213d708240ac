"""What is wrong with a text, in words for people: never a token's name, and a suggestion where one is likely."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from automation.conditions.syntax import Mistake
from automation.conditions.units import suggested_unit
from automation.errors import ConditionError

if TYPE_CHECKING:
    from lark import UnexpectedToken

# Longest first: where several fit, the longest is what was meant.
_SIGNS = {
    "===": "use ==",
    "!==": "use !=",
    "&&": "use AND",
    "||": "use OR",
    "=>": "use >=",
    "=<": "use <=",
    "<>": "use !=",
    "=~": "use MATCHES",
    "!~": "use NOT ... MATCHES",
    "**": "there is no power",
    "&": "use AND",
    "|": "use OR",
    "!": "use NOT",
    "~": "use MATCHES",
    "$": "a name is written without it",
    "`": "a string is written in ' or \"",
    "“": "a string is written in ' or \"",
    "”": "a string is written in ' or \"",
    "‘": "a string is written in ' or \"",
    "’": "a string is written in ' or \"",
    "−": "use the sign -",
    "≥": "use >=",
    "≤": "use <=",
    "≠": "use !=",
    "{": "a list is written [a, b]",
    ";": "use AND or OR between conditions",
    "#": "there are no comments",
}
_WORDS = {
    "like": "use CONTAINS, STARTS WITH, ENDS WITH or MATCHES",
    "between": "write 1 <= x <= 5",
    "eq": "use ==",
    "equals": "use ==",
    "ne": "use !=",
    "gt": "use >",
    "gte": "use >=",
    "ge": "use >=",
    "lt": "use <",
    "lte": "use <=",
    "le": "use <=",
    "has": "use CONTAINS",
    "includes": "use CONTAINS",
    "contain": "use CONTAINS",
    "match": "use MATCHES",
    "regex": "use MATCHES",
    "starts": "write STARTS WITH",
    "startswith": "write STARTS WITH",
    "ends": "write ENDS WITH",
    "endswith": "write ENDS WITH",
    "div": "use /",
    "mod": "use %",
    "within": "a window is written in a function, as in avg(x, 5m)",
    "for": "write AND duration > 5m",
}
_POINT = "a '.' stands between the parts of a name, or between digits, as in 0.5"
_A_VALUE = {"NUMBER", "STRING", "NAME"}
_CLOSING = {"COMMA": "a comma", "RSQB": "]", "RPAR": ")", "$END": "the end"}
# How far before the place of an error its cause is looked for.
_NEAR = 60
_SPACES = re.compile(r"[\t\r\n]")


def located(text: str, mistake: Mistake) -> ConditionError:
    """A mistake as the error that people see."""
    # Breaks become spaces so that the pointer below the text is at the column.
    return ConditionError(_SPACES.sub(" ", text), mistake.column, mistake.reason, mistake.expected)


def unexpected_character(text: str, offset: int) -> ConditionError:
    """The error for a character that begins nothing in the language."""
    character = text[offset]
    if character in "'\"":
        return located(text, Mistake(offset + 1, "the string is not closed", f"a closing {character}"))
    sign = _sign_at(text, offset)
    if sign is not None:
        return located(text, sign)
    if character == ".":
        return located(text, Mistake(offset + 1, _POINT))
    name = _odd_name_at(text, offset)
    if name is not None:
        return located(text, Mistake(offset + 1, f"a name with {character!r} in it is written in backticks: `{name}`"))
    hint = "" if character.isascii() or not character.isalpha() else ": names have only the letters a to z"
    return located(text, Mistake(offset + 1, f"the character {character!r} has no meaning here{hint}"))


def unexpected_token(text: str, error: UnexpectedToken) -> ConditionError:
    """The error for something that does not fit where it stands."""
    ended = error.token.type == "$END"
    offset = len(text.rstrip()) if ended else error.token.start_pos or 0
    accepts = set(error.accepts)
    mistake = _space_before_percent(text, offset, accepts)
    if mistake is None and not ended:
        mistake = _sign_at(text, offset) or _suggestion(text, offset, accepts)
    if mistake is None:
        mistake = Mistake(offset + 1, _found(text, str(error.token), ended), _expected(accepts))
    return located(text, mistake)


def _found(text: str, token: str, ended: bool) -> str:
    if not ended:
        return f"{token!r} does not fit here" if len(token) <= 40 else f"'{token[:40]}...' does not fit here"
    return "the text ends too early" if text.strip() else "the text is empty"


def _expected(accepts: set[str]) -> str:
    """What would fit, as one phrase."""
    if accepts >= _A_VALUE:
        return "a value"
    if "STRING" in accepts:
        return "an index or a string"
    if "NUMBER" in accepts:
        return "a whole number"
    if "NULL" in accepts:
        return "NULL or NOT NULL" if "NOT" in accepts else "NULL"
    if accepts == {"IN"}:
        return "IN"
    words = ["an operator"] if {"COMPARE", "PLUS", "TIMES"} & accepts else []
    # The parser may have finished the condition before it looked at what follows, and then no longer says AND.
    if {"_AND", "_OR", "$END", "RPAR", "COMMA"} & accepts:
        words += ["AND", "OR"]
    words += [shown for terminal, shown in _CLOSING.items() if terminal in accepts]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _space_before_percent(text: str, offset: int, accepts: set[str]) -> Mistake | None:
    start = max(0, offset - _NEAR)
    percent = re.search(r"([0-9][0-9.]*)\s+%\s*$", text[start:offset])
    if percent is None or not accepts >= _A_VALUE:
        return None
    return Mistake(start + percent.start() + 1, f"a percent is written without a space: {percent[1]}%")


def _suggestion(text: str, offset: int, accepts: set[str]) -> Mistake | None:
    """A better message, where it is clear what was meant."""
    found = re.match(r"[A-Za-z_]+|.", text[offset:], re.DOTALL)
    assert found is not None, "the end of the text is no place for a suggestion"
    word, column = found[0], offset + 1
    if accepts >= _A_VALUE:
        if word == "+":
            return Mistake(column, "a number is written without '+'", "a value")
        return Mistake(column, _POINT, "a value") if word == "." else None
    if "NULL" in accepts and "NOT" in accepts:
        return Mistake(column, f"{word!r} does not fit after IS: use == to compare", "NULL or NOT NULL")
    if accepts == {"IN"}:
        return Mistake(column, f"{word!r} does not fit after NOT: write NOT before the whole comparison", "IN")
    if not {"_AND", "$END", "RPAR", "COMMA"} & accepts:
        return None
    number = re.search(r"([0-9][0-9.]*)\s+$", text[max(0, offset - _NEAR) : offset])
    unit = suggested_unit(word)
    if number and unit:
        return Mistake(column, f"a unit is written without a space: {number[1]}{unit}")
    if word.lower() in _WORDS:
        return Mistake(column, f"{word!r} is not in the language: {_WORDS[word.lower()]}")
    return None


def _odd_name_at(text: str, offset: int) -> str | None:
    """The name in the middle of which there is a colon, as in `job:rate`."""
    before = re.search(r"[A-Za-z_][\w.:-]*$", text[max(0, offset - _NEAR) : offset])
    after = re.match(r":[\w.:-]*\w", text[offset : offset + _NEAR])
    return before[0] + after[0] if before and after else None


def _sign_at(text: str, offset: int) -> Mistake | None:
    """A sign of another language that covers this place, wherever in it the parser gave up."""
    for sign, hint in _SIGNS.items():
        for start in range(max(0, offset - len(sign) + 1), offset + 1):
            if text.startswith(sign, start):
                return Mistake(start + 1, f"{sign!r} is not in the language: {hint}")
    return None
