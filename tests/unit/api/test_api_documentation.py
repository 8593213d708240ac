"""The OpenAPI document, the page that shows it, and the reference in docs/."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from automation import AutomationConfig, AutomationEngine, __version__
from automation.api import reference
from automation.api.app import create_app
from automation.api.routes import docs as docs_routes

from .conftest import Face

STATIC = docs_routes._STATIC


def document() -> dict[str, Any]:
    return create_app(AutomationEngine(AutomationConfig())).openapi()


def operations(found: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, item) for path, methods in found["paths"].items() for method, item in methods.items()]


def test_every_route_is_documented() -> None:
    """Given the document, then each operation says what it does, takes, gives, and who may."""
    found = document()
    assert found["info"]["version"] == __version__
    assert found["security"] == [{"bearer": []}]
    assert found["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    tags = {tag["name"] for tag in found["tags"]}
    ids = [item["operationId"] for _, _, item in operations(found)]
    assert len(set(ids)) == len(ids)
    for path, method, item in operations(found):
        place = f"{method} {path}"
        assert item["summary"], place
        assert item["tags"], place
        assert set(item["tags"]) <= tags, place
        assert "Needs `" in item["description"] or "For any" in item["description"], place
        assert item["responses"]["default"]["content"].keys() == {"application/problem+json"}
        assert "422" not in item["responses"], place
        good = [status for status in item["responses"] if status.startswith("2")]
        assert good, place
        if method == "post" and not path.endswith(("/revoke", "/acknowledge")):
            assert item["requestBody"]["content"], place
        open_to_all = item.get("security") == []
        assert open_to_all == (path in ("/metrics", "/webhooks/test") or path.endswith(("z", "healthy", "ready")))


def test_every_reference_leads_somewhere() -> None:
    found = document()
    known = found["components"]["schemas"]
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(found)))
    assert named <= known.keys()
    assert {"WorkflowDefinition", "Execution", "Alert", "AlertRule", "Event", "ProblemDetails"} <= named
    assert "HTTPValidationError" not in known


def test_both_ways_to_publish_and_read_events_are_there() -> None:
    assert document()["paths"]["/api/v1/events"].keys() == {"get", "post"}


def test_the_reference_page_is_up_to_date() -> None:
    """Run `python -m automation.api.reference` if this fails."""
    page = reference.PAGE.read_text(encoding="utf-8")
    assert reference.filled(page, create_app(AutomationEngine(AutomationConfig()))) == page
    assert "| POST | `/api/v1/workflows/{name}/executions` | `workflows:execute` |" in page


def test_vendored_files_are_as_they_came() -> None:
    """Given the manifest, then it lists all vendored files, with their hashes, versions and licences."""
    manifest = json.loads((STATIC / "manifest.json").read_text())
    for package in manifest["packages"]:
        assert package.keys() == {"name", "version", "licence", "origin", "folder", "files"}
        folder = STATIC / package["folder"]
        assert {file.name for file in folder.iterdir()} == package["files"].keys()
        assert "LICENSE" in package["files"]
        for name, told in package["files"].items():
            content = (folder / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == told["sha256"], name
            assert len(content) == told["bytes"]


def test_the_page_has_no_inline_script_and_no_foreign_address() -> None:
    page = (STATIC / "docs.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"\son\w+=|style=|https?://", page)
    assert "http" not in (STATIC / "docs.js").read_text()


async def test_the_page_and_its_files_are_served(face: Face, admin: Any) -> None:
    page = await admin.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        response = await admin.get(path)
        assert response.status_code == 200, path
        assert response.headers["content-type"].partition(";")[0] in (
            "text/javascript",
            "text/css",
            "image/png",
            "application/json",
        )
    for path in ("/docs/manifest.json", "/docs/..%2fmanifest.json", "/docs/LICENSE", "/docs/docs.html"):
        assert (await admin.get(path)).status_code == 404
