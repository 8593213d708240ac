"""`automation services`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from automation.cli.command import Session, command

if TYPE_CHECKING:
    from automation.cli.client import Document

COLUMNS = ("name", "platform", "alive", "bounds", "where", "trouble")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    services = typer.Typer(help="Services and their replicas.", no_args_is_help=True)
    app.add_typer(services, name="services")
    command(services, "list")(list_services)


async def list_services(session: Session) -> None:
    """List the services with what runs of them."""
    from automation.cli.inventory import show

    await show(session, "services", COLUMNS, _row)


def _row(view: Document) -> tuple[object, ...]:
    service, alive = view["definition"], [replica for replica in view["replicas"] if replica["alive"]]
    dead = [f"{replica['id']} {replica['reason']}" for replica in view["replicas"] if not replica["alive"]]
    where = "\n".join(replica["address"] or f"pid {replica['pid']}" for replica in alive)
    bounds = f"{service['min_replicas']} to {service['max_replicas']}"
    trouble = view["error"] or "; ".join(dead)
    return service["name"], service["platform"], len(alive), bounds, where or "-", trouble or "-"
