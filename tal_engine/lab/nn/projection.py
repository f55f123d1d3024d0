"""Wide features to their principal components before the head, learned on training videos.

A head as wide as its features has millions of weights for what are a few hundred snippets in a small set. Principal
components are fewer, so many as the snippets can tell; they are centred, and scaled together so that their mean
variance is one. (Each scaled to one variance, they made LACP far worse: small ones are mostly noise.) The projection is
no part of what is trained; it is exported inside the head's graph, so that plans read the features as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import FeatureError

#: Streams up to this width are read as they are; components that a wide one keeps at least.
WIDE, LEAST = 256, 32


class Projection(nn.Module):
    """Projects streams [B, T, D] by name to [B, T, K]; streams that it does not know stay as they are.

    Args:
        tensors: as `fit_projection` gives them: "NAME.middle" [D] and "NAME.matrix" [D, K] of each stream.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.streams = tuple(k.removesuffix(".middle") for k in tensors if k.endswith(".middle"))
        for i, s in enumerate(self.streams):
            self.register_buffer(f"middle{i}", tensors[f"{s}.middle"])
            self.register_buffer(f"matrix{i}", tensors[f"{s}.matrix"])

    def _of(self, stream: str) -> tuple[Tensor, Tensor]:
        i = self.streams.index(stream)
        return self.get_buffer(f"middle{i}"), self.get_buffer(f"matrix{i}")

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Return what it is made of, by the names that the class takes."""
        parts = {s: self._of(s) for s in self.streams}
        return {f"{s}.{part}": t for s, of in parts.items() for part, t in zip(("middle", "matrix"), of, strict=True)}

    def widths(self, of: Mapping[str, int], *, before: bool) -> dict[str, int]:
        """Return the widths of streams before or after the projection, from those of all streams on the other side."""
        return {s: self._of(s)[1].shape[0 if before else 1] if s in self.streams else width for s, width in of.items()}

    def forward(self, streams: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {s: self.one(s, x) for s, x in streams.items()}

    def one(self, stream: str, x: Tensor) -> Tensor:
        """Project one stream, [..., D] -> [..., K]."""
        if stream not in self.streams:
            return x
        middle, matrix = self._of(stream)
        return (x - middle) @ matrix

    def arrays(self, streams: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Project the streams of a video, [T, D] by name."""
        with torch.no_grad():
            return {s: self.one(s, torch.from_numpy(np.ascontiguousarray(x))).numpy() for s, x in streams.items()}


class Projected(nn.Module):
    """A frozen head behind the projection of its streams, as it is exported."""

    def __init__(self, projection: Projection, frozen: nn.Module) -> None:
        super().__init__()
        self.projection, self.frozen = projection, frozen
        #: See `export.to_onnx`.
        self.unproven_lengths = bool(getattr(frozen, "unproven_lengths", False))

    def forward(self, **streams: Tensor) -> dict[str, Tensor]:
        out: dict[str, Tensor] = self.frozen(**self.projection(streams))
        return out


def fit_projection(
    videos: Sequence[Mapping[str, NDArray[np.float32]]], streams: Iterable[str], per_component: int, wide: int = WIDE
) -> Projection | None:
    """Fit the projection of the streams that are wide and have more numbers than snippets can tell.

    Args:
        videos: streams [T, D] by name, of each training video.
        streams: those that may be projected.
        per_component: snippets that a component takes; at least `LEAST` components are kept.
        wide: streams up to this width are left as they are.

    Returns:
        The projection, or None where no stream is projected.

    Raises:
        FeatureError: there are no videos, or the snippets of a stream do not differ.

    >>> x = np.random.default_rng(0).normal(size=(50, 300)).astype(np.float32)
    >>> made = fit_projection([{"rgb": x}], ["rgb"], 10).arrays({"rgb": x})["rgb"]
    >>> made.shape, round(float(made.var(0).mean()), 3)
    ((50, 32), 1.0)
    """
    if not videos:
        raise FeatureError("there are no videos to fit a projection on")
    tensors: dict[str, Tensor] = {}
    for s in streams:
        x = np.concatenate([v[s] for v in videos])
        count = min(max(len(x) // per_component, LEAST), len(x))
        if x.shape[1] > max(wide, count):
            middle, matrix = _components(s, x.astype(np.float64), count)
            tensors[f"{s}.middle"], tensors[f"{s}.matrix"] = (
                torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in (middle, matrix)
            )
    return Projection(tensors) if tensors else None


def _components(stream: str, x: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean [D] and the first components [D, count] of snippets [N, D]."""
    middle = x.mean(0)
    if len(x) < x.shape[1]:  # much the faster of the two, then
        _, singular, rows = np.linalg.svd(x - middle, full_matrices=False)
        variance, directions = singular[:count] ** 2 / len(x), rows[:count].T
    else:
        rising, columns = np.linalg.eigh(np.cov(x.T, bias=True))
        variance, directions = rising[::-1][:count], columns[:, ::-1][:, :count]
    if not variance[0] > 0:
        raise FeatureError(f"stream {stream!r}: all snippets have the same features")
    # The sign of a component is free: its largest entry is positive, whatever the library gives.
    directions = directions * np.sign(directions[np.abs(directions).argmax(0), np.arange(count)])
    return middle, directions / np.sqrt(variance.mean())
