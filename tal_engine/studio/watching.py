"""Files that come into the folder of videos while a studio runs: told once they are whole."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from ..errors import TALError
from .library import sizes_of

log = logging.getLogger("tal_engine")


class Watch:
    """Looks at a folder again and again, in a thread of its own; a file that does not grow any more is whole.

    Args:
        folder: of the videos.
        inside: the project's folder, which may lie in it and has no videos of people.
        known: gives the files that nothing new is known of, with their sizes.
        came: called with the files that are there now and were not; called again at the next look if it raises.
        every: seconds between two looks.
    """

    def __init__(
        self,
        folder: Path,
        inside: Path,
        known: Callable[[], dict[Path, int]],
        came: Callable[[list[Path]], None],
        every: float,
    ) -> None:
        self._folder, self._inside, self._known, self._came, self._every = folder, inside, known, came, every
        self._closed, self._before, self._told = threading.Event(), dict[Path, int](), ""
        self._thread = threading.Thread(target=self._run, name="tal-studio-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closed.wait(self._every):
            try:
                self._look()
                self._told = ""
            except (TALError, OSError) as e:  # the disk is full, or the folder is away for a while
                if str(e) != self._told:
                    log.warning("new videos cannot be taken: %s", e)
                self._told = str(e)

    def _look(self) -> None:
        known = self._known()
        now = {p: size for p, size in sizes_of(self._folder, self._inside).items() if known.get(p) != size}
        whole = [p for p, size in now.items() if self._before.get(p) == size]
        self._before = now
        if whole:
            self._came(whole)

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        self._thread.join()
