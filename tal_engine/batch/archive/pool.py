"""Several processes that localize: each has one video at a time, so it is known which video a dead process had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from ..._util.redaction import redact
from .listing import Item, whole_text
from .tables import Outcome
from .worker import check

#: Environment of a worker: libraries that would each take all cores take the worker's.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Process:
    """One worker; started when the first video comes, and again after it died."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self._wanted = wanted
        self._process: subprocess.Popen[str] | None = None
        self._closed, self._guard = False, threading.Lock()

    def ask(self, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer of `worker.answer`; None if the process died over it.

        Raises:
            TALError: the process could load nothing.
        """
        process = self._running()
        if process is None:
            return None
        try:
            with suppress(OSError):  # it died; it may have said why
                process.stdin.write(f"{json.dumps(dict(asked))}\n")  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
            line = process.stdout.readline()  # type: ignore[union-attr]
        except (OSError, ValueError):  # it was closed meanwhile
            line = ""
        if line.endswith("\n"):
            found = dict(json.loads(line))
            check(found)
            return found
        self.end()
        return None

    def _running(self) -> subprocess.Popen[str] | None:
        """Return the process, started where there is none; None after `close`."""
        with self._guard:
            if self._process is None and not self._closed:
                self._process = self._started()
            return self._process

    def _started(self) -> subprocess.Popen[str]:
        threads = str(self._wanted["engine"]["threads"] or os.cpu_count() or 1)
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            encoding="utf-8", env={**os.environ, **dict.fromkeys(_ONE_THREAD, threads)},
        )  # fmt: skip
        with suppress(OSError):  # it died already: the first question finds out
            process.stdin.write(f"{json.dumps(dict(self._wanted))}\n")  # type: ignore[union-attr]
        return process

    def end(self) -> None:
        """End it at once; nothing that it does is worth keeping."""
        with self._guard:
            process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was not sent yet
                pipe.close()  # type: ignore[union-attr]

    def close(self) -> None:
        """End it, and start no other."""
        with self._guard:
            self._closed = True
        self.end()


class Pool:
    """Localizes items in `workers` processes.

    Args:
        wanted: what a worker loads; see `worker.serve`.
        workers: processes.
        tries: how often a video is tried that fails, or that a process dies over.
    """

    def __init__(self, wanted: Mapping[str, Any], workers: int, tries: int) -> None:
        self._tries = tries
        self._processes = [Process(wanted) for _ in range(workers)]
        self._stopped = threading.Event()

    def run(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """Yield the outcome of each item as it comes; items that failed are tried again after the others."""
        jobs: SimpleQueue[tuple[Item, int]] = SimpleQueue()
        done: SimpleQueue[Outcome | BaseException] = SimpleQueue()
        left = 0
        for item in items:
            jobs.put((item, 1))
            left += 1
        count = min(len(self._processes), left)
        threads = [
            threading.Thread(target=self._work, args=(p, jobs, done), daemon=True) for p in self._processes[:count]
        ]
        for thread in threads:
            thread.start()
        try:
            while left:
                outcome = done.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                if not outcome.ok and outcome.tries < self._tries:
                    jobs.put((outcome.item, outcome.tries + 1))
                    continue
                left -= 1
                yield outcome
        finally:
            self._stopped.set()
            for process in self._processes:
                process.close()
            for thread in threads:
                thread.join()

    def _work(
        self, process: Process, jobs: SimpleQueue[tuple[Item, int]], done: SimpleQueue[Outcome | BaseException]
    ) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    item, tries = jobs.get(timeout=0.1)
                except Empty:
                    continue
                done.put(outcome_of(item, tries, process.ask({"address": item.address})))
        except BaseException as e:
            done.put(e)


def outcome_of(item: Item, tries: int, found: Mapping[str, Any] | None) -> Outcome:
    """Return the outcome of a video.

    Args:
        item: the video.
        tries: the how-manieth this was.
        found: the answer of `worker.answer`, or None where the process died over it.
    """
    if found is None:
        return Outcome(item, tries, error=f"{item.key}: a process died over it", error_kind="died", exit_status=1)
    if "error" in found:
        return Outcome(item, tries, None, whole_text(redact(found["error"])), found["kind"], found["status"])
    return Outcome(item, tries, {**found, "info": _named(item, found["info"])})


def _named(item: Item, info: Mapping[str, Any]) -> dict[str, Any]:
    """Give a result's record the name that tables have."""
    return {**info, "source": item.key, "warnings": [whole_text(w) for w in info["warnings"]]} if info else {}
