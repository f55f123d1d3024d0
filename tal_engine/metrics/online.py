"""How late true actions are told: average event detection delay (AEDT) beside mAP, and the lateness of finals.

Knows tables and when each detection was decided; knows nothing of streams. Definition of the delay, after OAT-OSN
(ECCV 2022; its public evaluation sorts equal scores and overlaps by numpy's unstable sort, we by the protocol "total"):

* Detections of a class, best score first, each take the free true instance of their video and class that they overlap
  most, if by the threshold at least (ties: start, end, video, place in the file; the first instance).
* The delay of a hit is the time of decision minus the *true* end, seconds of the stream. It may be negative: an action
  may be decided on before it has ended.
* AEDT at a threshold is the mean delay over all hits of all classes. Misses and false alarms do not count: mAP counts
  them.

Lateness is another thing: the time of decision minus the end that was *told*. It is what the stream promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..annotations.tables import Table
from ..errors import DataError
from .detection import Ambiguous, Evaluation, evaluate_tables, prepare
from .protocols import Protocol


@dataclass(frozen=True)
class OnlineEvaluation:
    """mAP of finals, and how long one waited for them.

    aedt: seconds by overlap of the protocol, NaN where nothing was hit. hits: detections that are right, by overlap.
    lateness: percentiles of decision minus told end, seconds, by name.
    """

    quality: Evaluation
    aedt: NDArray[np.float64]
    hits: NDArray[np.int64]
    lateness: dict[str, float]

    @property
    def average_aedt(self) -> float:
        """Mean over the overlaps at which anything was hit; NaN if none."""
        delays = self.aedt[self.hits > 0]
        return float(delays.mean()) if len(delays) else float("nan")


def evaluate_online(
    truth: Table,
    finals: Table,
    decided_at: NDArray[np.float64],
    protocol: Protocol,
    *,
    ambiguous: Ambiguous | None = None,
    threads: int = 1,
) -> OnlineEvaluation:
    """Score final events of streams and their delay.

    Args:
        truth: its `videos` are those of the subset.
        finals: what was emitted, one row per final event.
        decided_at: [len(finals)] seconds of the stream.
        protocol: the rules; the delay always matches as "best_free".
        ambiguous: see `evaluate_tables`.
        threads: see `evaluate_tables`.

    Raises:
        DataError: `decided_at` has another length, or a value that is not finite.
    """
    decided = np.asarray(decided_at, np.float64)
    if decided.shape != (len(finals),) or not np.isfinite(decided).all():
        raise DataError(f"decided_at has shape {list(decided.shape)}, must be {len(finals)} finite seconds")
    quality = evaluate_tables(truth, finals, protocol, ambiguous=ambiguous, threads=threads)
    p = prepare(truth, finals, protocol, ambiguous or {})
    # The rules do not look at scores: the same rows stay, in the same order.
    times = prepare(truth, replace(finals, score=decided), protocol, ambiguous or {}).detections.score
    aedt, hits = detection_delay(p.truth, p.detections, times, protocol.tious, inclusive=protocol.inclusive)
    return OnlineEvaluation(quality, aedt, hits, lateness(decided - finals.end))


def detection_delay(
    truth: Table,
    detections: Table,
    decided_at: NDArray[np.float64],
    tious: Sequence[float],
    *,
    inclusive: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Compute AEDT in seconds and the number of hits, each [len(tious)].

    Args:
        truth: true instances.
        detections: in the same names of videos and classes.
        decided_at: [len(detections)] seconds.
        tious: overlaps that make a hit.
        inclusive: an overlap of exactly the threshold is enough.
    """
    delays: list[list[float]] = [[] for _ in tious]
    for video, label in sorted(set(zip(truth.video.tolist(), truth.label.tolist(), strict=True))):
        true = np.flatnonzero((truth.video == video) & (truth.label == label))
        mine = np.flatnonzero((detections.video == video) & (detections.label == label))
        mine = mine[np.lexsort((mine, detections.end[mine], detections.start[mine], -detections.score[mine]))]
        overlaps = _overlaps(detections, mine, truth, true)
        for delays_at, tiou in zip(delays, tious, strict=True):
            for i, j in _hits(overlaps, tiou, inclusive):
                delays_at.append(float(decided_at[mine[i]] - truth.end[true[j]]))
    means = [float(np.mean(d)) if d else float("nan") for d in delays]
    return np.array(means), np.array([len(d) for d in delays], np.int64)


def _overlaps(a: Table, rows: NDArray[np.intp], b: Table, columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Compute intersection over union, [rows, columns]; 0 between two intervals without length."""
    start, end = a.start[rows][:, None], a.end[rows][:, None]
    inside = np.minimum(end, b.end[columns]) - np.maximum(start, b.start[columns])
    inside = np.maximum(inside, 0.0)
    union = (end - start) + (b.end[columns] - b.start[columns]) - inside
    return np.where(union > 0, inside / np.where(union > 0, union, 1.0), 0.0)


def _hits(overlaps: NDArray[np.float64], tiou: float, inclusive: bool) -> list[tuple[int, int]]:
    """Match rows to columns."""
    free = np.ones(overlaps.shape[1], bool)
    out = []
    for i, row in enumerate(overlaps):
        if not free.any():
            break
        j = int(np.argmax(np.where(free, row, -1.0)))
        if row[j] >= tiou if inclusive else row[j] > tiou:
            free[j] = False
            out.append((i, j))
    return out


def lateness(seconds: NDArray[np.float64]) -> dict[str, float]:
    """Summarise as p50, p99 and max; {} if empty. p99 occurred, and at most one in a hundred exceeds it."""
    if not len(seconds):
        return {}
    p50, p99 = np.percentile(seconds, [50, 99], method="higher")
    return {"p50": float(p50), "p99": float(p99), "max": float(seconds.max())}
