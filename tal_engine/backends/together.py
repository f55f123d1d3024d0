"""Calls of several threads as one: what waits while a graph is busy is run in one batch next."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Backend


class _Call:
    """What a thread wants run, and what came of it."""

    def __init__(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        self.feeds = feeds
        self.rows = len(next(iter(feeds.values())))
        #: Calls of one kind fit into one batch.
        self.kind = tuple((n, a.shape[1:], a.dtype) for n, a in sorted(feeds.items()))
        self.out: dict[str, NDArray[np.float32]] | None = None
        self.error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.out is not None or self.error is not None


class TogetherBackend:
    """A graph whose rows do not see each other, shared by threads: waiting calls become one of at most `rows` rows.

    No call waits for others to come: a thread that finds the graph free runs at once with what is there.
    """

    def __init__(self, backend: Backend, rows: int = 32) -> None:
        self._backend, self._rows = backend, rows
        self._waiting: list[_Call] = []
        self._list, self._turn = threading.Lock(), threading.Lock()

    @property
    def description(self) -> str:
        """Of the graph."""
        return self._backend.description

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name; see `Backend.run`."""
        call = _Call(feeds)
        with self._list:
            self._waiting.append(call)
        with self._turn:  # who had the turn before may have run this call too
            while not call.done:
                self._serve(self._take())
        if call.out is None:
            raise call.error or AssertionError("a call that is done has an output or an error")
        return call.out

    def _take(self) -> list[_Call]:
        """The oldest call and those of its kind that fit beside it."""
        with self._list:
            first, taken, rows = self._waiting[0], [], 0
            for call in list(self._waiting):
                if call is first or (call.kind == first.kind and rows + call.rows <= self._rows):
                    taken.append(call)
                    rows += call.rows
                    self._waiting.remove(call)
            return taken

    def _serve(self, calls: list[_Call]) -> None:
        names = list(calls[0].feeds)
        try:
            if len(calls) == 1:
                calls[0].out = self._backend.run(calls[0].feeds)
                return
            out = self._backend.run({n: np.concatenate([c.feeds[n] for c in calls]) for n in names})
        except Exception as e:
            if len(calls) == 1:
                calls[0].error = e
                return
            for call in calls:  # one bad call must not stop the others
                self._serve([call])
            return
        first = 0
        for call in calls:
            call.out = {n: a[first : first + call.rows] for n, a in out.items()}
            first += call.rows
