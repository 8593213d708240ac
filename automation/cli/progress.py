"""How far a long command has come: a bar for people at a terminal, a line for each part otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from automation.cli.command import Session

Told = Callable[[str, int, int], None]


@contextmanager
def progress(session: Session) -> Iterator[Told]:
    """What is told how far a part has come: what it is, how much is done, how much there is (0: nobody knows).

    With `--json`, nothing is shown.
    """
    if session.out.as_json:
        yield lambda what, done, total: None
    elif session.out.tty:
        with _bar(session) as told:
            yield told
    else:
        seen: set[str] = set()

        def tell(what: str, done: int, total: int) -> None:
            if what not in seen:
                seen.add(what)
                session.out.line(f"{what} …")

        yield tell


@contextmanager
def _bar(session: Session) -> Iterator[Told]:
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=session.out.console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[what] = bar.add_task(what, total=None)
            bar.update(tasks[what], completed=done, total=total or None)

        yield tell
