"""The work of a service: a bounded line of requests and jobs, and the threads that localize.

A request waits for its result here and is lost with its client; a job is stored before it is accepted (`job_store`).
Threads share engines: on a card the encoders' calls of several videos become one, on a CPU they run side by side.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..results import Localization
from .fetching import fetch
from .job_store import Job, JobStore, State, insist
from .line import Line
from .plans import Plans
from .problems import ProblemError, busy, check_duration, problem_of, unavailable
from .rendering import stored_result
from .settings import ServeOptions
from .spool import Spool
from .task import Task

log = logging.getLogger("tal_engine")


class _StoppedError(Exception):
    """Ends a localization that nobody wants any more; never leaves this module."""


class Workers:
    """The line and its threads. Safe to share between threads.

    Args:
        options: of the service.
        plans: its plans.
        spool: its uploads.
        store: its jobs.
    """

    def __init__(self, options: ServeOptions, plans: Plans, spool: Spool, store: JobStore) -> None:
        self._options, self._plans, self._spool, self._store = options, plans, spool, store
        self._changed = threading.Condition()
        self._line = Line(alone=options.workers == 1)
        self._requests, self._jobs = self._line.requests, self._line.jobs
        self._active: dict[str, Task] = {}
        self._draining = self._closed = False
        self._usual_s = 1.0
        #: Called with (kind, outcome, seconds) of each task.
        self.told: Callable[[str, str, float], None] = lambda *_: None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Queue the jobs that a service before left, and begin to work."""
        jobs = self._store.recover()
        self._spool.keep_only(job.file for job in jobs if job.file)
        for job in jobs:
            path = None if job.file is None else self._spool.folder / job.file
            self._jobs.append(Task(job.wanted, path, job.id, job=True))
        if jobs:
            log.warning("%d jobs of before are run", len(jobs))
        for number in range(self._options.workers):
            # With two or more, one takes requests only: jobs of hours must not keep them waiting.
            only = number == 0 and self._options.workers > 1
            thread = threading.Thread(target=self._work, args=(only,), name=f"tal-serve-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def waiting(self) -> int:
        """How many requests and jobs wait."""
        return len(self._line)

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._active)

    @property
    def alive(self) -> bool:
        """Whether all threads work."""
        return bool(self._threads) and all(t.is_alive() for t in self._threads)

    def check_room(self) -> None:
        """Refuse work before its body is read.

        Raises:
            ProblemError: the line is full, or the service stops.
        """
        if self._draining:
            raise unavailable("the service is being stopped", self._options.drain_seconds)
        if self.waiting >= self._options.queue:
            seconds = self.waiting * self._usual_s / max(self._options.workers - 1, 1)
            raise busy(f"{self._options.queue} requests and jobs wait already", min(seconds, 600))

    def submit(self, task: Task) -> None:
        """Put a request into the line.

        Raises:
            ProblemError: the line is full, or the service stops.
        """
        with self._changed:
            self.check_room()
            self._requests.append(task)
            self._changed.notify_all()

    def accept(self, task: Task, key: str | None) -> Job:
        """Store a job and put it into the line; where there is one of the same key already, return that one.

        Raises:
            ProblemError: the line is full, the service stops, or the key is that of another job; nothing was stored.
        """
        job = Job(task.id, task.wanted, key=key, file=None if task.path is None else task.path.name)
        with self._changed:  # nothing comes between looking for room and taking it
            self.check_room()
            known = self._store.add(job)
            if known.id == job.id:
                self._jobs.append(task)
                self._changed.notify_all()
            else:
                self._spool.remove(task.path)
        return known

    def find(self, id: str) -> Task | None:  # noqa: A002
        """Return a job that waits or runs."""
        with self._changed:
            return self._active.get(id) or next((t for t in self._jobs if t.id == id), None)

    def cancel_job(self, id: str) -> None:  # noqa: A002
        """Cancel a job: one that waits at once, one that runs after its current batch of snippets."""
        with self._changed:
            task = self._active.get(id)
            waits = next((t for t in self._jobs if t.id == id), None)
            if waits is not None:
                self._store.finish(id, "cancelled")  # first: a disk that refuses leaves the job where it is
                self._jobs.remove(waits)
                waits.bell.ring()
        if task is not None:
            task.stopped.set()
            task.bell.ring()
        elif waits is not None:
            self._spool.remove(waits.path)
        else:
            self._store.finish(id, "cancelled")

    def drop(self, task: Task) -> None:
        """Stop a request whose client has gone, or whose deadline has passed."""
        task.stopped.set()
        with self._changed:
            waits = task in self._requests
            if waits:
                self._requests.remove(task)
        if waits:
            task.result.cancel()
            self._spool.remove(task.path)

    def drain(self) -> None:
        """Take no more work; jobs that wait stay for the next start."""
        with self._changed:
            self._draining = True
            for task in (*self._jobs, *self._active.values()):
                task.bell.ring()  # listeners see that the service stops
            self._jobs.clear()
            self._changed.notify_all()

    def close(self, wait: float = 5.0) -> None:
        """End the threads; a job that runs is put back, a request ends with an error. Closing twice is harmless.

        Args:
            wait: seconds for what runs to reach the end of its batch of snippets.
        """
        self.drain()
        with self._changed:
            self._closed = True
            for task in (*self._active.values(), *self._requests):
                task.stopped.set()
            self._changed.notify_all()
        until = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))

    # -- the threads -------------------------------------------------------------------------------

    def _work(self, requests_only: bool) -> None:
        while (task := self._next(requests_only)) is not None:
            began = time.monotonic()
            try:
                outcome = self._run(task)
            except Exception as e:  # a thread that ended would take its share of the service with it
                outcome = "failed"
                problem = problem_of(e)
                if not task.result.done():
                    task.result.set_exception(problem)
            finally:
                with self._changed:
                    self._active.pop(task.id, None)
                task.bell.ring()
            taken = time.monotonic() - began
            self._usual_s += 0.2 * (taken - self._usual_s)
            self.told("job" if task.job else "request", outcome, taken)

    def _next(self, requests_only: bool) -> Task | None:
        """Wait for a task; None: the service is closed."""
        with self._changed:
            while True:
                if (task := self._line.next(requests_only)) is not None:
                    self._active[task.id] = task
                    return task
                if self._closed:
                    return None
                self._changed.wait()

    def _run(self, task: Task) -> str:
        """Run a task and store what came of it."""
        if task.job and not self._stored(lambda: self._store.begin(task.id)):
            self._spool.remove(task.path)  # cancelled while it waited
            return "cancelled"
        task.running = True
        task.bell.ring()
        try:
            result = self._localized(task)
        except _StoppedError:
            return self._stopped(task)
        except Exception as e:
            known = {str(task.path): task.wanted.source} if task.path is not None else {}
            problem = problem_of(e, {**known, str(self._spool.folder): "", **self._plans.hidden()})
            return self._over(task, "failed", problem=problem)
        return self._over(task, "done", result)

    def _localized(self, task: Task) -> Localization:
        wanted = task.wanted

        def check() -> None:
            if task.stopped.is_set() or time.monotonic() > task.until:
                raise _StoppedError

        def progress(done: float, total: float) -> None:
            check()
            if task.progress != (done, total):
                task.progress = done, total
                task.bell.ring()
            check_duration(max(done, total), self._options.max_duration)

        check()
        model = self._plans.model(wanted.plan)
        if task.path is None:
            task.path = fetch(wanted.url, self._spool, self._options.max_body_mib << 20, check, task.headers)
        check()
        result = model.engine.localize(
            task.path, min_score=wanted.min_score, top_k=wanted.top_k, calibrated=wanted.calibrated, force=wanted.force,
            people=wanted.people, progress=progress,
        )  # fmt: skip
        check_duration(result.info.duration, self._options.max_duration)
        result.info.warnings = [w.replace(str(task.path), wanted.source) for w in result.info.warnings]
        result.info.source = wanted.source
        return result

    def _stopped(self, task: Task) -> str:
        if not task.job:
            late = ProblemError("deadline", "the request was not done in time")
            problem = unavailable("the service is being stopped") if self._closed else late
            return self._over(task, "cancelled", problem=problem)
        if self._closed:  # it goes on with the next start
            self._store.put_back(task.id)
            if task.wanted.url:
                self._spool.remove(task.path)
            return "put_back"
        return self._over(task, "cancelled")

    def _stored(self, change: Callable[[], bool]) -> bool:
        return insist(change, self._ends)

    def _ends(self, seconds: float) -> bool:
        """Wait, and return whether the service has ended."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)

    def _over(
        self, task: Task, state: State, result: Localization | None = None, problem: ProblemError | None = None
    ) -> str:
        """Store the outcome first: a file that is left is found at the next start, an outcome that is lost is not."""
        if task.job:
            found = None if result is None else stored_result(result)
            told = None if problem is None else problem.document
            seconds = task.progress if result is None else (result.info.duration, result.info.duration)
            self._stored(lambda: self._store.finish(task.id, state, found, told, seconds))
        self._spool.remove(task.path)
        if result is not None:
            task.result.set_result(result)
        else:
            task.result.set_exception(problem or ProblemError("conflict", "the job was cancelled"))
        return state
