"""A long video in parts: encoders see snippets alone, so parts are encoded apart; the head sees all of their features.

A part is decoded from the start of the video, up to its last snippet, and pictures are made from its first snippet on:
time stamps, damage and warnings are those of the whole, whatever the file is like. What is shared out is what comes
after decoding: pixels, flow, encoders.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import UsageError, require
from ..options import SnippetOptions
from ..records import Features, Info
from ..video.grid import slots_of
from ..video.source import Part
from .stages import Prepared


@dataclass(frozen=True)
class EncodedPart:
    """Features of a part of a video, and what is known of the video as far as it was read; it can be pickled.

    seconds: from the source to the features.
    """

    part: Part
    features: Features
    info: Info
    seconds: float


def split(duration: float | None, options: SnippetOptions, count: int, batch: int) -> list[Part]:
    """Split a video into up to `count` parts of about as many snippets, which begin where a batch of snippets does.

    Batches are then those of the whole video: a graph may round the last bit of a row by what else is in its batch.

    Args:
        duration: of the video, seconds, as far as it is known; the last part is open in any case.
        options: the grid of snippets.
        count: of parts.
        batch: snippets of a call.

    Raises:
        UsageError: `count` or `batch` is out of range.

    >>> from tal_engine.inference.parts import split
    >>> from tal_engine.options import SnippetOptions
    >>> [(p.first, p.last) for p in split(60.0, SnippetOptions(), 3, 8)]
    [(0, 32), (32, 64), (64, None)]
    >>> split(None, SnippetOptions(), 3, 8)
    [Part(first=0, last=None)]
    """
    require(count >= 1, "count", count, "at least 1")
    require(batch >= 1, "batch", batch, "at least 1")
    snippets = math.ceil(slots_of(duration or 0.0, options) / options.stride)
    size = max(math.ceil(snippets / count / batch), 1) * batch
    begins = list(range(0, max(snippets, 1), size))
    return [Part(a, b) for a, b in zip(begins, [*begins[1:], None], strict=True)]


def joined(parts: Sequence[EncodedPart]) -> Prepared:
    """Put the parts of a video together, as if it had been encoded whole.

    Args:
        parts: all of its parts, in any order; the last one, which is open, was read to the end and knows the rest.

    Raises:
        UsageError: a part is missing, or one is there twice.
    """
    ordered = sorted(parts, key=lambda p: p.part.first)
    begins = [p.part.first for p in ordered]
    if not ordered or [0, *(p.part.last for p in ordered)] != [*begins, None]:
        raise UsageError(f"parts begin at snippets {begins}, must be all parts of one video, each once")
    last = ordered[-1]
    streams = {n: np.concatenate([p.features.streams[n] for p in ordered]) for n in last.features.streams}
    seconds = {stage: sum(p.info.seconds.get(stage, 0.0) for p in ordered) for p in ordered for stage in p.info.seconds}
    features, info = replace(last.features, streams=streams), replace(last.info, seconds=seconds)
    return Prepared(features, info, sum(p.seconds for p in ordered))
