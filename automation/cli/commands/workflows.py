"""`automation workflows`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from automation.cli.command import Session, command
from automation.cli.commands import backtests

if TYPE_CHECKING:
    from automation.cli.client import Document


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    workflows = typer.Typer(help="Workflows: list, show, and their versions.", no_args_is_help=True)
    app.add_typer(workflows, name="workflows")

    @command(workflows, "list")
    async def list_(session: Session) -> None:
        """List the workflows, alerts with actions among them."""
        from automation.cli.client import connect

        async with connect(session) as client:
            found = await client.workflows()
        if session.out.as_json:
            session.out.document(found)
            return
        rows = [
            (
                item["name"],
                ", ".join(_trigger(trigger) for trigger in item["triggers"])
                or ", ".join(item["conditions"])
                or "by hand",
                ", ".join(item["actions"]),
                item["priority"],
                item["enabled"],
                item["description"],
            )
            for item in found["items"]
        ]
        columns = ("name", "started by", "actions", "priority", "enabled", "description")
        session.out.table(columns, rows, empty="there are no workflows")

    @command(workflows, "show")
    async def show(
        session: Session,
        name: Annotated[str, typer.Argument(help="The workflow's name.", show_default=False)],
    ) -> None:
        """Show a workflow and the order of its actions."""
        from automation.cli.client import connect

        async with connect(session) as client:
            workflow = await client.workflow(name)
        if session.out.as_json:
            session.out.document(workflow)
            return
        import yaml

        session.out.line(yaml.safe_dump(_pruned(workflow["definition"]), sort_keys=False, allow_unicode=True).rstrip())
        session.out.line()
        rows = [
            (place, action, workflow["operations"][action], workflow["effects"][action])
            for place, layer in enumerate(workflow["layers"], 1)
            for action in layer
        ]
        session.out.table(("step", "action", "operation", "effect"), rows)

    _add_versions(workflows)
    _add_switches(workflows)
    backtests.add_to(workflows)


def _add_versions(workflows: typer.Typer) -> None:
    @command(workflows, "versions")
    async def versions(
        session: Session,
        name: Annotated[str, typer.Argument(help="The workflow's name.", show_default=False)],
        version: Annotated[
            str | None, typer.Argument(help="Show this one: the beginning of its id is enough.", show_default=False)
        ] = None,
    ) -> None:
        """List the versions of a workflow, or show one.

        An execution keeps the version with which it was started; `executions show` names it.
        """
        from automation.cli.client import connect
        from automation.cli.output import moment

        async with connect(session) as client:
            found = await client.versions(name, version)
        if session.out.as_json:
            session.out.document(found)
        elif version is None:
            rows = [(item["id"], moment(item["created_at"]), item["in_force"]) for item in found["items"]]
            session.out.table(("id", "registered", "in force"), rows)
        else:
            import yaml

            session.out.line(yaml.safe_dump(found["definition"], sort_keys=False, allow_unicode=True).rstrip())


Workflow = Annotated[str, typer.Argument(metavar="NAME", help="The workflow's name.", show_default=False)]
Place = Annotated[
    int | None,
    typer.Option("--trigger", metavar="N", min=0, help="Only this trigger: its place, from 0.", show_default=False),
]


def _add_switches(workflows: typer.Typer) -> None:
    @command(workflows, "triggers")
    async def triggers(session: Session, name: Workflow) -> None:
        """List a workflow's triggers and what they remember."""
        from automation.cli.client import connect

        async with connect(session) as client:
            _print_triggers(session, await client.triggers.list(name))

    @command(workflows, "disable")
    async def disable(
        session: Session,
        name: Workflow,
        trigger: Place = None,
        reason: Annotated[str, typer.Option(help="Why; it is kept and audited.")] = "",
    ) -> None:
        """Let triggers start a workflow no more.

        All of them, or one. People still can. It outlives restarts and new versions; `enable` takes it back.
        """
        from automation.cli.client import connect

        async with connect(session) as client:
            _print_triggers(session, await client.triggers.switch(name, trigger, reason, on=False))

    @command(workflows, "enable")
    async def enable(
        session: Session,
        name: Workflow,
        trigger: Place = None,
        reason: Annotated[str, typer.Option(help="Why; it is audited.")] = "",
    ) -> None:
        """Let triggers start a workflow again.

        Those that were disabled by hand.
        """
        from automation.cli.client import connect

        async with connect(session) as client:
            _print_triggers(session, await client.triggers.switch(name, trigger, reason, on=True))


def _print_triggers(session: Session, found: Document) -> None:
    from automation.cli.output import moment

    if session.out.as_json:
        session.out.document(found)
        return
    if not found["enabled"]:
        session.out.line(f"{found['workflow']} is disabled: {found['reason']}")
    rows = [
        (
            item["index"],
            item["type"],
            item["enabled"],
            item["open_keys"],
            moment(item["next_due_at"]) if item["next_due_at"] is not None else "-",
            item["reason"],
        )
        for item in found["items"]
    ]
    columns = ("trigger", "type", "enabled", "open keys", "next due", "reason")
    session.out.table(columns, rows, empty="it has no triggers")


def _pruned(value: Any) -> Any:
    """Without what is empty or off, as people write it."""
    if isinstance(value, dict):
        pruned = {key: _pruned(item) for key, item in value.items()}
        return {key: item for key, item in pruned.items() if item not in (None, "", [], {}) and item is not False}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def _trigger(trigger: dict[str, object]) -> str:
    kind = str(trigger["type"])
    about = next((str(trigger[key]) for key in ("event", "alert", "webhook", "cron", "metric") if trigger.get(key)), "")
    return f"{kind} {about}".rstrip()
