"""The application: all routes around one `Service`, every error as a problem, the guard around it all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from .. import __version__
from ..errors import TALError
from . import (
    api_export,
    api_infer,
    api_jobs,
    api_label_studio,
    api_limits,
    api_localize,
    api_monitor,
    api_plans,
    api_push,
    api_streams,
)
from .guard import Guard
from .page_files import add_page
from .problems import KINDS, MEDIA_TYPE, ProblemError, problem_of
from .query import known_query
from .service import Service

#: Kinds of problems by the status of errors that the framework raises.
_BY_STATUS = {400: "bad-syntax", 404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "unsupported-type"}
#: What every route may answer, for the description of the API.
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
    for status in sorted({kind.status for kind in KINDS.values()})
}


def application(service: Service) -> ASGIApp:
    """Return the ASGI application of a service; its lifespan starts and ends the service.

    >>> from pathlib import Path
    >>> from tal_engine.serve.app import application
    >>> from tal_engine.serve.service import Service
    >>> from tal_engine.serve.settings import ServeOptions
    >>> service = Service(ServeOptions(state=Path("state")))
    >>> app = application(service)
    >>> service.store.close()
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="tal_engine", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, responses=_PROBLEMS,
        description="Temporal action localization: a video in, labelled time segments out.",
    )  # fmt: skip
    app.state.service = service
    for api in (
        api_localize, api_jobs, api_export, api_streams, api_push, api_plans, api_limits, api_infer, api_label_studio,
        api_monitor,
    ):  # fmt: skip
        app.include_router(api.router, dependencies=[Depends(known_query)])
    add_page(app)
    add_problems(app, lambda: {str(service.spool.folder): "", **service.plans.hidden()})
    return Guard(app, service.options, service.measures.answered)


def add_problems(app: FastAPI, hidden: Callable[[], Mapping[str, str]]) -> None:
    """Answer every error as a problem.

    Args:
        app: the application.
        hidden: gives paths that clients are not told, each with what is said instead.
    """

    async def answer(_: Request, error: Exception) -> Response:
        return problem_of(error, hidden()).response()

    for kind in (ProblemError, TALError, OSError, Exception):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(WebSocketRequestValidationError, _invalid_socket)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as it is registered
    return _told(error).response()


async def _invalid_socket(socket: WebSocket, error: Exception) -> None:
    assert isinstance(error, WebSocketRequestValidationError)  # noqa: S101 - as it is registered
    await socket.send_denial_response(_told(error).response())


def _told(error: RequestValidationError | WebSocketRequestValidationError) -> ProblemError:
    """Return the problem of values that are not what a route takes: the first ten of them."""
    told = [
        f"{'.'.join(map(str, e['loc']))}: {e['msg']}, it is {str(e.get('input'))[:80]!r}" for e in error.errors()[:10]
    ]
    syntax = any(e["type"] == "json_invalid" for e in error.errors())
    return ProblemError("bad-syntax" if syntax else "invalid-request", "; ".join(told))


async def _of_framework(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as it is registered
    if isinstance(error.__cause__, ProblemError):  # of the guard, while the framework read the body
        return error.__cause__.response()
    kind = _BY_STATUS.get(error.status_code, "bad-syntax" if error.status_code < 500 else "internal")
    return ProblemError(kind, str(error.detail), error.headers).response()
