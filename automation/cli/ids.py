"""Executions by a part of their ids that names only one: the beginning, or the end, which differs sooner."""

from __future__ import annotations

import re

from automation.cli.client import Document, Slice, connect
from automation.cli.command import Session
from automation.cli.output import moment
from automation.errors import InputError

_PART = re.compile(r"[0-9a-f-]{4,35}")
"""Ids have 36 characters."""
MOST_NAMED = 5
"""How many of those that fit are named, at most."""


async def whole_id(session: Session, text: str) -> str:
    """The id of the only execution of which this is the beginning or the end.

    What is whole, or fits none, stays as it is. Raises InputError that names those that fit.
    """
    if not _PART.fullmatch(text):
        return text
    # On a connection of its own: one that has read does not act any more.
    async with connect(session) as client:
        page = await client.executions(None, None, Slice(MOST_NAMED + 1), id=text)
    found = page["items"]
    if len(found) == 1:
        return str(found[0]["id"])
    if not found:
        return text
    raise InputError(
        f"several executions have an id that begins or ends with {text!r}: give more of it", hint=_named(found)
    )


def _named(found: list[Document]) -> str:
    shown = [f"{each['id']} ({each['workflow']}, {moment(each['created_at'])})" for each in found[:MOST_NAMED]]
    return ", ".join(shown) + (", and more" if len(found) > MOST_NAMED else "")
