"""The sweep of an evaluation over windows and look-aheads (`tal eval --online`), on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ..diagnostics.latency_curve import CurvePoint, Job, streamed
from ..engine import TALEngine
from ..plan.archive import Plan
from .cluster import RayOptions
from .tasks import mapped

if TYPE_CHECKING:
    from ..diagnostics.latency_curve import Spread


@dataclass(frozen=True, eq=False)
class _Shared:
    """What all streams share; hashed by the plan, so that a process that did one before keeps its engine."""

    plan: Plan
    device: str

    def __hash__(self) -> int:
        return hash((self.plan.sha256, self.device))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shared) and (self.plan.sha256, self.device) == (other.plan.sha256, other.device)


@lru_cache(maxsize=1)
def _engine(shared: _Shared) -> TALEngine:
    return TALEngine(shared.plan, shared.device)


def _streamed(shared: _Shared, job: Job) -> list[CurvePoint]:
    return streamed(_engine(shared), job)


def spread_on(cluster: RayOptions, device: str) -> Spread:
    """Return how `latency_curve` streams on a cluster: each video at each window is a task.

    Args:
        cluster: where Ray is.
        device: of the engines there.
    """

    def spread(engine: TALEngine, jobs: Sequence[Job], progress: Callable[[int, int], None]) -> list[list[CurvePoint]]:
        return mapped(_streamed, _Shared(engine.plan, device), jobs, cluster, progress)

    return spread
