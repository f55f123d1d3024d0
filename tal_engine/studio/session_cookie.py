"""The token of a page: once in its address, from then on in a cookie that neither scripts nor other sites see."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ..serve.guard import Tokens

_WHERE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>tal studio</title>"
    "<p>Open the address that <code>tal studio</code> printed: it has the token of this session."
)


class SessionCookie:
    """Takes the token from the address or the cookie, and passes it on as `Authorization: Bearer`.

    Args:
        app: the guarded application.
        token: of the studio.
        port: cookies of one host are shared between ports, so its name has it.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token, self._name = app, token, f"tal-studio-{port}"
        self._tokens = Tokens([token])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the first visit, or pass a request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        query = parse_qsl(scope["query_string"].decode(errors="replace"), keep_blank_values=True)
        given = next((v for k, v in query if k == "token"), None)
        kept = _cookie(headers.get("cookie", ""), self._name)
        if scope["type"] == "http" and scope["path"] == "/":
            if given is not None and self._tokens.know(given):
                await self._first(query)(scope, receive, send)
                return
            if "authorization" not in headers and (kept is None or not self._tokens.know(kept)):
                await HTMLResponse(_WHERE, 401)(scope, receive, send)
                return
        if kept is not None and "authorization" not in headers:
            bearer = (b"authorization", b"Bearer " + kept.encode("latin-1", "replace"))
            scope = {**scope, "headers": [*scope["headers"], bearer]}
        await self._app(scope, receive, send)

    def _first(self, query: list[tuple[str, str]]) -> RedirectResponse:
        """Take the token out of the address: it would stay in the browser's history."""
        rest = urlencode([(k, v) for k, v in query if k != "token"])
        out = RedirectResponse(f"/?{rest}" if rest else "/", 303, {"Cache-Control": "no-store"})
        out.set_cookie(self._name, self._token, httponly=True, samesite="strict")
        return out


def _cookie(text: str, name: str) -> str | None:
    try:
        found = SimpleCookie(text).get(name)
    except CookieError:
        return None
    return None if found is None else found.value
