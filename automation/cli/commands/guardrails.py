"""`automation guardrails`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from automation.cli.command import Session, command

if TYPE_CHECKING:
    from automation.cli.client import Document

Reason = Annotated[str, typer.Option("--reason", help="Why; who is refused reads it, and the audit chain keeps it.")]
Name = Annotated[str, typer.Argument(help="The freeze window's name.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    guardrails = typer.Typer(help="What holds actions back: status, stop, release, freeze, thaw.", no_args_is_help=True)
    app.add_typer(guardrails, name="guardrails")
    command(guardrails, "status")(status)
    command(guardrails, "stop")(stop)
    command(guardrails, "release")(release)
    command(guardrails, "freeze")(freeze)
    command(guardrails, "thaw")(thaw)


async def status(session: Session) -> None:
    """Show what holds actions back, and which wait for it."""
    from automation.cli.client import connect

    async with connect(session) as client:
        found = await client.guardrails.status()
    _print(session, found)


async def stop(session: Session, reason: Reason = "") -> None:
    """Let nothing begin any more that changes anything.

    What runs goes on to its end. Without a server it is written to the database, where a running engine sees it
    within a second.
    """
    from automation.cli.client import connect

    async with connect(session) as client:
        found = await client.guardrails.stop(reason)
    _print(session, found)


async def release(session: Session, reason: Reason = "") -> None:
    """Lift the stop; what waited for that goes on."""
    from automation.cli.client import connect

    async with connect(session) as client:
        found = await client.guardrails.release(reason)
    _print(session, found)


async def freeze(
    session: Session,
    name: Name,
    starts_at: Annotated[
        str | None, typer.Option("--from", help="Its begin, such as 2026-12-04T22:00:00Z; now by default.")
    ] = None,
    ends_at: Annotated[str | None, typer.Option("--until", help="Its end.", show_default=False)] = None,
    cron: Annotated[
        str | None, typer.Option(help="Instead: when it begins each time, five fields.", show_default=False)
    ] = None,
    timezone: Annotated[str, typer.Option(help="The time zone of --cron.")] = "UTC",
    duration: Annotated[
        float | None, typer.Option(help="With --cron: how many seconds it lasts.", show_default=False)
    ] = None,
    service: Annotated[
        list[str] | None, typer.Option(help="Only for actions on this; * stands for any text.", show_default=False)
    ] = None,
    workflow: Annotated[
        list[str] | None, typer.Option(help="Only for this workflow; * stands for any text.", show_default=False)
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Only where this label is: name=value.", show_default=False)
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Let actions wait for its end, and not be refused.")] = False,
    spare_critical: Annotated[
        bool, typer.Option("--spare-critical", help="Let workflows of critical priority go on.")
    ] = False,
    reason: Reason = "",
) -> None:
    """Put in force a time in which nothing is changed."""
    from automation.cli.client import connect
    from automation.errors import InputError
    from automation.model.guardrail import FreezeWindow
    from automation.plugins import read_settings

    begin = _moment("--from", starts_at) or (None if cron else _now())
    end = _moment("--until", ends_at)
    if begin and end and end <= begin:
        raise InputError(f"--until: {ends_at!r} is not after {'--from' if starts_at else 'now'}")
    given = {
        "name": name,
        "reason": reason,
        "starts_at": begin,
        "ends_at": end,
        "cron": cron,
        "timezone": timezone,
        "duration_seconds": duration,
        "services": service or [],
        "workflows": workflow or [],
        "labels": _labels(label or []),
        "on_freeze": "wait" if wait else "refuse",
        "spares_critical": spare_critical,
    }
    window = read_settings(FreezeWindow, given)
    assert isinstance(window, FreezeWindow)
    async with connect(session) as client:
        found = await client.guardrails.freeze(window)
    _print(session, found)


async def thaw(session: Session, name: Name) -> None:
    """Take back a freeze window that was set by hand."""
    from automation.cli.client import connect

    async with connect(session) as client:
        found = await client.guardrails.thaw(name)
    _print(session, found)


def _now() -> str:
    from automation.clock import RealClock, iso

    return iso(RealClock().now())


def _moment(option: str, text: str | None) -> str | None:
    """The time that an option names, as all times are written; raises InputError."""
    from automation.clock import iso, parse_iso
    from automation.errors import InputError

    if text is None:
        return None
    try:
        return iso(parse_iso(text))
    except ValueError:
        raise InputError(f"{option}: {text!r} is not a time such as 2026-12-04T22:00:00Z") from None


def _labels(given: list[str]) -> dict[str, str]:
    from automation.errors import InputError

    labels = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InputError(f"--label: {text!r} is not of the form name=value")
        labels[name] = value
    return labels


def _print(session: Session, found: Document) -> None:
    from automation.cli.output import moment

    out = session.out
    if out.as_json:
        out.document(found)
        return
    stop = found["stop"]
    if stop:
        out.line(f"STOPPED by {stop['actor']} since {moment(stop['since'])}: {stop['reason'] or 'no reason was given'}")
    else:
        out.line("nothing is stopped")
    for columns, rows in (
        (("freeze", "state", "until or from", "actions", "by", "why"), map(_freeze, found["freezes"])),
        (("operation", "target", "circuit", "tried again", "why"), map(_circuit, found["breakers"])),
        (("id", "workflow", "waiting action", "guardrail", "until"), map(_held, found["held"])),
    ):
        cells = list(rows)
        if cells:
            out.line()
            out.table(columns, cells)


def _freeze(view: Document) -> tuple[str, ...]:
    from automation.cli.output import moment

    window = view["window"]
    state = "in force" if view["until"] else "later" if view["begins_at"] else "over"
    when = moment(view["until"] or view["begins_at"])
    wanted = "wait" if window["on_freeze"] == "wait" else "are refused"
    return window["name"], state, when, wanted, view["origin"], window["reason"] or "-"


def _circuit(circuit: Document) -> tuple[str, ...]:
    from automation.cli.output import moment

    return circuit["operation"], circuit["target"], circuit["state"], moment(circuit["until"]), circuit["error"]


def _held(act: Document) -> tuple[str, ...]:
    from automation.cli.output import moment

    return act["execution_id"], act["workflow"], act["action"], act["guardrail"], moment(act["until"])
