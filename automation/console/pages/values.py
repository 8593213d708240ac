"""Large values of executions, as files: what an execution's page shows the size of only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import engine_of
from automation.console.desk import HEADERS
from automation.console.gate import PageRoute
from automation.console.pages.executions import Viewer

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/executions/{execution_id}/values/{digest}")
async def download(
    request: Request, execution_id: str, digest: Annotated[str, Path(max_length=64)], caller: Viewer
) -> Response:
    """A large value of an execution, as a file of JSON."""
    text = await engine_of(request).queries.large_value(execution_id, digest)
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{digest[:12]}.json"'}
    return Response(text, media_type="application/json", headers=headers)
