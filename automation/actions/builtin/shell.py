"""`shell.run`: a program of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from automation.actions.context import ActionContext
from automation.errors import Refused
from automation.infrastructure.processes import base_environment, cannot_run, describe_exit, group_lives, uninterrupted
from automation.plugins import action

GRACE_SECONDS = 2.0
"""How long what is stopped has between SIGTERM and SIGKILL, and how long output is awaited after the program's end."""

KILL_SECONDS = 5.0
"""How long what was killed is waited for: only one that the kernel holds (a dead network file system) takes longer."""


def _list_of_arguments(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(
            "must be a list of arguments, such as ['systemctl', 'reload', 'nginx']: the program is started without a "
            "shell. Where a shell is meant, say so: ['sh', '-c', '...']"
        )
    return value


class Run(BaseModel):
    """Which program to run, and what counts as success."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    command: Annotated[list[str], BeforeValidator(_list_of_arguments), Field(min_length=1)]
    """Program and arguments; nothing in them is interpreted."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables beside PATH, HOME and LANG. The place for secrets: arguments are visible to other users."""
    working_directory: Path | None = None
    input: str | None = None
    """What the program reads; nothing by default."""
    expect_exit: Annotated[list[int], Field(min_length=1)] = [0]
    """The exit codes that count as success."""
    max_output_bytes: Annotated[int, Field(ge=0, le=16_777_216)] = 65_536
    """How much of each of stdout and stderr is kept: the beginning and the end."""


# "standard" and not "critical": what a program does is for whoever writes the definition to judge, and a definition can
# raise the effect; were it critical by itself, no runbook could run a script without a person at hand.
@action("shell.run", idempotent=False, effect="standard")
async def run(params: Run, context: ActionContext) -> dict[str, Any]:
    """Run a program to its end, by a list of arguments and without a shell.

    It has a session of its own; when it has ended, and when the action is cancelled or times out, what is left of its
    process group is ended too (SIGTERM, SIGKILL after 2 s). With `heartbeat_timeout_seconds`, all that it writes counts
    as a heartbeat. Returns `exit_code`, `stdout`, `stderr` and `seconds`.
    Raises Refused for another exit code than expected (a program that failed is not run again unless the retry policy
    names `Refused`), and for a program that cannot be run.
    """
    began = context.clock.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        stdin: IO[bytes] | int = asyncio.subprocess.DEVNULL
        if params.input is not None:
            stdin = stack.enter_context(await asyncio.to_thread(_input_file, params.input))
        stdout = await stack.enter_async_context(_pipe(params.max_output_bytes))
        stderr = await stack.enter_async_context(_pipe(params.max_output_bytes))
        try:
            process = await asyncio.create_subprocess_exec(
                *params.command,
                stdin=stdin,
                stdout=stdout.write_end,
                stderr=stderr.write_end,
                cwd=params.working_directory,
                env={**base_environment(), **params.environment},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            # Of the command only the program: an argument may be a secret.
            raise cannot_run(params.command[0], params.working_directory, error) from None
        if context.heartbeat_timeout_seconds is not None:
            stdout.heard = stderr.heard = context.heartbeat
        stdout.close_write_end()
        stderr.close_write_end()
        try:
            exit_code = await process.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE_SECONDS):
                    await stdout.ended.wait()
                    await stderr.ended.wait()
        finally:
            await uninterrupted(_end_group(process))
    result: dict[str, Any] = {
        "exit_code": exit_code,
        "stdout": stdout.text(),
        "stderr": stderr.text(),
        "seconds": round(context.clock.monotonic() - began, 3),
    }
    if exit_code not in params.expect_exit:
        said = (result["stderr"] or result["stdout"]).strip()[-1000:]
        text = f"{params.command[0]!r} {describe_exit(exit_code)}"
        raise Refused(f"{text}; it said:\n{said}" if said else text, exit_code=exit_code)
    return result


def _input_file(text: str) -> IO[bytes]:
    # A file and not a pipe: a program that does not read it cannot block us.
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(text.encode())
    file.seek(0)
    return file


async def _end_group(process: asyncio.subprocess.Process) -> None:
    """End what is left of the process group, which the program itself led.

    While the group has members its number is taken; once it has none, the kernel is not soon to give it out again.
    """
    if _signal_group(process.pid, signal.SIGTERM):
        await _gone(process.pid, GRACE_SECONDS)
        # What is killed is not gone at once: the kernel takes it down when its turn comes.
        if _signal_group(process.pid, signal.SIGKILL):
            await _gone(process.pid, KILL_SECONDS)
    await process.wait()


async def _gone(group: int, seconds: float) -> None:
    """Return when nothing of the group lives any more, or after so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            # That a process of another parent ends is no event.
            while await asyncio.to_thread(group_lives, group):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class _Output(asyncio.Protocol):
    """The beginning and the end of what is written into a pipe."""

    def __init__(self, limit: int, write_end: int) -> None:
        self.ended = asyncio.Event()
        self.heard: Callable[[], None] | None = None
        """Called when something is written."""
        self.write_end = write_end
        self._open = True
        self._limit = limit
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def close_write_end(self) -> None:
        """Close our copy of the writing end, so that the pipe ends with the last program that has it."""
        if self._open:
            self._open = False
            os.close(self.write_end)

    def data_received(self, data: bytes) -> None:
        if self.heard is not None:
            self.heard()
        room = self._limit - self._limit // 2 - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        excess = len(self._tail) - self._limit // 2
        if excess > 0:
            del self._tail[:excess]
            self._left_out += excess

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()

    def text(self) -> str:
        """What was kept, with a mark where something was left out."""
        mark = f"\n[... {self._left_out} bytes left out ...]\n".encode() if self._left_out else b""
        return bytes(self._head + mark + self._tail).decode("utf-8", errors="replace")


@asynccontextmanager
async def _pipe(limit: int) -> AsyncIterator[_Output]:
    # Our own pipes, and not asyncio's: a program that left its session may hold one open for ever, and this one can
    # be closed all the same.
    read_end, write_end = os.pipe()
    output = _Output(limit, write_end)
    with os.fdopen(read_end, "rb", 0) as pipe:
        try:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: output, pipe)
            try:
                yield output
            finally:
                transport.close()
                await output.ended.wait()
        finally:
            output.close_write_end()
