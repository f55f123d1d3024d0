"""Metrics for Prometheus, and health probes: /metrics, /healthz (alive), /readyz (sources deliver).

Reads a scheduler without changing it. Seconds and counts are totals since the start; names follow Prometheus' rules.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from .._util.extras import need
from ..errors import UsageError
from .scheduler import StreamScheduler
from .session import StreamSession

#: Seconds without a turn after which the loop counts as dead: far longer than any call of a model.
STUCK_S = 30.0
#: Most requests that are answered at the same time: a scraper, some probes and people.
REQUESTS = 16
#: How long a request may take to arrive, seconds.
_SENDING_S = 10.0
#: Longest time until a disconnected client has made room, seconds.
_MAKES_ROOM_S = 1.0
_STATES = ("connecting", "live", "stalled", "ended", "failed")


@dataclass(frozen=True)
class _Measure:
    """A metric with one value per stream."""

    name: str
    help: str
    of: Callable[[StreamSession], float | None]
    total: bool = False


_MEASURES = (
    _Measure("tal_frames", "Frames that were taken", lambda m: m.frames, total=True),
    _Measure("tal_final_events", "Final events", lambda m: m.finals, total=True),
    _Measure("tal_late_events", "Finals later than declared", lambda m: m.state.finalizer.late_events, total=True),
    _Measure("tal_refused_frames", "Frames whose time went back", lambda m: m.state.refused, total=True),
    _Measure("tal_open_actions", "Actions that are known and not final", lambda m: m.state.open_actions),
    _Measure("tal_domain", "Share of training videos less usual than the last window", lambda m: m.state.domain),
    _Measure("tal_event_lag_seconds", "Wall clock from the end of the last action to its event", lambda m: m.lag_s),
    _Measure(
        "tal_event_latency_worst_seconds", "Longest, by the stream's clock", lambda m: m.state.finalizer.worst_latency_s
    ),
)


class _Watch(Protocol):
    @property
    def seconds(self) -> Mapping[str, float]: ...


class Measured(Protocol):
    """What is measured: a scheduler, or several as one."""

    @property
    def streams(self) -> Sequence[StreamSession]:
        """The streams, of different names; they may be others with each look."""

    @property
    def watch(self) -> _Watch:
        """Seconds by stage."""

    @property
    def declared_latency_s(self) -> float:
        """Longest time from the end of an action to its final event."""


class Collector:
    """The metrics of a scheduler, collected on request."""

    def __init__(self, scheduler: Measured) -> None:
        self._scheduler = scheduler
        self._core = need("prometheus_client.core")
        self._before = {m.name: (time.monotonic(), m.frames) for m in scheduler.streams}

    def collect(self) -> Iterator[Any]:
        """Yield the metric families."""
        counter, gauge = self._core.CounterMetricFamily, self._core.GaugeMetricFamily
        streams = self._scheduler.streams
        for measure in _MEASURES:
            family = (counter if measure.total else gauge)(measure.name, measure.help, labels=["source"])
            for m in streams:
                if (value := measure.of(m)) is not None:
                    family.add_metric([m.name], value)
            yield family
        missed = counter("tal_skipped_seconds", "Seconds of the stream not analysed", labels=["source", "reason"])
        state = gauge("tal_source_state", "1 for the state that the source is in", labels=["source", "state"])
        for m in streams:
            for reason, seconds in m.unanalysed().items():
                missed.add_metric([m.name, reason], seconds)
            for name in _STATES:
                state.add_metric([m.name, name], float(m.condition == name))
        yield missed
        yield state
        yield self._rates(gauge)
        stages = counter("tal_stage_duration_seconds", "Seconds in each stage, all streams", labels=["stage"])
        for stage, seconds in dict(self._scheduler.watch.seconds).items():
            stages.add_metric([stage], seconds)
        yield stages
        declared = self._scheduler.declared_latency_s
        yield gauge("tal_declared_latency_seconds", "From the end of an action to its final, at most", value=declared)

    def _rates(self, gauge: Any) -> Any:
        """Measure frames per second since the last request."""
        family = gauge("tal_source_fps", "Frames a second since the last scrape", labels=["source"])
        looked: dict[str, tuple[float, int]] = {}
        for m in self._scheduler.streams:
            looked[m.name] = now, frames = time.monotonic(), m.frames
            then, before = self._before.get(m.name, (now, frames))  # a new one has no rate yet
            family.add_metric([m.name], max(frames - before, 0) / max(now - then, 1e-3))
        self._before = looked
        return family


def alive(scheduler: StreamScheduler) -> tuple[bool, dict[str, Any]]:
    """Return whether the scheduler's loop is running."""
    silent = time.monotonic() - scheduler.last_turn
    return silent < STUCK_S, {"seconds_since_last_turn": round(silent, 3)}


