"""A time limit for work inside a runtime: a graph from elsewhere may hold a loop without an end.

ONNX Runtime ends a run between two nodes when it is told to, which includes the steps of a loop; one long operator, the
folding of constants while a graph is loaded, and other runtimes cannot be ended at all from inside their process. So
the work is done in a thread of its own. If it does not end soon after it was told to, its caller gets the error all the
same and the thread is left behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import GraphTimeoutError

T = TypeVar("T")

#: Seconds that work gets to end after it was told to.
GRACE_S = 2.0
#: Loading a graph may take as long as a call, or this if that is less: constants are folded, weights are packed.
LOAD_S = 60.0

_left: list[threading.Thread] = []
_lock = threading.Lock()


def left_behind() -> bool:
    """Say whether work that could not be ended still runs: the process should then end without waiting for it."""
    with _lock:
        _left[:] = [t for t in _left if t.is_alive()]
        return bool(_left)


class _Work(Generic[T]):
    """What a thread is to do, and what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.done = threading.Event()
        self.results: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.results.append(self._work())
        except BaseException as e:  # handed to the caller, whatever it is
            self.error = e
        finally:
            self.done.set()


class TimeLimit:
    """Seconds for each piece of work on one graph. Safe to share between threads; each call has its own time."""

    def __init__(self, name: str, seconds: float) -> None:
        """Set a limit.

        Args:
            name: of the graph, for messages.
            seconds: for each call; 0 sets no limit, and calls run in their caller's thread.
        """
        self._name, self._seconds = name, seconds
        self._stuck: list[threading.Thread] = []

    def call(self, work: Callable[[], T], stop: Callable[[], None] | None = None, what: str = "a call") -> T:
        """Do the work and give its result.

        Args:
            work: what takes time.
            stop: tells it to end, from another thread; None if it cannot be told.
            what: the work is called in messages.

        Raises:
            GraphTimeoutError: it did not end in time; calls are refused while what could not be ended still runs.
        """
        if not self._seconds:
            return work()
        self._refuse_if_stuck()
        job = _Work(work)
        # Not waited for when the process ends.
        thread = threading.Thread(target=job.run, name=f"tal-limited-{self._name}", daemon=True)
        began = time.monotonic()
        thread.start()
        try:
            in_time = job.done.wait(self._seconds)
        except BaseException:  # Ctrl-C: nobody waits for the result any more
            self._end(job, thread, stop)
            raise
        if not in_time:
            ended = self._end(job, thread, stop)
            raise self._late(what, time.monotonic() - began, ended)
        if job.error is not None:
            raise job.error
        return job.results[0]

    def _end(self, job: _Work[T], thread: threading.Thread, stop: Callable[[], None] | None) -> bool:
        """Tell the work to end; False if it does not."""
        if stop is not None:
            stop()
            if job.done.wait(GRACE_S):
                return True
        with _lock:
            _left.append(thread)
            self._stuck.append(thread)
        return False

    def _late(self, what: str, seconds: float, ended: bool) -> GraphTimeoutError:
        if ended:
            state = "it was stopped, and the engine can be used again"
        else:
            state = "it cannot be stopped and goes on in the background; until it ends this graph takes no calls"
        return GraphTimeoutError(f"{self._name}: {what} took more than {self._seconds:g} s (timeout); {state}")

    def _refuse_if_stuck(self) -> None:
        with _lock:
            self._stuck = [t for t in self._stuck if t.is_alive()]
            stuck = bool(self._stuck)
        if stuck:
            raise GraphTimeoutError(
                f"{self._name}: takes no calls: an earlier one took more than {self._seconds:g} s (timeout), cannot be "
                "stopped and still runs; only ending the process ends it"
            )
