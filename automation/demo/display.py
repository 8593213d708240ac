"""How the demonstration is shown while it runs: a live picture on a terminal, else one line for each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from automation.cli.output import Output, clean
from automation.demo.receiver import Posted

if TYPE_CHECKING:
    from rich.live import Live

Gauges = Callable[[], str]
"""What the service does at the moment, in one line."""


class Display(Protocol):
    """What the story tells."""

    def begin(self, step: str) -> None:
        """A step begins."""
        ...

    def note(self, text: str) -> None:
        """How the step is coming along."""
        ...

    def done(self, text: str) -> None:
        """The step has happened, as `text` says."""
        ...

    def failed(self, text: str) -> None:
        """The step has not happened."""
        ...

    def posted(self, message: Posted) -> None:
        """Slack was told something."""
        ...


class Silent:
    """Shows nothing: with `--json`."""

    def begin(self, step: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def done(self, text: str) -> None:
        """Nothing."""

    def failed(self, text: str) -> None:
        """Nothing."""

    def posted(self, message: Posted) -> None:
        """Nothing."""


class Lines:
    """A line for each step, with the time since the beginning."""

    def __init__(self, out: Output, began: float) -> None:
        self._out = out
        self._began = began
        self._step = ""

    def begin(self, step: str) -> None:
        """Say what is tried."""
        self._step = step
        self._line(f"... {step}")

    def note(self, text: str) -> None:
        """Said at the end only: without a terminal there is no line to change."""

    def done(self, text: str) -> None:
        """Say what happened."""
        self._line(f"ok  {text}")

    def failed(self, text: str) -> None:
        """Say what did not."""
        self._line(f"NOT {self._step}: {text}")

    def posted(self, message: Posted) -> None:
        """Say what Slack was told."""
        self._line(f"    Slack {message.channel}: {message.text}")

    def _line(self, text: str) -> None:
        self._out.line(f"{time.time() - self._began:5.1f} s  {text}")


@dataclass(slots=True)
class _Step:
    text: str
    began: float
    state: str = "running"
    note: str = ""
    took: float = 0.0


class Picture:
    """All steps with their state, what the service does, and what Slack was told; drawn anew several times a second."""

    def __init__(self, gauges: Gauges, began: float) -> None:
        self._gauges = gauges
        self._began = began
        self._steps: list[_Step] = []
        self._messages: list[Posted] = []

    def begin(self, step: str) -> None:
        """Add a step."""
        self._steps.append(_Step(step, time.monotonic()))

    def note(self, text: str) -> None:
        """Change what stands beside it."""
        self._steps[-1].note = text

    def done(self, text: str) -> None:
        """Tick it off."""
        self._end("done", text)

    def failed(self, text: str) -> None:
        """Cross it out."""
        if self._steps:
            self._end("failed", text)

    def posted(self, message: Posted) -> None:
        """Show a message."""
        self._messages.append(message)

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        marks = {"done": Text("✓", style="green"), "failed": Text("✗", style="bold red")}
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=2)
        grid.add_column(justify="right", width=7)
        grid.add_column(overflow="fold")
        for step in self._steps:
            running = step.state == "running"
            took = time.monotonic() - step.began if running else step.took
            mark: Any = Spinner("dots", style="cyan") if running else marks[step.state]
            text = Text(clean(step.text if running else step.note), style="" if running else "default")
            if running and step.note:
                text.append(f"  {clean(step.note)}", style="dim")
            grid.add_row(mark, Text(f"{took:.1f} s", style="dim"), text)
        parts: list[Any] = [Text(f"automation demo  {time.time() - self._began:.0f} s", style="bold"), grid]
        if gauges := self._gauges():
            parts.append(Text(f"   {gauges}", style="cyan"))
        parts += [
            Text.assemble(("   Slack ", "magenta"), f"{clean(message.channel)}: {clean(message.text)}")
            for message in self._messages
        ]
        return Group(*parts)

    def _end(self, state: str, text: str) -> None:
        step = self._steps[-1]
        step.state, step.note, step.took = state, text, time.monotonic() - step.began


@contextmanager
def shown(out: Output, gauges: Gauges, began: float) -> Iterator[Display]:
    """The display that fits where the output goes; times count from `began`."""
    if out.as_json:
        yield Silent()
    elif not out.tty:
        yield Lines(out, began)
    else:
        picture = Picture(gauges, began)
        with _live(out, picture):
            yield picture


def _live(out: Output, picture: Picture) -> Live:
    from rich.live import Live

    return Live(picture, console=out.console, refresh_per_second=8)
