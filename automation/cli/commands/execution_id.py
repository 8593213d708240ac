"""The argument that names an execution."""

from __future__ import annotations

from typing import Annotated

import typer

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The execution's id, or a beginning or end of it that no other has.", show_default=False
    ),
]
