"""A bell that threads ring and event loops hear: whoever waits for news need not look again and again."""

from __future__ import annotations

import asyncio
import threading


class Bell:
    """Counts how often it rang, so that no ring between a look and the wait after it is lost.

    >>> bell = Bell()
    >>> bell.ring()
    >>> bell.rings
    1
    """

    def __init__(self) -> None:
        self._lock, self._rings = threading.Lock(), 0
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    @property
    def rings(self) -> int:
        """How often it rang; read it before the look."""
        return self._rings

    def ring(self) -> None:
        """Wake who waits; from any thread."""
        with self._lock:
            self._rings += 1
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def heard(self, rings: int, seconds: float) -> bool:
        """Wait until it has rung more than so often; False if it did not within the time.

        Args:
            rings: how often it had rung before the look.
            seconds: to wait at most.
        """
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        entry = (loop, event)
        with self._lock:
            if self._rings != rings:
                return True
            self._waiting.append(entry)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        finally:
            with self._lock:
                if entry in self._waiting:
                    self._waiting.remove(entry)
        return True
