"""Run a studio until somebody stops it."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable
from dataclasses import replace

from .server import address, listening, server_of
from .settings import StudioOptions
from .studio import Studio


def run(options: StudioOptions, *, browser: bool, say: Callable[[str], None] | None) -> None:
    """Listen, open the page, and serve until a signal says to stop.

    Args:
        options: of the studio.
        browser: open the page.
        say: told the address; None for nobody.

    Raises:
        UsageError, DataError, OSError: see `Studio`.
    """
    with listening(options) as sock:
        options = replace(options, port=sock.getsockname()[1])  # cookies are named by it
        studio = Studio(options)
        place = address(options, sock)
        if say is not None:
            count = len(studio.library.videos)
            for problem in studio.problems():
                say(problem)
            say(f"{count} videos, project {options.folder}; open {place}; Ctrl-C stops")
        if browser:
            threading.Thread(target=webbrowser.open, args=(place,), name="tal-studio-browser", daemon=True).start()
        server_of(studio).run(sockets=[sock])