def ready(scheduler: StreamScheduler) -> tuple[bool, dict[str, Any]]:
    """Return whether the loop is running and any source gives frames, and the states of all sources."""
    states = {m.name: m.condition for m in scheduler.streams}
    return alive(scheduler)[0] and any(s in ("live", "ended") for s in states.values()), {"sources": states}


class MetricsServer:
    """Serves metrics and probes until it is closed; ``port`` 0 takes a free port.

    Raises:
        UsageError: the port is not available.
        MissingExtraError: prometheus_client is not installed.
    """

    def __init__(self, scheduler: StreamScheduler, port: int, host: str = "127.0.0.1") -> None:
        prometheus = need("prometheus_client")
        registry = prometheus.CollectorRegistry()
        registry.register(Collector(scheduler))
        metrics = prometheus.make_wsgi_app(registry)

        def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "/")
            if path == "/metrics":
                return metrics(environ, start)  # type: ignore[no-any-return]
            if path not in ("/healthz", "/readyz"):
                start("404 Not Found", [("Content-Type", "text/plain")])
                return [b"/metrics, /healthz, /readyz\n"]
            good, details = alive(scheduler) if path == "/healthz" else ready(scheduler)
            start("200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")])
            return [json.dumps({"ok": good, **details}).encode() + b"\n"]

        try:
            self._server = make_server(host, port, app, _Server, _Quiet)
        except (OSError, OverflowError) as e:
            raise UsageError(f"metrics port {port} on {host} cannot be had: {e}") from e
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, name="tal-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingMixIn, WSGIServer):
    """Handles each request in its own thread, at most `REQUESTS`; a client that hangs delays no other.

    If all are busy, the client that has been sending its request for the longest is disconnected.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = threading.Semaphore(REQUESTS)
        self._lock = threading.Lock()
        self._sending: dict[socket.socket, float] = {}  # since when, by `time.monotonic`; the oldest first

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the request, or disconnect."""
        if not self._room.acquire(blocking=False):
            self._hang_up(0.0)
            if not self._room.acquire(timeout=_MAKES_ROOM_S):
                self.shutdown_request(request)
                return
        with self._lock:
            self._sending[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except BaseException:  # the machine has no thread left
            self._over(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._over(request)

    def service_actions(self) -> None:
        """Disconnect clients that send a request byte by byte: each byte restarts a socket's own time limit."""
        self._hang_up(_SENDING_S, all_of_them=True)

    def heard(self, request: Any) -> None:
        """Note that the request was read completely, so that it will be answered."""
        with self._lock:
            self._sending.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hung or disconnected."""

    def _over(self, request: Any) -> None:
        self.heard(request)
        self._room.release()

    def _hang_up(self, after: float, *, all_of_them: bool = False) -> None:
        """Disconnect the client that has been sending its request for the longest, if for more than `after` seconds."""
        with self._lock:
            late = [r for r, since in self._sending.items() if time.monotonic() - since >= after]
            for request in late if all_of_them else late[:1]:
                del self._sending[request]
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and ends


class _Quiet(WSGIRequestHandler):
    """Handler that logs no requests, and waits `timeout` seconds for each."""

    timeout = _SENDING_S

    def parse_request(self) -> bool:
        """Read the request's head."""
        good = super().parse_request()
        self.server.heard(self.connection)  # type: ignore[attr-defined]  # it is a _Server
        return good

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Log nothing."""
