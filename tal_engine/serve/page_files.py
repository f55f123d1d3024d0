"""The page, where the package has one: files of `tal_engine/serve/page`, and nothing else of this machine."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent / "page"


def add_page(app: FastAPI, folder: Path = FOLDER) -> bool:
    """Serve the page below /page/, and lead / there; return whether there is one."""
    if not (folder / "index.html").is_file():
        return False
    app.mount("/page", StaticFiles(directory=folder, html=True), name="page")

    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse("/page/")

    return True
