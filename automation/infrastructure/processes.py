"""Processes of the operating system that outlive the engine: started, recognised, ended, and reaped.

All but `uninterrupted` block for a moment: call them in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from automation.errors import ActionError, Refused, TryLater

T = TypeVar("T")

_FIRST_NAMESPACE = f"pid:[{0xEFFFFFFC}]"
"""That of all that is in no container: PROC_PID_INIT_INO of Linux."""
MARK = "REPLICA_ID"
"""The environment variable by which a replica and all that it started are found again."""
_TICKS = os.sysconf("SC_CLK_TCK") if sys.platform == "linux" else 1
KILL_ROUNDS = 20
"""How often killing is tried, with half a second after each: what forks meanwhile is found in the next."""


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end even when this task is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        # Reading the outcome here keeps asyncio from reporting an error that nobody looked at.
        if not task.cancelled():
            task.exception()
        raise cancelled
    return task.result()


def base_environment() -> dict[str, str]:
    """What a started program is given of the engine's own environment: where programs and files are, and the language.

    Not the rest of it, which holds the engine's secrets.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }


def spawn(arguments: Sequence[str], environment: Mapping[str, str], directory: Path | None, log: Path) -> int:
    """Start a program in a session of its own, its output appended to `log`; returns its pid. Raises OSError."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
        )
    # It is meant to outlive this object, and `is_alive` reaps it: Popen would warn that it still runs.
    process.returncode = 0
    return process.pid


def cannot_run(program: str, directory: Path | None, error: OSError | ValueError) -> ActionError:
    """Why a program could not be started, as TryLater if the machine lacked something that may come back."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    text = f"cannot run {program!r}" + (f" in {directory}" if directory else "") + f": {reason}"
    lacking = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC}
    return TryLater(text) if getattr(error, "errno", None) in lacking else Refused(text)


def birth(pid: int) -> str | None:
    """What tells a process from a later one with the same pid; None where there is none."""
    seen = _look(pid)
    return seen[0] if seen else None


def machine() -> str:
    """Where processes know one another by their pids: the machine's name and, in a container, which one it is.

    Containers may share the machine's name, and their pids mean nothing outside of them: pid_namespaces(7).
    """
    name = socket.gethostname()
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return name
    return name if namespace == _FIRST_NAMESPACE else f"{name} {namespace}"


def began(pid: int) -> float | None:
    """When a living process began, in seconds; None where none lives. Only to be compared, on one machine, with another
    result of this: on Linux they are counted from the machine's start, so that setting its clock does not move them."""
    seen = _look(pid)
    return None if seen is None or seen[1] else float(seen[0].rpartition(":")[2]) / _TICKS


def is_alive(pid: int, born: str) -> tuple[bool, str]:
    """Whether the process of that pid and birth runs; if not, why, as far as known. A zombie child is reaped."""
    seen = _look(pid)
    if seen is None:
        return False, "the process is gone"
    if seen[0] != born:
        return False, "the process is gone; its pid belongs to another one now"
    if seen[1]:
        return False, _reap(pid)
    return True, ""


def terminate(pid: int, born: str) -> None:
    """Ask the process to end (SIGTERM), if it is still that one."""
    if is_alive(pid, born)[0]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def kill_family(mark: str, pid: int | None, born: str | None) -> None:
    """Kill (SIGKILL) the process and all that carry its mark, and wait until they have ended, for 10 s at most."""
    import psutil

    for _ in range(KILL_ROUNDS):
        family = {process.pid for process in marked(mark)}
        if pid is not None and born is not None and is_alive(pid, born)[0]:
            family.add(pid)
        if not family:
            return
        for member in family:
            with contextlib.suppress(psutil.Error):
                psutil.Process(member).kill()
        # Not psutil's wait: it waits for zombies as well, which their parent may leave lying for a while.
        for _ in range(100):
            if not any(_runs(member) for member in family):
                break
            time.sleep(0.005)


def _runs(pid: int) -> bool:
    seen = _look(pid)
    if seen is not None and seen[1]:
        _reap(pid)
        return False
    return seen is not None


def marked(mark: str) -> list[Any]:
    """The processes (psutil.Process) whose environment carries this mark."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def group_lives(group: int) -> bool:
    """Whether a process group has a member that is not just a zombie, which its parent may leave lying for a while."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def used_by_trees(roots: Mapping[str, int]) -> dict[str, tuple[float, int]]:
    """Processor seconds and resident bytes of each named process with all below it; ended ones are left out."""
    import psutil

    below: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter(["ppid"]):
        below.setdefault(process.info["ppid"], []).append(process)
    used = {}
    for name, pid in roots.items():
        try:
            waiting = [psutil.Process(pid)]
        except psutil.Error:
            continue
        cpu, memory = 0.0, 0
        while waiting:
            process = waiting.pop()
            waiting += below.get(process.pid, [])
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                # What ended children used is in their parent's figures, so that the sum does not go back.
                cpu += times.user + times.system + times.children_user + times.children_system
                memory += process.memory_info().rss
        used[name] = (cpu, memory)
    return used


def _look(pid: int) -> tuple[str, bool] | None:
    # (birth, whether it is a zombie). psutil's create_time moves when the machine's clock is set, which would make
    # every running replica look dead; the kernel's own count of ticks since boot does not.
    if sys.platform == "linux":
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = text.rpartition(")")[2].split()
        return f"{_boot()}:{fields[19]}", fields[0] in "ZX"
    import psutil

    try:
        process = psutil.Process(pid)
        return f"{process.create_time():.3f}", process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _reap(pid: int) -> str:
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return "the process has ended"
    return describe_exit(os.waitstatus_to_exitcode(status)) if found else "the process has ended"


def describe_exit(code: int) -> str:
    """An exit code in words; a negative one is a signal, as in `subprocess`."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"was killed by signal {-code}"
