"""Running stages: read ahead in a thread, several items at a time, and know how long each stage took."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

E = TypeVar("E", bound=Exception)
S = TypeVar("S")
T = TypeVar("T")


class Stopwatch:
    """Seconds by stage. Time spent in a stage that another one pulls from counts for the inner one.

    Not safe to share between threads; use one a thread and add them up.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    def run(self, stage: str, work: Callable[[], T]) -> T:
        """Do some work and count its time."""
        began = time.perf_counter()
        self._inner.append(0.0)
        try:
            return work()
        finally:
            total = time.perf_counter() - began
            own = total - self._inner.pop()
            self._inner[-1] += total
            self.seconds[stage] = self.seconds.get(stage, 0.0) + own

    def pull(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, counting the time that it takes to make them."""
        source = iter(items)
        end = object()
        while True:
            item = self.run(stage, lambda: next(source, end))
            if item is end:
                return
            yield item  # type: ignore[misc]


def read_ahead(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Yield the items while a thread already makes the next ones, at most `depth` of them.

    An error in the thread is raised here, at its place in the order. Closing the iterator early
    stops the thread.
    """
    done = object()
    line: queue.Queue[object] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(value: object) -> bool:
        while not stop.is_set():
            try:
                line.put(value, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(done)
        except BaseException as e:  # handed to the reader, whatever it is
            put(_Failure(e))

    thread = threading.Thread(target=work, name="tal-read-ahead", daemon=True)
    thread.start()
    try:
        while (item := line.get()) is not done:
            if isinstance(item, _Failure):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


def in_order(
    work: Callable[[S], T], items: Iterable[S], workers: int, ahead: int, failures: type[E]
) -> Iterator[tuple[S, T | E]]:
    """Do some work on each item, several at a time in threads; yield what came of it in the order of the items.

    At most `ahead` items are begun before the first of them is taken, so an endless iterable is no harm. Errors in
    `failures` are yielded, others raised at their place. Closing the iterator early begins nothing more.
    """
    source = iter(items)
    begun: deque[tuple[S, Future[T]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="tal-in-order") as pool:
        try:
            while True:
                begun.extend((item, pool.submit(work, item)) for item in islice(source, ahead - len(begun)))
                if not begun:
                    return
                item, future = begun.popleft()
                try:
                    made: T | E = future.result()
                except failures as e:
                    made = e
                yield item, made
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error
