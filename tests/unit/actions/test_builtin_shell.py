from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from automation.actions.builtin import shell as module
from automation.actions.builtin.shell import Run, run
from automation.actions.context import ActionContext
from automation.errors import DefinitionError, Refused
from automation.plugins import read_settings

PYTHON = [sys.executable, "-S", "-c"]


async def shell(command: list[str], **settings: object):
    return await run(Run(command=command, **settings), ActionContext())


def test_a_text_is_refused_with_a_hint() -> None:
    with pytest.raises(DefinitionError, match=r"command: must be a list of arguments.*\['sh', '-c', '\.\.\.'\]"):
        read_settings(Run, {"command": "rm -rf $DIR"})
    with pytest.raises(DefinitionError, match="command"):
        read_settings(Run, {"command": []})


async def test_arguments_are_not_interpreted() -> None:
    result = await shell(["echo", "$HOME; ls", "*"])

    assert result["stdout"] == "$HOME; ls *\n"
    assert result["exit_code"] == 0
    assert result["stderr"] == ""
    assert result["seconds"] >= 0


async def test_input_environment_and_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_ENGINE", "s3cret")
    script = "read line; echo $line $WHO $PWD; env"

    result = await shell(["sh", "-c", script], input="hello\n", environment={"WHO": "you"}, working_directory=tmp_path)

    assert result["stdout"].startswith(f"hello you {tmp_path}\n")
    assert "PATH=" in result["stdout"]
    assert "HOME=" in result["stdout"]
    assert "SECRET_OF_THE_ENGINE" not in result["stdout"]


async def test_input_that_is_not_read_does_no_harm() -> None:
    assert (await shell(["true"], input="x" * 1_000_000))["exit_code"] == 0
    assert (await shell(["cat"]))["stdout"] == ""


async def test_an_unexpected_exit_code_is_refused_with_what_was_said() -> None:
    with pytest.raises(Refused, match=r"'sh' exited with code 3; it said:\nno such table") as caught:
        await shell(["sh", "-c", "echo no such table >&2; exit 3", "a-secret"])
    assert caught.value.exit_code == 3
    assert "a-secret" not in caught.value.message

    assert (await shell(["sh", "-c", "exit 3"], expect_exit=[0, 3]))["exit_code"] == 3
    with pytest.raises(Refused, match=r"was killed by signal 9 \(SIGKILL\)"):
        await shell(["sh", "-c", "kill -9 $$"])


async def test_a_program_that_cannot_run_is_refused() -> None:
    with pytest.raises(Refused, match="cannot run 'no-such-program': No such file"):
        await shell(["no-such-program"])
    with pytest.raises(Refused, match="cannot run 'true' in /nowhere"):
        await shell(["true"], working_directory="/nowhere")
    with pytest.raises(Refused, match="null byte"):
        await shell(["echo", "\0"])


async def test_of_much_output_the_beginning_and_the_end_are_kept() -> None:
    program = "import sys; sys.stdout.write('a' * 500_000 + 'z' * 500_000); sys.stderr.write('short')"

    result = await shell([*PYTHON, program], max_output_bytes=1000)

    assert result["stdout"] == "a" * 500 + "\n[... 999000 bytes left out ...]\n" + "z" * 500
    assert result["stderr"] == "short"


async def test_output_that_is_not_text_is_kept_readable() -> None:
    assert (await shell(["printf", "\\377ok"]))["stdout"] == "\ufffdok"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def written(file: Path, lines: int) -> list[int]:
    for _ in range(2000):
        if file.exists() and len(file.read_text().split()) == lines:
            return [int(word) for word in file.read_text().split()]
        await asyncio.sleep(0.01)
    raise AssertionError(f"{file} was not written")


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_timeout_ends_the_whole_group(tmp_path: Path, stubborn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.3 if stubborn else 60.0)
    file = tmp_path / "pids"
    trap = "trap '' TERM; " if stubborn else ""
    script = f"{trap}echo $$ >> {file}; (echo $(exec sh -c 'echo $PPID') >> {file}; exec sleep 600) & wait"
    began = time.monotonic()
    task = asyncio.create_task(shell(["sh", "-c", script]))
    pids = await written(file, 2)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await task

    assert not any(alive(pid) for pid in pids)
    assert time.monotonic() - began < 30
    # Ended and reaped: it is no child of ours any more.
    with pytest.raises(ChildProcessError):
        os.waitpid(pids[0], os.WNOHANG)  # noqa: ASYNC222 - WNOHANG does not wait


async def test_what_was_left_in_the_background_ends_with_the_program(tmp_path: Path) -> None:
    file = tmp_path / "pids"

    await shell(["sh", "-c", f"sleep 600 > /dev/null 2>&1 & echo $! > {file}"])

    assert not any(alive(pid) for pid in await written(file, 1))


async def test_a_daemon_that_keeps_the_output_open_does_not_hold_the_action(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.3)
    file = tmp_path / "pids"
    program = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    open({str(file)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        "print('started')"
    )
    try:
        result = await shell([*PYTHON, program])
        assert result["stdout"] == "started\n"
    finally:
        (pid,) = await written(file, 1)
        os.kill(pid, signal.SIGKILL)


async def test_nothing_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await shell(["true"], input="x")
    with pytest.raises(Refused):
        await shell(["no-such-program"])

    assert len(os.listdir("/proc/self/fd")) <= before + 1
