"""The parts of a running service, which its routes share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

from fastapi import Request, WebSocket

from .allowed import AllowedSources
from .job_store import JobStore
from .measures import Measures
from .plans import Plans
from .problems import ProblemError, busy, unavailable
from .running_streams import RunningStreams
from .settings import ServeOptions
from .spool import Spool
from .training_command import TrainingCommand
from .work import Workers

log = logging.getLogger("tal_engine")

#: Seconds between two looks at what is old.
_TIDY_S = 60.0


class Service:
    """What a service is made of. `running` starts and ends it; a service runs once.

    Args:
        options: of the service.

    Raises:
        UsageError: an option makes no sense here, or the state is used by another service.
        PlanError, BackendError: the default plan cannot be used.
    """

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.allowed = AllowedSources(options.sources)
        self.training = TrainingCommand(options.fit_command)
        self.streams = RunningStreams(options)
        self.plans = Plans(options)
        self.plans.model(None)  # a service without its plan should not start
        folder = options.state_folder()
        self.store = JobStore(folder)  # the last one that may fail: it holds the folder
        self.spool = Spool(folder / "spool", options.max_spool_mib << 20)
        self.workers = Workers(options, self.plans, self.spool, self.store)
        self.measures = Measures(self.workers, self.store, self.streams, self.spool)
        self.workers.told = self.measures.worked
        #: Bodies that arrive or lie in memory, and clients that listen.
        self.uploads, self.listeners = Places(options.uploads, "uploads"), Places(options.listeners, "listeners")
        self.draining = asyncio.Event()
        self._drained = False
        #: Whether nothing is waited for any more.
        self.hurry = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run from here to the end of the block."""
        loop = asyncio.get_running_loop()
        threads = ThreadPoolExecutor(32 + 2 * self.options.streams, thread_name_prefix="tal-serve-io")
        loop.set_default_executor(threads)
        self.workers.start()
        tidying = asyncio.create_task(self._tidy())
        try:
            yield
        finally:
            tidying.cancel()
            with suppress(asyncio.CancelledError):
                await tidying
            await self.drain(0.0)
            await asyncio.to_thread(self.workers.close)
            self.training.stop()
            self.store.close()

    async def drain(self, seconds: float) -> None:
        """Take no more work, end streams (their open actions are decided), and wait for what runs.

        Args:
            seconds: to wait at most; jobs that are not done by then go on with the next start.
        """
        self.draining.set()
        if self._drained:
            return
        self._drained = True
        self.workers.drain()
        self.streams.stop_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.hurry and (
                    self.workers.running or self.workers.waiting or self.streams.running or self.listeners.taken
                ):
                    await asyncio.sleep(0.02)
        self.streams.close()

    async def _tidy(self) -> None:
        """Forget what is old, now and then."""
        while True:
            try:
                await asyncio.to_thread(self.store.forget_old, self.options.keep_hours * 3600, self.options.keep_jobs)
            except Exception as e:  # a full disk now may be none later
                log.error("old jobs cannot be removed (%s); it will be tried again", e)
            await asyncio.sleep(_TIDY_S)

    def check_open(self) -> None:
        """Refuse what cannot be finished any more.

        Raises:
            ProblemError: the service stops.
        """
        if self.draining.is_set():
            raise unavailable("the service is being stopped", self.options.drain_seconds)


class Places:
    """A number of places, taken for the time of a ``with`` block; for the thread of the event loop.

    Args:
        most: places that there are.
        what: takes them, for the message.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most, self._what, self.taken = most, what, 0

    def __enter__(self) -> None:
        """Take a place.

        Raises:
            ProblemError: all are taken.
        """
        if self.taken >= self._most:
            raise busy(f"there are {self._most} {self._what} already", 5)
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


def service_of(request: Request) -> Service:
    """Return the service of a request; what routes depend on."""
    found: Service = request.app.state.service
    return found


def service_of_socket(socket: WebSocket) -> Service:
    """Return the service of a WebSocket."""
    found: Service = socket.app.state.service
    return found


def nothing_like(name: str, value: object) -> ProblemError:
    """Return the problem of something that is not there.

    Args:
        name: what it is.
        value: how it was asked for.
    """
    return ProblemError("not-found", f"there is no {name} {str(value)[:100]!r}")
