"""`automation executions pause`, `resume`, `retry`, `rerun`, `fork`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from automation.cli.command import Session, command
from automation.cli.commands.execution_id import Id
from automation.cli.commands.run import Key

if TYPE_CHECKING:
    from automation.cli.control import Ask, Repetition

Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the journal and the audit chain.")]
Var = Annotated[
    list[str] | None,
    typer.Option(
        "--var",
        metavar="NAME=VALUE",
        help="A variable that is to be different: JSON, else text; for an input that is a string always text.",
        show_default=False,
    ),
]
Newest = Annotated[
    bool, typer.Option("--newest", help="By the version of the workflow in force now, not by the one it had.")
]


def add_to(executions: typer.Typer) -> None:
    """Add the commands to those of `automation executions`."""
    _same(executions)
    _anew(executions)


def _same(executions: typer.Typer) -> None:
    """What is asked of an execution itself."""

    @command(executions, "pause")
    async def pause(session: Session, execution_id: Id, reason: Reason = "") -> None:
        """Begin nothing further of an execution.

        What runs may end.
        """
        await _ask(session, "pause", execution_id, reason)

    @command(executions, "resume")
    async def resume(session: Session, execution_id: Id, reason: Reason = "") -> None:
        """Let a paused execution go on."""
        await _ask(session, "resume", execution_id, reason)

    @command(executions, "retry")
    async def retry(session: Session, execution_id: Id, reason: Reason = "") -> None:
        """Go on with an execution from what has failed.

        It failed, timed out or was cancelled. What was completed is not run again.
        """
        await _ask(session, "retry", execution_id, reason)


def _anew(executions: typer.Typer) -> None:
    """What another execution does again."""

    @command(executions, "rerun")
    async def rerun(
        session: Session,
        execution_id: Id,
        var: Var = None,
        newest: Newest = False,
        reason: Reason = "",
        key: Key = None,
    ) -> None:
        """Do an execution again from the beginning.

        A new execution does it, with the same event and variables but for those given.
        """
        from automation.cli.control import Repetition
        from automation.cli.ids import whole_id

        execution_id = await whole_id(session, execution_id)
        variables = await _variables(session, execution_id, var or [], newest)
        await _repeat(session, execution_id, Repetition(variables, newest, reason, key=key))

    @command(executions, "fork")
    async def fork(
        session: Session,
        execution_id: Id,
        action: Annotated[
            str, typer.Option("--from", metavar="ACTION", help="The first action to run again.", show_default=False)
        ],
        var: Var = None,
        newest: Newest = False,
        reason: Reason = "",
        key: Key = None,
    ) -> None:
        """Do an execution again from an action on.

        A new execution does it. What was completed before that action is taken over.
        """
        from automation.cli.control import Repetition
        from automation.cli.ids import whole_id

        execution_id = await whole_id(session, execution_id)
        variables = await _variables(session, execution_id, var or [], newest)
        await _repeat(session, execution_id, Repetition(variables, newest, reason, action, key))


_DONE = {"pause": "asked to pause", "resume": "resumed", "retry": "retried"}


async def _ask(session: Session, act: Ask, execution_id: str, reason: str) -> None:
    from automation.cli.client import connect
    from automation.cli.commands.executions import print_answer
    from automation.cli.ids import whole_id

    execution_id = await whole_id(session, execution_id)
    async with connect(session) as client:
        print_answer(session, _DONE[act], await client.control.ask(act, execution_id, reason))


async def _variables(session: Session, execution_id: str, pairs: list[str], newest: bool) -> dict[str, Any]:
    """Variables for a new execution of the same workflow."""
    from automation.cli.client import connect
    from automation.cli.variables import Inputs, as_declared, variables_of

    async def declared() -> Inputs | None:
        # On a connection of its own: one that has read does not act any more.
        async with connect(session) as client:
            former = (await client.execution(execution_id))["execution"]
            name, version = former["workflow"], former["definition_id"]
            found = await (client.workflow(name) if newest else client.versions(name, version))
            inputs: Inputs | None = found["definition"].get("inputs")
            return inputs

    return await as_declared(variables_of(pairs, []), pairs, declared)


async def _repeat(session: Session, execution_id: str, how: Repetition) -> None:
    from automation.cli.client import connect

    async with connect(session) as client:
        answer = await client.control.repeat(execution_id, how)
    if session.out.as_json:
        session.out.document(answer)
        return
    status = f" is {answer['status']} now" if "status" in answer else ""
    session.out.line(f"started {answer['execution_id']}{status}")
