"""What the service tells Prometheus: requests, work, jobs, streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._util.extras import need
from ..streaming.metrics_server import Collector
from ..streaming.session import StreamSession
from .job_store import JobStore
from .running_streams import RunningStreams
from .spool import Spool
from .work import Workers

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class _Stages:
    """Seconds by stage of all streams."""

    def __init__(self, streams: RunningStreams) -> None:
        self._streams = streams

    @property
    def seconds(self) -> dict[str, float]:
        total: dict[str, float] = {}
        for stream in self._streams.all():
            for stage, seconds in dict(stream.scheduler.watch.seconds if stream.scheduler else {}).items():
                total[stage] = total.get(stage, 0.0) + seconds
        return total


class _AllStreams:
    """All streams that are read, as one scheduler's."""

    def __init__(self, streams: RunningStreams) -> None:
        self._streams, self.watch = streams, _Stages(streams)

    @property
    def streams(self) -> list[StreamSession]:
        return [s.session for s in self._streams.all() if s.session is not None and s.ended is None]

    @property
    def declared_latency_s(self) -> float:
        return max((s.declared_latency_s for s in self._streams.all()), default=0.0)


class Measures:
    """Counts, and looks at the parts when it is asked.

    Args:
        workers: of the service.
        store: its jobs.
        streams: its streams.
        spool: its uploads.

    Raises:
        MissingExtraError: prometheus_client is not installed.
    """

    def __init__(self, workers: Workers, store: JobStore, streams: RunningStreams, spool: Spool) -> None:
        prometheus = need("prometheus_client")
        self._core, self._prometheus = need("prometheus_client.core"), prometheus
        self._workers, self._store, self._streams, self._spool = workers, store, streams, spool
        self._registry = prometheus.CollectorRegistry()
        of = {"registry": self._registry}
        self._requests = prometheus.Histogram(
            "tal_http_request_seconds", "Requests by route and status", ["method", "route", "status"],
            buckets=_SECONDS, **of,
        )  # fmt: skip
        self._work = prometheus.Histogram(
            "tal_work_seconds", "Requests and jobs that were localized", ["kind", "outcome"], buckets=_SECONDS, **of
        )
        self._registry.register(self)
        self._registry.register(Collector(_AllStreams(streams)))

    def answered(self, scope: Mapping[str, Any], status: int, seconds: float) -> None:
        """Count a request; its route is that of the API, so that paths that somebody tries out make no series."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE", "HEAD", "PUT") else "other"
        self._requests.labels(method, route, str(status)).observe(seconds)

    def worked(self, kind: str, outcome: str, seconds: float) -> None:
        """Count a task of the workers."""
        self._work.labels(kind, outcome).observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """Return all figures, and the type of their text."""
        return self._prometheus.generate_latest(self._registry), self._prometheus.CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Any]:
        """Yield what is looked at now."""
        gauge = self._core.GaugeMetricFamily
        yield gauge("tal_waiting", "Requests and jobs that wait", value=self._workers.waiting)
        yield gauge("tal_running", "Requests and jobs that run", value=self._workers.running)
        yield gauge("tal_spool_bytes", "Bytes of uploads that are kept", value=self._spool.used)
        yield gauge("tal_streams", "Streams that run", value=self._streams.running)
        jobs = gauge("tal_jobs", "Jobs that are kept, by state", labels=["state"])
        for state, count in self._store.counts().items():
            jobs.add_metric([state], count)
        yield jobs
