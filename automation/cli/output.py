"""What commands print: tables for people, one JSON document with `--json`, plain columns where nobody looks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

NARROW = 60
"""Terminals with fewer columns show each row as a block."""
_LONGEST = 20
"""Words of up to so many characters are not torn to fit them into a table: its rows are blocks then."""
_WHOLE = ("id", "fingerprint")
"""Columns that are there to be copied: never cut, while others fold."""

_STYLES = {
    "succeeded": "green",
    "ok": "green",
    "resolved": "green",
    "alive": "green",
    "failed": "bold red",
    "error": "bold red",
    "critical": "bold red",
    "timed_out": "red",
    "firing": "bold red",
    "high": "red",
    "running": "cyan",
    "waiting": "yellow",
    "proposed": "yellow",
    "pending": "yellow",
    "warning": "yellow",
    "acknowledged": "yellow",
    "skipped": "dim",
    "cancelled": "dim",
}


class Output:
    """Where a command's results go: stdout."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._console: Console | None = None

    @property
    def tty(self) -> bool:
        """Whether people look at it."""
        return not self.as_json and sys.stdout.isatty()

    @property
    def console(self) -> Console:
        """Rich's view of stdout; it respects NO_COLOR and the terminal's width."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(highlight=False, soft_wrap=False)
        return self._console

    def document(self, value: Any) -> None:
        """One JSON document."""
        print(json.dumps(value, indent=2, ensure_ascii=False, default=to_plain))

    def json_line(self, value: Any) -> None:
        """One JSON document in one line, at once."""
        print(json.dumps(value, ensure_ascii=False, default=to_plain), flush=True)

    def line(self, text: str = "") -> None:
        """A line of text, as it is."""
        print(clean(text), flush=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "none") -> None:
        """Rows under columns."""
        cells = [[clean(shown(cell)) for cell in row] for row in rows]
        if not cells:
            self.line(empty)
        elif not self.tty:
            _plain_table(columns, cells)
        elif self.console.width < max(NARROW, _least_width(columns, cells)):
            self._blocks(columns, cells)
        else:
            self._rich_table(columns, cells)

    def more(self, page: Mapping[str, Any]) -> None:
        """Say that there is more of a long list, and how to see it."""
        if page.get("next_cursor"):
            self.line(f"there are more: --cursor {page['next_cursor']}")

    def facts(self, pairs: Mapping[str, Any]) -> None:
        """One name and value a line; what is empty is left out."""
        kept = {name: clean(shown(value)) for name, value in pairs.items() if value not in (None, "", (), [], {})}
        width = max((len(name) for name in kept), default=0)
        for name, value in kept.items():
            indented = value.replace("\n", "\n" + " " * (width + 2))
            print(f"{name.ljust(width)}  {indented}")

    def _rich_table(self, columns: Sequence[str], rows: list[list[str]]) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for index, column in enumerate(columns):
            least = _least_of(column, [row[index] for row in rows])
            table.add_column(column, overflow="fold", no_wrap=column in _WHOLE, min_width=least)
        for row in rows:
            table.add_row(*(Text(cell, style=style(cell)) for cell in row))
        self.console.print(table)

    def _blocks(self, columns: Sequence[str], rows: list[list[str]]) -> None:
        for index, row in enumerate(rows):
            if index:
                print()
            self.facts(dict(zip(columns, row, strict=True)))


def _least_of(column: str, cells: Iterable[str]) -> int:
    """How wide a column has to be for no short word of it to be torn."""
    lines = [column, *cells]
    if column in _WHOLE:
        return max(len(line) for line in lines)
    return max((len(word) for line in lines for word in line.split() if len(word) <= _LONGEST), default=1)


def _least_width(columns: Sequence[str], rows: list[list[str]]) -> int:
    """How many columns a terminal has to have for a table to be read."""
    words = sum(_least_of(column, [row[index] for row in rows]) for index, column in enumerate(columns))
    return words + 3 * len(columns)


def _plain_table(columns: Sequence[str], rows: list[list[str]]) -> None:
    lines = [[name.upper() for name in columns], *([cell.replace("\n", " ") for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def style(word: str) -> str:
    """Rich's style for a status or severity; none for other words."""
    return _STYLES.get(word, "")


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, (Mapping, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=to_plain)
    return str(value)


def clean(text: str) -> str:
    """The text without control characters: what comes from events must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in "\n\t" else f"\\x{ord(character):02x}"
        for character in text
    )


def moment(time: str | None) -> str:
    """A time to the second, in UTC."""
    return "-" if not time else f"{time[:10]} {time[11:19]}Z"


def took(begin: str | None, end: str | None) -> str:
    """How long something took, from RFC 3339 to RFC 3339."""
    from automation.clock import parse_iso

    if not begin or not end:
        return "-"
    return duration(max(0.0, parse_iso(end) - parse_iso(begin)))


def duration(seconds: float) -> str:
    """A number of seconds as people read it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def size(count: int) -> str:
    """A number of bytes as people read it: `300 bytes`, `65.5 kB`."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{count} bytes" if unit == "bytes" else f"{amount:.3g} {unit}"


def to_plain(value: Any) -> Any:
    """A value as the REST interface writes it."""
    from automation.api.render import plain

    return plain(value)
