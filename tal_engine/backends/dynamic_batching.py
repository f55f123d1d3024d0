"""Calls of several threads as one: what waits while a graph is busy is run in one batch next."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .protocol import Backend


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


class DynamicBatchingBackend:
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
        """Compute outputs by name from inputs by name; see `Backend.run`.

        A call stays in the queue until it has its output or its error. If the thread that serves several calls is
        interrupted (Ctrl-C in the main thread), the other threads find their calls there and run them themselves.
        """
        call = _Call(feeds)
        try:
            with self._list:
                self._waiting.append(call)
            with self._turn:  # who had the turn before may have run this call too
                while not call.done:
                    self._serve(self._batch_with(call))
        finally:  # also where this thread is interrupted: nobody waits for it any more
            with self._list:
                self._waiting = [c for c in self._waiting if c is not call]
        if call.out is None:
            raise call.error or AssertionError("a call that is done has an output or an error")
        return call.out

    def _batch_with(self, call: _Call) -> list[_Call]:
        """Return the oldest call that is not done and those of its kind that fit beside it."""
        with self._list:
            self._waiting = [c for c in self._waiting if not c.done]
            first = next(iter(self._waiting), call)
            batch, rows = [first], first.rows
            for other in self._waiting:
                if other is not first and other.kind == first.kind and rows + other.rows <= self._rows:
                    batch.append(other)
                    rows += other.rows
            return batch

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
