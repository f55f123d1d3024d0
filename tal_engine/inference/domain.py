"""How much the features of a video are like those that a plan was trained on; NumPy, no torch.

The training features are taken for a Gaussian of few free directions and equal noise along all others (probabilistic
PCA: Tipping and Bishop, J. R. Stat. Soc. B 61, 1999, Eq. 3 and 8), which few videos are enough for. Features lie as far
out as their Mahalanobis distance from it says. What distance is unusual is taken from held-out training videos, so
`DomainModel.share` is 0.05 where a video is more unusual than 95 % of videos like those. `export.fit_domain` fits it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError, PlanError, PlanFault
from ..plan.archive import Plan
from ..plan.domain_fields import DomainRecord
from ..records import Info

_FLOAT = np.dtype("<f4")


@dataclass(frozen=True, eq=False)
class DomainModel:
    """A fitted Gaussian: its record, and mean and directions [1 + rank, D] float32, streams side by side."""

    record: DomainRecord
    arrays: NDArray[np.float32]

    @classmethod
    def of(cls, plan: Plan) -> DomainModel | None:
        """Return the model that a plan carries, or None.

        Raises:
            PlanError: a number of it is NaN or infinite.
        """
        record = plan.manifest.domain
        if record is None:
            return None
        arrays = np.frombuffer(plan.files[record.member], _FLOAT).reshape(record.rank + 1, -1)
        if not np.isfinite(arrays).all():
            what = f"{plan.manifest.name}: {record.member} holds a number that is NaN or infinite"
            raise PlanError(PlanFault.BAD_VALUE, what)
        return cls(record, arrays)

    def stored(self) -> tuple[DomainRecord, bytes]:
        """Return the record and the member for `plan.archive.with_calibration`."""
        return self.record, np.ascontiguousarray(self.arrays, _FLOAT).tobytes()

    def distances(self, streams: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        """Compute the squared Mahalanobis distance of each snippet over the number of dimensions, [T].

        Args:
            streams: features by stream name, [T, D] each.

        Raises:
            FeatureError: a stream is missing or has another width.
        """
        x = beside(streams, self.record.streams, self.record.scales)
        if x.shape[1] != self.arrays.shape[1]:
            raise FeatureError(f"features are {x.shape[1]} wide, the domain is of {self.arrays.shape[1]}")
        x = x - self.arrays[0]
        along = (x @ self.arrays[1:].T).astype(np.float64) ** 2
        rest = np.maximum(np.einsum("td,td->t", x, x, dtype=np.float64) - along.sum(1), 0.0)
        total = (along / np.asarray(self.record.variances)).sum(1) + rest / self.record.noise
        return total / x.shape[1]  # type: ignore[no-any-return]

    def share(self, streams: Mapping[str, NDArray[np.float32]]) -> float:
        """Return the share of videos like the training videos that lie farther out than this one, in [0, 1].

        Raises:
            FeatureError: see `distances`; there is no snippet.
        """
        found = self.distances(streams)
        if not len(found):
            raise FeatureError("no features")
        return self.share_of(found)

    def share_of(self, distances: NDArray[np.float64]) -> float:
        """Return the same for a video whose snippets, one or more, have these `distances`."""
        return float(np.interp(middle(distances), self.record.distances, self.record.shares))

    def unlike(self, share: float) -> bool:
        """Return whether a video of this share counts as unlike anything trained on."""
        return share < self.record.warn_below

    def tell(self, streams: Mapping[str, NDArray[np.float32]], info: Info, plan: str) -> None:
        """Enter into the record of a localization how usual its video is, and a warning where it is like no other."""
        info.domain = self.share(streams)
        info.out_of_domain = self.unlike(info.domain)
        if info.out_of_domain:
            info.warnings.append(self.warning(info.domain, plan))

    def warning(self, share: float, plan: str) -> str:
        """Warn, in words, of a video that is unlike the training videos."""
        return (
            f"this video is unlike anything that plan {plan} was trained on (domain {share:.3f}: more unusual than "
            f"{100 * (1 - share):.1f} % of its training videos), so what is found here may be wrong; "
            "train on videos like this one: tal fit VIDEOS/ --labels LABELS.csv -o mine.plan"
        )


def beside(streams: Mapping[str, NDArray[np.float32]], names: list[str], scales: list[float]) -> NDArray[np.float32]:
    """Concatenate streams, [T, D], each divided by its scale.

    Raises:
        FeatureError: one is missing.
    """
    missing = [n for n in names if n not in streams]
    if missing:
        raise FeatureError(f"the domain is of stream {missing[0]!r}, the features have {sorted(streams)}")
    return np.concatenate([np.asarray(streams[n], np.float32) / s for n, s in zip(names, scales, strict=True)], axis=1)


def middle(distances: NDArray[np.float64]) -> float:
    """Return how far out a video lies: the logarithm of the mean over its snippets."""
    return float(np.log(max(float(distances.mean()), 1e-30)))
