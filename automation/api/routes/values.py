"""Large values of executions: what stands behind a reference."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from automation.api.access import engine_of
from automation.api.routes.executions import Id, Viewer

router = APIRouter(prefix="/api/v1/executions", tags=["executions"])

Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="What stands behind `sha256:` in the reference.")]


@router.get(
    "/{execution_id}/values/{digest}",
    responses={200: {"description": "The value", "content": {"application/json": {"schema": {}}}}},
)
async def get_value(request: Request, execution_id: Id, digest: Digest, caller: Viewer) -> Response:
    """A large value of an execution: the JSON for which a reference `{"$ref": "sha256:…", "size": …}` stands."""
    text = await engine_of(request).queries.large_value(execution_id, digest)
    headers = {"Cache-Control": "private, max-age=3600, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(text, media_type="application/json", headers=headers)
