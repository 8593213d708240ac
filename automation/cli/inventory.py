"""Lists of what is defined, with how each of it is doing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from automation.cli.client import Document, Inventory, connect
from automation.cli.command import Session


async def show(
    session: Session, kind: Inventory, columns: Sequence[str], row: Callable[[Document], tuple[object, ...]]
) -> None:
    """All of a kind: as JSON where that is asked for, else a table with a row of each."""
    async with connect(session) as client:
        found = await client.inventory(kind)
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.table(columns, [row(view) for view in found["items"]], empty=f"there are no {kind}")
