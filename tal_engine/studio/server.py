"""A studio that listens: its address, and its server."""

from __future__ import annotations

import socket

import uvicorn

from ..serve.server import listen, server_for
from .app import application
from .settings import StudioOptions
from .studio import Studio


def server_of(studio: Studio) -> uvicorn.Server:
    """Return the server of a studio; its `run` serves the sockets that it is given, until `should_exit` is set.

    Args:
        studio: not started yet.
    """
    return server_for(application(studio), studio.options.serving(), studio)


def listening(options: StudioOptions) -> socket.socket:
    """Return a socket that listens where the options say.

    Raises:
        UsageError: the port is not available.
    """
    return listen(options.serving())


def address(options: StudioOptions, sock: socket.socket) -> str:
    """Return the address to open, with the token."""
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/?token={options.token}"
