"""Where handlers run that are not `async def`: how many at a time, and how they end."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from automation import (
    ActionContext,
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    ExecutionResult,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.actions.call import Call
from automation.actions.executor import Executor
from automation.clock import RealClock
from automation.errors import ActionCrashed, ActionTimeout, TryLater
from automation.model.performance import Performance
from automation.plugins import registry
from automation.telemetry.metrics import Metrics
from tests.support import busy


@pytest.fixture(autouse=True)
def _gate() -> Any:
    gate = busy.new_gate()
    yield
    gate.open.set()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automation.actions.middleware.timeout.GRACE_SECONDS", 0.05)


class Bench:
    """An executor with its metrics."""

    def __init__(self, **performance: Any) -> None:
        self.metrics = Metrics()
        self.executor = Executor(
            self.metrics,
            RealClock(),
            AutomationConfig(max_concurrent_actions=20, performance=Performance(**performance)),
        )

    def start(self, operation: str, *, limit: float = 30.0, priority: int = 2, **parameters: Any) -> asyncio.Task[Any]:
        context = ActionContext(timeout_seconds=limit)
        call = Call(registry.get("action", operation), parameters, context, priority)
        return asyncio.create_task(self.executor.execute(call))

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(thread_pool_size=2, process_pool_size=2)
    yield bench
    bench.executor.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.005)


async def test_no_more_plain_functions_run_at_a_time_than_there_are_threads(bench: Bench) -> None:
    tasks = [bench.start("busy.gate") for _ in range(6)]
    await until(lambda: busy.gate.inside == 2)
    await asyncio.sleep(0.05)
    busy.gate.open.set()
    results = await asyncio.gather(*tasks)

    assert busy.gate.most == 2
    assert busy.gate.passed == 6
    assert len({result["thread"] for result in results}) <= 3, "threads are used again"


async def test_a_critical_plain_function_does_not_wait_for_others(bench: Bench) -> None:
    for _ in range(3):
        bench.start("busy.gate")
    await until(lambda: busy.gate.inside == 2)

    critical = bench.start("busy.gate", priority=4)
    await until(lambda: busy.gate.inside == 3)
    assert not critical.done()

    busy.gate.open.set()
    await critical
    assert critical.exception() is None


async def test_a_function_that_never_ends_fails_its_action_and_keeps_no_place(bench: Bench) -> None:
    stuck = [bench.start("busy.gate", limit=0.05) for _ in range(2)]
    for task in stuck:
        with pytest.raises(ActionTimeout):
            await task
    assert bench.value("automation_handlers_left_behind_total", operation="busy.gate") == 2
    assert bench.value("automation_threads_left_behind") == 2

    following = [bench.start("busy.sleep", seconds=0.01) for _ in range(2)]
    await asyncio.gather(*following)

    busy.gate.open.set()
    await until(lambda: bench.value("automation_threads_left_behind") == 0)


async def test_one_that_is_cancelled_before_its_first_turn_leaves_nothing_unawaited(
    bench: Bench, recwarn: pytest.WarningsRecorder
) -> None:
    """As where everything is cancelled at once because the event loop ends."""
    action = bench.start("busy.sleep", seconds=0.01)
    await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert len(others) == 2, "the action, and its handler, which has not begun"
    for task in others:
        task.cancel()
    await asyncio.wait(others)
    assert action.cancelled()

    del action, task, others
    gc.collect()

    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("how", ["cancelled", "out of time"])
async def test_a_plain_function_is_told_to_end_and_waited_for(
    bench: Bench, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.actions.middleware.timeout.GRACE_SECONDS", 5.0)
    task = bench.start("busy.polite", limit=0.05 if how == "out of time" else 30.0)
    await until(lambda: busy.gate.inside == 1)
    if how == "cancelled":
        task.cancel()

    with pytest.raises(asyncio.CancelledError if how == "cancelled" else ActionTimeout):
        await task

    assert busy.gate.passed == 1, "it has ended before its action has"
    assert bench.value("automation_handlers_left_behind_total", operation="busy.polite") == 0


async def test_a_cancelled_function_that_does_not_listen_is_left_behind_and_reported(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    task = bench.start("busy.gate")
    await until(lambda: busy.gate.inside == 1)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert bench.value("automation_handlers_left_behind_total", operation="busy.gate") == 1
    assert "busy.gate ignores its cancellation and is left behind" in caplog.text


async def test_what_a_plain_function_raises_is_raised(bench: Bench) -> None:
    with pytest.raises(ActionCrashed, match="what is not a number"):
        await bench.start("busy.moody")


def test_a_function_that_never_ends_does_not_keep_the_process(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, threading\n"
        "from pydantic import BaseModel\n"
        "from automation import ActionContext, AutomationConfig, AutomationEngine, WorkflowDefinition, action\n"
        "import automation.actions.middleware.timeout as timeout\n"
        "timeout.GRACE_SECONDS = 0.1\n"
        "class Nothing(BaseModel): pass\n"
        "@action('stuck.forever')\n"
        "def forever(params: Nothing, context: ActionContext) -> None:\n"
        "    threading.Event().wait()\n"
        "@action('stuck.heavy', cpu_bound=True)\n"
        "def heavy(params: Nothing, context: ActionContext) -> None:\n"
        "    threading.Event().wait()\n"
        "actions = [{'name': n, 'action_type': f'stuck.{n}', 'timeout_seconds': 2.0, 'retry_attempts': 1,\n"
        "            'depends_on': []} for n in ('forever', 'heavy')]\n"
        "async def main():\n"
        "    async with AutomationEngine(AutomationConfig(database_url='sqlite://', data_dir='data')) as engine:\n"
        "        await engine.register_workflow(WorkflowDefinition.model_validate({'name': 'w', 'actions': actions}))\n"
        "        result = await engine.execute_workflow('w')\n"
        "        print([action.error['type'] for action in result.actions])\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )

    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=50, cwd=tmp_path)

    assert done.stdout == "['ActionTimeout', 'ActionTimeout']\n", done.stderr
    assert done.returncode == 0


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def told(file: Path) -> list[int]:
    await until(lambda: file.exists() and len(file.read_text().split()) == 2)
    return [int(word) for word in file.read_text().split()]


@pytest.mark.parametrize("how", ["cancelled", "out of time"])
async def test_the_process_of_a_cancelled_handler_ends_with_all_that_it_has_started(
    bench: Bench, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.actions.middleware.timeout.GRACE_SECONDS", 5.0)
    file = tmp_path / "pids"
    await bench.start("busy.compute")  # so that starting a process is not part of the time limit
    limit = 1.0 if how == "out of time" else 60.0
    task = bench.start("busy.compute", seconds=600, file=str(file), limit=limit)
    pids = await told(file)
    if how == "cancelled":
        task.cancel()

    with pytest.raises(asyncio.CancelledError if how == "cancelled" else ActionTimeout):
        await task

    assert not alive(pids[0])
    await until(lambda: not alive(pids[1]))
    assert bench.value("automation_handlers_left_behind_total", operation="busy.compute") == 0
    again = await bench.start("busy.compute")
    assert again["pid"] != pids[0], "another process takes its place"


@pytest.mark.parametrize("operation", ["busy.compute", "shell.run"])
async def test_cancelling_an_execution_ends_the_programs_that_it_has_started(
    engine: AutomationEngine, tmp_path: Path, operation: str
) -> None:
    file = tmp_path / "pids"
    script = f"sleep 600 & echo $$ $! > {file}; wait"
    parameters: dict[str, Any] = {"seconds": 600, "file": str(file)}
    if operation == "shell.run":
        parameters = {"command": ["sh", "-c", script]}
    action = ActionDefinition(name="long", action_type=operation, parameters=parameters)
    await engine.register_workflow(WorkflowDefinition(name="w", actions=(action,)))
    execution_id = await engine.start_workflow("w")
    pids = await told(file)

    await engine.cancel(execution_id, "enough")
    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.CANCELLED
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_a_process_is_used_again_until_the_engine_stops(bench: Bench) -> None:
    first = await bench.start("busy.compute")
    second = await bench.start("busy.compute")

    assert first == second
    assert alive(first["pid"])
    bench.executor.close()
    assert not alive(first["pid"])


async def test_a_call_that_is_cancelled_before_its_process_is_there_is_not_made(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    task = bench.start("busy.compute", file=str(file), seconds=0.0)
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await bench.start("busy.compute")
    assert not file.exists()


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("die", TryLater, "the process that ran the action died"),
        ("exit", ActionCrashed, r"sys\.exit\(4\)"),
        ("return", ActionCrashed, "cannot be handed over"),
        ("raise", ActionCrashed, "_Picky: one and two"),
    ],
)
async def test_whatever_a_handler_does_in_its_process_is_an_error_of_its_action(
    bench: Bench, what: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await bench.start("busy.odd", file=what)
    assert (await bench.start("busy.compute"))["pid"]


async def test_the_event_loop_goes_on_whatever_handlers_do(tmp_path: Path, empty_database: Path) -> None:
    """The longest pause of the loop while others work, against what it is when one handler blocks it."""
    seconds = 1.0
    config = AutomationConfig(database_url="sqlite://", data_dir=tmp_path, max_concurrent_actions=10)
    async with AutomationEngine(config) as engine:
        blocked = await _longest_pause(engine, ["busy.block"], seconds)
        assert blocked >= seconds * 0.9, "the measurement does not see a blocked loop"
        await _run(engine, ["busy.compute"], 0.0)  # so that starting the processes is not part of it

        pauses = [
            await _longest_pause(engine, ["busy.sleep"] * 3 + ["busy.spin"] * 2 + ["busy.compute"] * 2, seconds)
            for _ in range(3)
        ]

    # The best of three: what else the machine does may hold up any one of them.
    assert min(pauses) < blocked / 2, pauses


async def _longest_pause(engine: AutomationEngine, operations: list[str], seconds: float) -> float:
    longest, before, going = 0.0, time.monotonic(), True

    async def tick() -> None:
        nonlocal longest, before
        while going:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            longest, before = max(longest, now - before), now

    ticking = asyncio.create_task(tick())
    try:
        result = await _run(engine, operations, seconds)
    finally:
        going = False
        await ticking
    assert result.status is WorkflowStatus.SUCCEEDED, result.error
    return longest


async def _run(engine: AutomationEngine, operations: list[str], seconds: float) -> ExecutionResult:
    actions = tuple(
        ActionDefinition(name=f"a{n}", action_type=operation, parameters={"seconds": seconds}, depends_on=())
        for n, operation in enumerate(operations)
    )
    await engine.register_workflow(WorkflowDefinition(name="busy", actions=actions))
    return await engine.execute_workflow("busy")
