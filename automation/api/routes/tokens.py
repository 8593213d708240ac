"""Tokens: who may call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.operations import gives, takes
from automation.api.reading import read_model
from automation.api.render import Json
from automation.model.base import Definition
from automation.model.identity import Identity
from automation.security.tokens import TokenInfo

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"])

Admin = Annotated[Identity, Depends(needs("system:admin"))]


@dataclass(frozen=True, slots=True)
class TokenList:
    """All tokens, oldest first; never their texts."""

    items: tuple[TokenInfo, ...]


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token: its text is shown this one time."""

    token: str
    info: TokenInfo


class TokenRequest(Definition):
    """For whom a token is, and what it may do."""

    name: str
    """Who will use it; audit rows show it."""
    roles: Annotated[tuple[str, ...], Field(min_length=1)]
    expires_in: Annotated[float, Field(gt=0)] | None = None
    """After how many seconds it ends; by default never."""


@router.get("", responses=gives(TokenList))
async def list_tokens(request: Request, caller: Admin) -> Response:
    """All tokens, revoked and expired ones too."""
    return Json(TokenList(await engine_of(request).tokens.list()))


@router.post(
    "",
    status_code=201,
    responses=gives(Issued, "Issued", 201),
    openapi_extra=takes(TokenRequest, {"name": "alertmanager", "roles": ["automation_source"]}),
)
async def issue_token(request: Request, caller: Admin) -> Response:
    """Issue a token; it is shown this one time."""
    tokens = engine_of(request).tokens
    order = await read_model(request, TokenRequest)
    text = await tokens.issue(order.name, order.roles, expires_in=order.expires_in, actor=caller.name)
    info = next(known for known in reversed(await tokens.list()) if known.name == order.name)
    return Json(Issued(text, info), 201)


@router.post("/{token_id}/revoke", responses=gives(TokenInfo))
async def revoke_token(request: Request, token_id: str, caller: Admin) -> Response:
    """End a token, and the sessions that were opened with it."""
    return Json(await engine_of(request).tokens.revoke(token_id, caller.name))
