"""How long importing takes, and what it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import Figure, Outcome, median
from benchmarks.setting import Setting

STATEMENTS = {
    "import automation": "import automation",
    "engine and definitions": "from automation import AutomationEngine, AutomationConfig, WorkflowDefinition",
    "the command line": "import automation.cli",
    "the REST server": "import automation.api.server, automation.api.app",
}

HEAVY = (
    "alembic",
    "asyncpg",
    "cryptography",
    "fastapi",
    "httpx2",
    "jinja2",
    "lark",
    "msgspec",
    "numpy",
    "prometheus_client",
    "psutil",
    "pydantic",
    "pydantic_settings",
    "rich",
    "sqlalchemy",
    "starlette",
    "structlog",
    "typer",
    "uvicorn",
    "yaml",
)

_MEASURE = """
import sys, time
begin = time.perf_counter()
{statement}
taken = time.perf_counter() - begin
import json
print(json.dumps([taken, len(sys.modules), [name for name in {heavy!r} if name in sys.modules]]))
"""


def run(setting: Setting) -> Outcome:
    """Medians over fresh interpreters, beside an interpreter that imports nothing."""
    figures, loaded = [], {}
    for name, statement in STATEMENTS.items():
        taken, modules = [], 0
        for _ in range(3 if setting.quick else 11):
            seconds, modules, loaded[name] = _once(statement, setting.folder)
            taken.append(seconds)
        figures.append(Figure(name, median(taken) * 1000, "ms", f"{modules} modules"))
    facts = {f"heavy after {name!r}": ", ".join(modules) or "none" for name, modules in loaded.items()}
    return Outcome("imports", "time in the import statement, fresh interpreter, warm file cache", figures, facts)


def _once(statement: str, folder: Path) -> tuple[float, int, list[str]]:
    code = _MEASURE.format(statement=statement, heavy=HEAVY)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    seconds, modules, heavy = json.loads(done.stdout)
    return seconds, modules, heavy
