"""Average recall against the average number of proposals (AR@AN) and the area under it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..annotations.tables import Table
from ..options import linspace


@dataclass(frozen=True)
class RecallCurve:
    """recall [tious, steps] at `proposals` [steps] proposals a video on average."""

    tious: tuple[float, ...]
    recall: NDArray[np.float64]
    proposals: NDArray[np.float64]

    @property
    def average(self) -> NDArray[np.float64]:
        """Recall averaged over the overlaps, [steps]."""
        return np.asarray(self.recall.mean(axis=0))

    @property
    def auc(self) -> float:
        """Area under the average recall, as a share of the largest possible one."""
        if self.proposals[-1] <= 0:
            return 0.0
        middles = (self.average[1:] + self.average[:-1]) / 2
        return float((middles * np.diff(self.proposals)).sum() / self.proposals[-1])

    def at(self, count: float) -> float:
        """Average recall at `count` proposals a video, between steps linearly."""
        return float(np.interp(count, self.proposals, self.average))


def average_recall(
    truth: Table,
    proposals: Table,
    *,
    tious: tuple[float, ...] | None = None,
    max_average: float = 100.0,
    steps: int = 100,
    threads: int = 1,
) -> RecallCurve:
    """Compute AR@AN by the ActivityNet toolkit's rule: every video keeps the same share of its proposals.

    Args:
        truth: true instances; labels are ignored.
        proposals: ranked by score; those in videos without truth count for the share only.
        tious: overlaps; 0.5:0.05:0.95 without them.
        max_average: proposals a video at the right end; 0 takes all there are.
        steps: points of the curve.
        threads: of the C++ core; the result does not depend on it.
    """
    tious = tious or linspace(0.5, 0.95, 10)
    proposals = proposals.called_as(truth.videos, "proposals")
    names = tuple(dict.fromkeys((*truth.videos, *proposals.videos)))
    t, _ = truth.renamed(names, truth.labels)
    p, _ = proposals.renamed(names, proposals.labels)
    recall, average = ops.average_recall(
        (t.video, t.start, t.end),
        (p.video, p.start, p.end, p.score),
        tious=tious,
        videos=len(names),
        max_average=max_average,
        steps=steps,
        threads=threads,
    )
    return RecallCurve(tious, recall, average)
