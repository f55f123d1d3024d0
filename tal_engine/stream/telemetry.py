"""What runs, for Prometheus and for probes: /metrics, /healthz (alive), /readyz (sources are there).

Reads a scheduler and changes nothing. Seconds and counts are totals since the start; names follow Prometheus' rules.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from ..errors import UsageError
from ..extras import need
from .member import Member
from .scheduler import StreamScheduler

#: A loop that did not go round for so long is not alive, seconds: far longer than any call of a model.
STUCK_S = 30.0
_STATES = ("connecting", "live", "stalled", "ended", "failed")


@dataclass(frozen=True)
class _Measure:
    """A metric with one value a stream."""

    name: str
    help: str
    of: Callable[[Member], float | None]
    total: bool = False


_MEASURES = (
    _Measure("tal_frames", "Frames that were taken", lambda m: m.frames, total=True),
    _Measure("tal_final_events", "Final events", lambda m: m.finals, total=True),
    _Measure("tal_late_events", "Finals later than declared", lambda m: m.state.late_events, total=True),
    _Measure("tal_refused_frames", "Frames whose time went back", lambda m: m.state.refused, total=True),
    _Measure("tal_open_actions", "Actions that are known and not final", lambda m: m.state.open_actions),
    _Measure("tal_event_lag_seconds", "Wall clock from the end of the last action to its event", lambda m: m.lag_s),
    _Measure("tal_event_latency_worst_seconds", "Longest, by the stream's clock", lambda m: m.state.worst_latency_s),
)


class Collector:
    """The metrics of a scheduler, made when they are asked for."""

    def __init__(self, scheduler: StreamScheduler) -> None:
        self._scheduler = scheduler
        self._core = need("prometheus_client.core")
        self._before = {m.name: (time.monotonic(), m.frames) for m in scheduler.streams}

    def collect(self) -> Iterator[Any]:
        """Metric families."""
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
            for reason, seconds in m.missed().items():
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
        """Frames a second since the last time that somebody asked."""
        family = gauge("tal_source_fps", "Frames a second since the last scrape", labels=["source"])
        for m in self._scheduler.streams:
            now, frames = time.monotonic(), m.frames
            then, before = self._before[m.name]
            self._before[m.name] = now, frames
            family.add_metric([m.name], (frames - before) / max(now - then, 1e-3))
        return family


def alive(scheduler: StreamScheduler) -> tuple[bool, dict[str, Any]]:
    """Whether the loop goes round."""
    silent = time.monotonic() - scheduler.last_turn
    return silent < STUCK_S, {"seconds_since_last_turn": round(silent, 3)}


def ready(scheduler: StreamScheduler) -> tuple[bool, dict[str, Any]]:
    """Whether the loop goes round and any source gives frames; the states of all."""
    states = {m.name: m.condition for m in scheduler.streams}
    return alive(scheduler)[0] and any(s in ("live", "ended") for s in states.values()), {"sources": states}


class MetricsServer:
    """Serves them until it is closed; ``port`` 0 takes a free one.

    Raises:
        UsageError: the port cannot be had.
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
            good, told = alive(scheduler) if path == "/healthz" else ready(scheduler)
            start("200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")])
            return [json.dumps({"ok": good, **told}).encode() + b"\n"]

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
    """Each request in its own thread: a client that hangs holds up neither others nor the end."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung or went away: nothing to say."""


class _Quiet(WSGIRequestHandler):
    """Requests are not logged, and are waited for `timeout` seconds."""

    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""
