"""`automation services`."""

from __future__ import annotations

import typer

from automation.cli.command import Session, command


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    services = typer.Typer(help="Services and their replicas.", no_args_is_help=True)
    app.add_typer(services, name="services")

    @command(services, "list")
    async def list_(session: Session) -> None:
        """List the services with what runs of them."""
        from automation.cli.client import connect

        async with connect(session) as client:
            found = await client.inventory("services")
        if session.out.as_json:
            session.out.document(found)
            return
        rows = []
        for view in found["items"]:
            service, alive = view["definition"], [replica for replica in view["replicas"] if replica["alive"]]
            dead = [f"{replica['id']} {replica['reason']}" for replica in view["replicas"] if not replica["alive"]]
            where = "\n".join(replica["address"] or f"pid {replica['pid']}" for replica in alive)
            bounds = f"{service['min_replicas']} to {service['max_replicas']}"
            trouble = view["error"] or "; ".join(dead)
            rows.append((service["name"], service["platform"], len(alive), bounds, where or "-", trouble or "-"))
        columns = ("name", "platform", "alive", "bounds", "where", "trouble")
        session.out.table(columns, rows, empty="there are no services")
