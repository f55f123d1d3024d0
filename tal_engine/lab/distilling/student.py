"""The student: what its parts give beside each other stands for the teacher's streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...plan.manifest import Manifest
from .options import DistillOptions, Reads
from .parts import Alone, Flow, Frames, Part

#: Streams of the teacher and their widths, by what the part reads that stands for them.
Shares = Mapping[Reads, Mapping[str, int]]

T = TypeVar("T")


def shares_of(teacher: Manifest, options: DistillOptions) -> Shares:
    """Say which part stands for which streams of a teacher: without flow, one for all of them.

    Raises:
        UsageError: the student reads flow, and its teacher reads none.
    """
    if options.flow == "none":
        return {"frames": dict(teacher.streams)}
    reads = {e.stream: e.reads for e in teacher.graph_encoders}
    if "flow" not in reads.values():
        raise UsageError(f"flow is {options.flow!r}, plan {teacher.name} reads no flow: its student needs none")
    kinds: Sequence[Reads] = ("flow",) if options.keep_frames else ("frames", "flow")
    found = {k: {s: d for s, d in teacher.streams.items() if reads[s] == k} for k in kinds}
    return {k: streams for k, streams in found.items() if streams}


def order_of(streams: Mapping[str, T], shares: Shares) -> dict[str, T]:
    """Order a teacher's streams as the columns of lessons are: those that the student stands for, then the others."""
    made = [s for names in shares.values() for s in names]
    return {s: streams[s] for s in (*made, *sorted(set(streams) - set(made)))}


class Student(nn.Module):
    """Networks that read what is kept of snippets, each for some columns of the teacher's features.

    Args:
        options: the architecture.
        widths: of the features of each part, by what it reads, in the order of the columns.
    """

    def __init__(self, options: DistillOptions, widths: Mapping[Reads, int]) -> None:
        super().__init__()
        #: Processor seconds of the training.
        self.spent = 0.0
        kinds = {"frames": Alone if options.flow == "none" else Frames, "flow": Flow}
        self._parts = nn.ModuleDict({reads: kinds[reads](options, width) for reads, width in widths.items()})
        self._widths = list(widths.values())
        #: Columns of all parts together; lessons have more, if encoders of the teacher stay.
        self.width = sum(self._widths)

    @property
    def parts(self) -> Iterator[Part]:
        """The networks, in the order of the columns."""
        return (part for part in self._parts.values() if isinstance(part, Part))

    def embed(self, kept: Mapping[Reads, Tensor]) -> Tensor:
        """Give features [B, dim], of mean 0 and deviation 1, of what is kept of snippets."""
        return torch.cat([part.embed(kept[part.reads]) for part in self.parts], 1)

    def features(self, kept: Mapping[Reads, Tensor]) -> Tensor:
        """Give features [B, dim] on the scale of the teacher's."""
        return self.unscaled(self.embed(kept))

    def scale_to(self, features: Tensor) -> None:
        """Take mean and deviation of the teacher's features [N, dim]; columns that never change stay as they are."""
        for part, columns in zip(self.parts, features[:, : self.width].split(self._widths, 1), strict=True):
            part.mean.copy_(columns.mean(0))
            part.deviation.copy_(columns.std(0).clamp_min(1e-4))

    def scaled(self, features: Tensor) -> Tensor:
        """Scale the teacher's features [..., dim or more] as `embed` gives them."""
        mean, deviation = self._scale()
        return (features[..., : self.width] - mean) / deviation

    def unscaled(self, embedded: Tensor) -> Tensor:
        """Scale what `embed` gives [..., dim] as the teacher's features are."""
        mean, deviation = self._scale()
        return embedded * deviation + mean

    def _scale(self) -> tuple[Tensor, Tensor]:
        parts = list(self.parts)
        return torch.cat([p.mean for p in parts]), torch.cat([p.deviation for p in parts])
