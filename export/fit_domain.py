"""Fits what a plan knows of its training features; NumPy, no torch. `inference.domain` says what it means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError, require
from ..inference.domain import DomainModel, beside, middle
from ..plan.domain_fields import LARGEST, NUMBER, DomainRecord
from ..records import Features

Streams = Mapping[str, NDArray[np.float32]]

#: Directions that are kept at most, and snippets that one takes at least.
RANK, SNIPPETS_A_DIRECTION = 32, 4
#: Least videos: with fewer nothing says how much videos differ.
LEAST_VIDEOS = 4
#: Snippets of a video that are used at most, evenly taken: a long one does not outweigh the others.
SNIPPETS = 256
#: Shares at which the table of distances has a row, besides those above a half that mirror them.
_SHARES = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 1e-4, 1e-5, 1e-6)


def fit_domain(
    videos: Sequence[Features | Streams],
    streams: Sequence[str] | None = None,
    *,
    folds: int = 5,
    warn_below: float = 0.01,
    fitted_on: str = "",
) -> DomainModel:
    """Fit the domain of a plan on the features that its head was trained on.

    How far out is unusual is taken from videos that a model of the others has not seen (cross-fitting). Logarithms of
    their distances are taken for normal, so that the share of a further video follows Student's t (predictive
    distribution with unknown mean and variance): with few videos, more must be out of the ordinary to be told.

    Args:
        videos: features of one video each, [T, D] by stream name; at least `LEAST_VIDEOS`.
        streams: those that the plan's head reads; None takes all of the first video.
        folds: of the cross-fitting.
        warn_below: results warn of videos whose share is below it; about such a share of videos like the training
            videos is warned of too.
        fitted_on: in words, for `tal plan inspect`.

    Raises:
        FeatureError: too few videos, an empty one, or a stream is missing.
        UsageError: folds or warn_below make no sense.
    """
    require(folds >= 2, "folds", folds, "at least 2")
    require(0 <= warn_below <= 0.5, "warn_below", warn_below, "in [0, 0.5]")
    given = [v.streams if isinstance(v, Features) else v for v in videos]
    if len(given) < LEAST_VIDEOS:
        raise FeatureError(f"cannot tell what is usual from {len(given)} videos; at least {LEAST_VIDEOS} are needed")
    names = list(given[0] if streams is None else streams)
    kept = [_thinned(v, names) for v in given]
    outside = []
    for fold in range(min(folds, len(kept))):
        model = _gaussian([v for i, v in enumerate(kept) if i % folds != fold], names)
        outside += [middle(model.distances(v)) for i, v in enumerate(kept) if i % folds == fold]
    model = _gaussian(kept, names)
    distances, shares = _table(np.asarray(outside))
    update = {
        "distances": distances, "shares": shares, "warn_below": warn_below, "videos": len(kept),
        "snippets": sum(len(v[names[0]]) for v in kept), "fitted_on": fitted_on,
    }  # fmt: skip
    return DomainModel(DomainRecord(**{**model.record.model_dump(), **update}), model.arrays)


def _thinned(video: Streams, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    missing = [n for n in names if n not in video]
    if missing:
        raise FeatureError(f"the domain is of stream {missing[0]!r}, a video has {sorted(video)}")
    count = len(video[names[0]])
    if not count:
        raise FeatureError("a video has no features")
    rows = np.unique(np.linspace(0, count - 1, min(count, SNIPPETS)).round().astype(np.int64))
    return {n: np.asarray(video[n], np.float32)[rows] for n in names}


def _gaussian(videos: Sequence[Streams], names: list[str]) -> DomainModel:
    """Fit probabilistic PCA to the snippets of videos; its table of distances is still empty."""
    scales = [max(float(np.sqrt(np.mean([v[n].var(axis=0).mean() for v in videos]))), 1e-12) for n in names]
    x = np.concatenate([beside(v, names, scales) for v in videos]).astype(np.float64)
    mean = x.mean(axis=0)
    x -= mean
    count, width = x.shape
    _, singular, directions = np.linalg.svd(x, full_matrices=False)
    values = singular**2 / count
    room = LARGEST // (NUMBER * width) - 1
    rank = max(min(RANK, room, count // SNIPPETS_A_DIRECTION, width - 1, len(values) - 1), 1)
    total = float((x**2).sum() / count)
    noise = max((total - float(values[:rank].sum())) / max(width - rank, 1), 1e-6 * total / width, 1e-12)
    record = DomainRecord(
        streams=names, scales=scales, rank=rank, variances=[max(float(v), noise) for v in values[:rank]], noise=noise,
        distances=[0.0, 1.0], shares=[1.0, 0.0],
    )  # fmt: skip
    return DomainModel(record, np.concatenate([mean[None], directions[:rank]]).astype(np.float32))


def _table(outside: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Tabulate distances and the share of further videos that lie farther out."""
    n = len(outside)
    spread = max(float(outside.std(ddof=1)) * math.sqrt(1 + 1 / n), 1e-3)
    upper = [(float(outside.mean()) + spread * student(s, n - 1), s) for s in _SHARES]
    lower = [(2 * float(outside.mean()) - d, 1 - s) for d, s in upper[:0:-1]]
    rows = [*lower, *upper]
    return [d for d, _ in rows], [s for _, s in rows]


def student(share: float, freedom: int) -> float:
    """Return the value that Student's t with `freedom` degrees of freedom exceeds with a probability of `share`.

    >>> round(student(0.05, 9), 2)
    1.83
    """
    # t = sqrt(freedom) * tan(a) turns the density into cos(a)^(freedom - 1) on a finite interval.
    angle = np.linspace(0, math.pi / 2, 200_001)
    density = np.cos(angle) ** (freedom - 1)
    steps = (density[1:] + density[:-1]) / 2
    above = np.concatenate([steps[::-1].cumsum()[::-1], [0.0]]) / (2 * steps.sum())
    at = float(np.interp(-share, -above, angle))
    return math.sqrt(freedom) * math.tan(min(at, math.pi / 2 - 1e-9))
