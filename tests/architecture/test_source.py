"""What the source may not do, and where it may all the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import PACKAGE, ROOT, files, lines, name, tree

ENVIRONMENT = {
    "automation/config_sources.py": "the one reader",
    "automation/infrastructure/processes.py": "base_environment: where programs are, for the programs that are started",
    "automation/demo/service.py": "a program of its own, which is told its replica by the platform",
}
CLOCK = {
    "automation/clock.py": "the one reader",
    "automation/model/event.py": "an event that says no time happens now, wherever it is made",
    "automation/model/ids.py": "ids are made of the time",
    "automation/model/metric.py": "as for events",
    "automation/infrastructure/processes.py": "waits in a thread for processes, which live in real time",
    "automation/demo/": "programs of their own, and a performance for people, who live in real time",
    "automation/actions/middleware/measure.py": "measures real durations for the metrics",
    "automation/workflows/compiler.py": "a cron expression is checked, for which any moment will do",
    "automation/utils.py": "says how long opening the database took",
    "automation/cli/local.py": "compares leases of other processes, outside of any engine",
}
BROAD = {
    "automation/alerts/book.py": "one rule that cannot be evaluated must not keep the others from being watched",
    "automation/api/middleware/failures.py": "the boundary of a request: every error becomes an answer",
    "automation/console/gate.py": "the boundary of a page: every error becomes a page",
    "automation/monitoring/monitor.py": "one collector that fails is logged, and must not stop the others",
    "automation/store/writer.py": "whatever the backend raises, all who wait for the batch are told",
}
"""Supervised loops whose broad except stands there without a comment of its own."""
REASON = re.compile(r"#\s*\S+(\s+\S+){3,}")


def calls(path: Path) -> list[tuple[int, str]]:
    """Every dotted name that a file uses, with its line."""
    return [
        (node.lineno, ast.unparse(node))
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    ]


def within(path: Path, allowed: dict[str, str]) -> bool:
    """Whether a file, or the folder it is in, is among those allowed."""
    return any(name(path) == place or (place.endswith("/") and name(path).startswith(place)) for place in allowed)


def using(pattern: str, allowed: dict[str, str]) -> list[str]:
    """Where names that fit are used outside of the files where they may be."""
    wanted = re.compile(pattern)
    return [
        f"{name(path)}:{line} {text}"
        for path in files()
        if not within(path, allowed)
        for line, text in calls(path)
        if wanted.fullmatch(text)
    ]


def imported_from(module: str, names: set[str], allowed: dict[str, str]) -> list[str]:
    """Where names are imported from a module outside of the files where they may be."""
    return [
        f"{name(path)}:{node.lineno}"
        for path in files()
        if not within(path, allowed)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.module == module and names & {alias.name for alias in node.names}
    ]


def test_the_environment_is_read_in_one_place() -> None:
    wrong = using(r"os\.(environb?|getenvb?)", ENVIRONMENT)
    wrong += imported_from("os", {"environ", "environb", "getenv", "getenvb"}, ENVIRONMENT)
    assert wrong == []


def test_the_clock_is_read_in_one_place() -> None:
    wrong = using(r"time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns)", CLOCK)
    wrong += using(r"(datetime\.)?(datetime|date)\.(now|utcnow|today)", CLOCK)
    wrong += imported_from("time", {"time", "time_ns", "monotonic", "perf_counter"}, CLOCK)
    assert wrong == []


def test_the_exceptions_are_still_needed() -> None:
    gone = [path for path in {**ENVIRONMENT, **CLOCK, **BROAD} if not (ROOT / path).exists()]
    assert gone == []


def test_a_broad_except_raises_again_or_says_why_it_does_not() -> None:
    wrong = [
        f"{name(path)}:{handler.lineno}"
        for path, handler in handlers()
        if not within(path, BROAD) and not _explained(path, handler)
    ]
    assert wrong == []


def handlers() -> Iterator[tuple[Path, ast.ExceptHandler]]:
    """Every broad except that ends what it caught."""
    for path in files():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler) and _broad(node) and not _raises(node):
                yield path, node


def _broad(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds)


def _raises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _explained(path: Path, handler: ast.ExceptHandler) -> bool:
    """A comment of some words on the line, or between it and the first statement."""
    first = handler.body[0].lineno
    return any(REASON.search(line) for line in lines(path)[handler.lineno - 1 : first])


def test_the_faces_import_only_types_from_the_store() -> None:
    wrong = [
        f"{name(path)}:{node.lineno} {alias.name}"
        for room in ("api", "cli", "console", "demo")
        for path in files(PACKAGE / room)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("automation.store")
        for alias in node.names
        if not alias.name[0].isupper()
    ]
    assert wrong == []


def test_nobody_raises_plain_exceptions() -> None:
    wrong = [
        f"{name(path)}:{node.lineno}"
        for path in files()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and ast.unparse(node.exc.func) in ("Exception", "BaseException")
    ]
    assert wrong == []


def test_nothing_is_put_off() -> None:
    words = re.compile("|".join(("TO" + "DO", "FIX" + "ME")))
    wrong = [
        f"{name(path)}:{number}"
        for folder in (PACKAGE, ROOT / "tests", ROOT / "docs", ROOT / "benchmarks")
        for path in files(folder)
        for number, line in enumerate(lines(path), 1)
        if words.search(line)
    ]
    assert wrong == []
