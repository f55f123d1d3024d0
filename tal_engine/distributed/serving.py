"""The service as a Ray Serve application: replicas that come and go with the load, each a whole service."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .._util.extras import need
from ..errors import require

if TYPE_CHECKING:
    from ..serve.settings import ServeOptions


def serve_app(
    options: ServeOptions | None = None, *, replicas: int | tuple[int, int] = 1, cpus: float = 1.0, gpus: float = 0.0
) -> Any:
    """Return the service as a Ray Serve application, for ``ray.serve.run``.

    Every replica is a service of its own, with its own plans, jobs and streams. Requests about a stream go to the
    replica that has it: by the name in their path, or by the header ``X-Session-Id``, which whoever begins a stream
    or a job sends, with the stream's name or any text of its own, and sends again with what is about that job.

    Args:
        options: of each replica; `host` and `port` are Ray Serve's, but without tokens only a `host` on loopback is
            taken. Jobs are kept in ``replica-RANK`` below `state`.
        replicas: how many; or the least and the most, between which Ray Serve chooses by the requests that wait.
        cpus: of a replica.
        gpus: of a replica; a fraction shares one.

    Raises:
        MissingExtraError: Ray Serve is not installed.
        UsageError: an argument is out of range.

    >>> from ray import serve  # doctest: +SKIP
    >>> serve.run(serve_app(replicas=(1, 8)), route_prefix="/")  # doctest: +SKIP
    """
    least, most = (replicas, replicas) if isinstance(replicas, int) else replicas
    require(1 <= least <= most, "replicas", replicas, "at least 1, and the least not above the most")
    serve = need("ray.serve")
    need("fastapi")
    from ..serve.settings import ServeOptions

    chosen = options or ServeOptions()

    def build() -> Any:
        return _replica(chosen)

    router = need("ray.serve.config").RequestRouterConfig(
        request_router_class="tal_engine.distributed.stream_router.StreamRouter"
    )
    scale: dict[str, Any] = {"num_replicas": least}
    if least < most:
        # Two for each that is worked on: one waits while the other one runs.
        wanted = {"min_replicas": least, "max_replicas": most, "target_ongoing_requests": 2 * chosen.workers}
        scale = {"autoscaling_config": wanted}
    deployed = serve.deployment(
        serve.ingress(build)(), name="tal", ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        max_ongoing_requests=chosen.connections, graceful_shutdown_timeout_s=chosen.drain_seconds + 10.0,
        request_router_config=router, **scale,
    )  # fmt: skip
    return deployed.bind()


def _replica(options: ServeOptions) -> Any:
    """Return the application of this replica, whose jobs a later replica of the same rank goes on with."""
    from ..serve.app import application
    from ..serve.service import Service

    rank = getattr(need("ray.serve").get_replica_context(), "rank", 0)
    number = getattr(rank, "rank", rank) or 0
    return application(Service(replace(options, state=options.state_folder() / f"replica-{number}")))
