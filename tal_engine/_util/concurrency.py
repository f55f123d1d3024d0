"""Running stages: read ahead in a thread, several items at a time, and know how long each stage took."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

E = TypeVar("E", bound=Exception)
S = TypeVar("S")
T = TypeVar("T")

#: A result waits for so long, seconds, for each further item that could share its group and has not come yet.
GRACE_S = 0.02
#: How long an iterator is given to return once no more is wanted of it, seconds.
_LEAVE_S = 0.1


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


def in_groups(
    work: Callable[[S], T],
    items: Iterable[S],
    *,
    workers: int,
    size: int,
    failures: type[E],
    alone: Callable[[S], bool] = lambda _: False,
) -> Iterator[list[tuple[S, T | E]]]:
    """Do some work on each item, several at a time in threads; yield what came of it, in the order of the items.

    A group has up to `size` neighbours; an item that is `alone` is a group of its own. Work that has begun is waited
    for; an item that has not come is waited for `GRACE_S` only, so no result hangs on an iterator that blocks. For
    that, anything but a list or a tuple is iterated in a thread of its own, unless items are taken one at a time:
    with one worker and groups of one, an item is taken when the result of the one before was, in the calling thread.

    Errors in `failures` are part of the result, others are raised at their place, as are those of the iterator.
    Closing the generator early begins nothing more; an iterator that blocks then is left when it gives its next item.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="tal-in-order") as pool:
        line = _Line(lambda item: pool.submit(work, item), items, workers + size - 1)
        try:
            first = line.get(None)
            while first is not None:
                group, following = [first], None
                while len(group) < size and not alone(group[0][0]):
                    following = line.get(GRACE_S)
                    if following is None or alone(following[0]):
                        break
                    group.append(following)
                    following = None
                count = len(group)
                yield from _finished(group, failures)
                line.make_room(count)
                first = following or line.get(None)
        finally:
            line.stop()
            pool.shutdown(wait=False, cancel_futures=True)


def _finished(group: list[tuple[S, Future[T]]], failures: type[E]) -> Iterator[list[tuple[S, T | E]]]:
    """Wait for a group; what comes before an error that is not in `failures` is yielded before it is raised."""
    done: list[tuple[S, T | E]] = []
    error: Exception | None = None
    for item, future in group:
        try:
            done.append((item, future.result()))
        except failures as e:
            done.append((item, e))
        except Exception as e:
            error = e
            break
    group.clear()  # what was made is the reader's alone
    if done:
        yield done
    if error is not None:
        raise error


class _Line(Generic[S, T]):
    """Items in their order, with the work that was begun on each; at most `room` that were not made room for."""

    def __init__(self, begin: Callable[[S], Future[T]], items: Iterable[S], room: int) -> None:
        self._begin, self._source = begin, iter(items)
        self._room = threading.Semaphore(room)
        self._taken: queue.SimpleQueue[tuple[S, Future[T]] | _Failure | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._over = self._stopped = False
        self._thread: threading.Thread | None = None
        if room > 1 and not isinstance(items, (list, tuple)):
            self._thread = threading.Thread(target=self._take_all, name="tal-sources", daemon=True)
            self._thread.start()

    def get(self, wait: float | None) -> tuple[S, Future[T]] | None:
        """Return the next item; None if it has not come within `wait` seconds, or if there are no more.

        Raises:
            whatever the iterator raised: when it is waited for without a limit, so after all that came before.
        """
        if self._thread is None:
            while not self._over and self._room.acquire(blocking=False):
                self._take()
        if self._error is None:
            try:
                entry = self._taken.get(timeout=wait)
            except queue.Empty:
                return None
            if not isinstance(entry, _Failure):
                if entry is None:
                    self._taken.put(None)  # the end is found again
                return entry
            self._error = entry.error
        if wait is None:
            raise self._error
        return None

    def make_room(self, count: int) -> None:
        """Say that so many items are done with."""
        self._room.release(count)

    def stop(self) -> None:
        """Take no more items. An iterator that blocks is not waited for."""
        self._stopped = True
        self._room.release()
        if self._thread is not None:
            self._thread.join(_LEAVE_S)

    def _take_all(self) -> None:
        try:
            while not self._over and self._room.acquire() and not self._stopped:
                self._take()
        except BaseException as e:  # such as sys.exit in the iterator: handed to the reader, who waits for it
            self._taken.put(_Failure(e))

    def _take(self) -> None:
        """Take one item and begin its work."""
        try:
            item = next(self._source)
            self._taken.put((item, self._begin(item)))
        except StopIteration:
            self._over = True
            self._taken.put(None)
        except Exception as e:
            self._over = True
            self._taken.put(_Failure(e))


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error
