"""The studio's page, and the modules that it shares with that of `tal serve`."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request, Response

from ..serve import page_files as serve_page

FOLDER = Path(__file__).parent / "page"
#: As for the page of a service; videos come from the studio.
POLICY = serve_page.POLICY.replace("media-src blob:", "media-src 'self' blob:")
#: Where the modules and styles of the service's page are.
SHARED = "shared/"


def add_page(app: FastAPI) -> None:
    """Serve the page at / and its files below; without one / says that the API is there."""
    files = serve_page.page_files(FOLDER)
    files |= {f"{SHARED}{name}": f for name, f in serve_page.page_files().items() if name not in ("", "index.html")}

    async def file(request: Request) -> Response:
        return serve_page.page_response(files, request.path_params.get("path", ""), request, POLICY)

    app.add_route("/", file, methods=["GET"], include_in_schema=False)
    app.add_route("/{path:path}", file, methods=["GET"], include_in_schema=False)
