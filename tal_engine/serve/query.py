"""Refuses query parameters that a route does not know: a misspelt one would be ignored without a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.requests import HTTPConnection

_BELOW = "/v1/"


async def known_query(connection: HTTPConnection) -> None:
    """Refuse parameters that the route of a request does not have; a dependency of all routes of our own API.

    Raises:
        RequestValidationError, WebSocketRequestValidationError: there are some; each is named.
    """
    route: Any = connection.scope.get("route")
    if not f"{connection.scope['path']}/".startswith(_BELOW) or not hasattr(route, "dependant"):
        return
    known = sorted(set(_names(route.dependant)))
    allowed = f"must be one of {', '.join(known)}" if known else "this route has none"
    wrong = [
        {
            "type": "extra_forbidden",
            "loc": ("query", name[:100]),
            "msg": f"no such parameter, {allowed}",
            "input": value,
        }
        for name, value in connection.query_params.multi_items()
        if name not in known
    ]
    if wrong:
        http = connection.scope["type"] == "http"
        raise RequestValidationError(wrong) if http else WebSocketRequestValidationError(wrong)


def _names(dependant: Any) -> Iterator[str]:
    """Yield the names of query parameters of a route and of what it depends on."""
    for parameter in dependant.query_params:
        yield parameter.alias
    for part in dependant.dependencies:
        yield from _names(part)
