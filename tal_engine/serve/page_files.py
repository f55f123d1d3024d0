"""The page: files of `tal_engine/serve/page`, read when the service starts, and nothing else of this machine.

A request names one of the files that were read then; it never becomes a path. Browsers may keep the files, but ask each
time whether they are still the same: the tag is that of the content, so that another version of the package counts at
once, however its files are dated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from .problems import ProblemError

FOLDER = Path(__file__).parent / "page"
#: Types by ending. A file of another kind is no part of the page.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: The page runs its own scripts and styles, talks to its own service, shows videos that it was given, and nothing else.
POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "media-src blob:",
        "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        "require-trusted-types-for 'script'", "trusted-types 'none'",
    )
)  # fmt: skip
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class PageFile:
    """A file of the page: its content, its type, and the tag by which browsers know it again."""

    content: bytes
    media_type: str
    tag: str


def page_files(folder: Path = FOLDER) -> dict[str, PageFile]:
    """Read the page's files, by their path below its folder; "" is the page itself.

    Args:
        folder: of the page.

    Returns:
        The files; none where the folder has no index.html.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in TYPES and path.is_file():
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[path.relative_to(folder).as_posix()] = PageFile(content, TYPES[path.suffix], tag)
    return {"": found["index.html"], **found} if "index.html" in found else {}


def page_response(files: Mapping[str, PageFile], path: str, request: Request, policy: str = POLICY) -> Response:
    """Return a file of a page, or that the browser's own is still the same, or that there is none.

    Args:
        files: of `page_files`.
        path: its path there.
        request: of the browser.
        policy: what the page may load.
    """
    found = files.get(path)
    if found is None:
        return ProblemError("not-found", f"the page has no file {path[:100]!r}").response()
    headers = {**HEADERS, "Content-Security-Policy": policy, "ETag": found.tag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if found.tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


def add_page(app: FastAPI, folder: Path = FOLDER) -> bool:
    """Serve the page below /page/, and lead / there; return whether there is one.

    Args:
        app: the application.
        folder: of the page.
    """
    files = page_files(folder)
    if not files:
        return False

    async def file(request: Request) -> Response:
        return page_response(files, request.path_params["path"], request)

    async def home(request: Request) -> Response:
        return RedirectResponse("/page/")

    app.add_route("/page/{path:path}", file, methods=["GET"], include_in_schema=False)
    app.add_route("/", home, methods=["GET"], include_in_schema=False)
    return True
