"""The application of a studio: its routes, its page, the token and the guard around it all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from .. import __version__
from ..serve import api_label_studio, api_streams
from ..serve.app import add_problems
from ..serve.guard import Guard
from ..serve.service import service_of
from . import api_edits, api_export, api_measures, api_project, api_training, api_videos
from .page_routes import add_page
from .session_cookie import SessionCookie
from .studio import Studio


def application(studio: Studio) -> ASGIApp:
    """Return the ASGI application of a studio; its lifespan starts and ends the studio.

    Args:
        studio: not started yet.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with studio.running():
            yield

    app = FastAPI(title="tal studio", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.studio = studio
    app.dependency_overrides[service_of] = studio.serving.service
    parts = (api_project, api_videos, api_edits, api_training, api_measures, api_export, api_label_studio, api_streams)
    for api in parts:
        app.include_router(api.router)
    add_page(app)
    add_problems(app, studio.hidden)
    options = studio.options
    return SessionCookie(Guard(app, options.serving()), options.token, options.port)
