"""``/docs``: the page that shows every endpoint, whole without network. It runs scripts of this service only.

Swagger UI comes from the package fastapi-offline, of which nothing but its files is used.
Neighbours: ``app`` adds it in development; ``web.gate`` has the policy.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Route

PAGE = "/docs"
_KINDS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#page", deepLinking: true, presets: [SwaggerUIBundle.presets.apis],
});
"""
_HTML = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>finetune30</title>
<link rel="icon" href="/docs/favicon.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""


def routes() -> list[BaseRoute]:
    """The page and what it loads; nothing where the package is not installed."""
    found = find_spec("fastapi_offline")
    if found is None or not found.submodule_search_locations:
        return []
    folder = Path(found.submodule_search_locations[0]) / "static"
    files = [_file(name, folder / name, kind) for name, kind in _KINDS.items()]
    return [Route(PAGE, _page), Route(f"{PAGE}/start.js", _start), *files]


def _file(name: str, path: Path, kind: str) -> BaseRoute:
    async def send(_: Request) -> Response:
        return FileResponse(path, media_type=kind)

    return Route(f"{PAGE}/{name}", send)


async def _page(_: Request) -> Response:
    return HTMLResponse(_HTML)


async def _start(_: Request) -> Response:
    return Response(_START, media_type="text/javascript")
