"""Flow that the codec holds already: the motion vectors of a file's blocks, exported by FFmpeg's decoder.

What is made of them, rules 1. A picture is divided into cells of 4 x 4 pixels; its velocity is, cell by cell, the mean
over the vectors of all blocks that cover the cell, 0 where there is none (intra blocks). A vector to an earlier
picture, from (dst) to (src), says that the block came from there: (dst - src) / distance; one to a later picture:
(src - dst) / distance. The distance is that to the nearest earlier, or later, picture that is no B picture, in
pictures; FFmpeg does not export which one was meant, so codecs that reach further back, or to other B pictures, are
taken for faster than they are. A key picture has no vectors and keeps the velocities of the one before.

Flow i of a snippet is the sum of the velocities of the pictures after the one that slot i shows, up to the one that
slot i + 1 shows: 0 where a picture repeats. It lies where blocks arrive, not where they come from. It is scaled from
cells to the size of the pictures bilinearly (by areas where it shrinks), and is of whole pictures whatever `flow_of`
says. The slow twin is tests/reference/vectors.py.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import FlowError
from ..options import SnippetOptions
from ..records import Snippets
from .flow import finished
from .grid import slot_centre
from .snippet import cropped
from .source import Frame, VideoSource

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

#: Pixels of a side of a cell: blocks of all codecs are multiples of it.
CELL = 4
#: Pictures that lean on others and have no vectors: after so many without any the codec is known to export none.
_ENOUGH = 3
#: FFmpeg's numbers of picture types: those that lean on others, and those that lean on others on both sides.
_LEANING, _BOTH = frozenset({2, 3, 4, 6, 7}), frozenset({3, 7})

Cells = NDArray[np.float32]


def with_vectors(snippets: Iterable[Snippets], options: SnippetOptions, video: VideoSource) -> Iterator[Snippets]:
    """Add the flow of a video's motion vectors to its snippets; must be called before its first frame is read.

    Args:
        snippets: batches of frames of that video.
        options: size, crop and clipping.
        video: a file whose pictures are stored as they are shown.

    Raises:
        FlowError: the source has no codec (frames in memory), its codec exports no motion vectors, or its pictures are
            turned, stretched or deinterlaced. Raised at once, or once that can be told.
    """
    if video.export_vectors is None:
        raise FlowError(f"{video.name}: flow 'vectors' is read of video files, this source has none: take flow 'dis'")
    video.export_vectors()
    seen = _Velocities(video.name)
    video.frames = seen.watched(video.frames)
    return (_added(batch, options, seen) for batch in snippets)


def _added(batch: Snippets, options: SnippetOptions, seen: _Velocities) -> Snippets:
    size = options.for_flow
    out = np.zeros((*batch.frames.shape[:2], size.crop, size.crop, 2), np.float32)
    for i in range(len(out)):
        first = (batch.first + i) * options.stride
        shown = [seen.shown(slot_centre(first + j, options)) for j in range(options.window)]
        for j, (before, after) in enumerate(pairwise(shown)):
            if after > before:
                out[i, j] = scaled(seen.between(before, after), seen.size, size)
    seen.forget(slot_centre((batch.first + len(out)) * options.stride, options))
    return replace(batch, frames=cropped(batch.frames, options), flow=finished(out, options.flow_clip))


def scaled(cells: Cells, picture: tuple[int, int], options: SnippetOptions) -> NDArray[np.float32]:
    """Scale cells [h, w, 2] of a picture (height, width) to its centre crop [crop, crop, 2], in pixels of that."""
    tall, wide = options.fitted_size(*picture)
    shrinks = tall < cells.shape[0]
    cells = np.ascontiguousarray(cells * np.array([wide / picture[1], tall / picture[0]], np.float32))
    field = cv2.resize(cells, (wide, tall), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    top, left = (tall - options.crop) // 2, (wide - options.crop) // 2
    return np.asarray(field[top : top + options.crop, left : left + options.crop], np.float32)


def cells_of(vectors: NDArray[np.void], size: tuple[int, int], back: int, ahead: int) -> Cells:
    """Compute the velocity [h, w, 2] of each cell, pixels a picture, of a picture's exported vectors.

    Args:
        vectors: as FFmpeg exports them: source, w, h, dst_x, dst_y (the block's centre), motion_x, motion_y,
            motion_scale.
        size: height and width of the picture.
        back: pictures to the nearest earlier one that is no B picture.
        ahead: to the nearest later one; 0: there is none, and vectors to later pictures are left out.
    """
    high, wide = (-(-side // CELL) for side in size)
    away = np.where(vectors["source"] < 0, -back, ahead) * vectors["motion_scale"].astype(np.float64)
    kept = away != 0
    if not kept.all():
        vectors, away = vectors[kept], away[kept]
    # Each block enters at its four corners; the double sum of corners is that of cells.
    places, signs = _corners(vectors, high, wide)
    size_of_sums = (high + 1) * (wide + 1)
    sums = []
    for values in (vectors["motion_x"] / away, vectors["motion_y"] / away, np.ones(len(away))):
        corners = np.bincount(places, np.outer(signs, values).reshape(-1), size_of_sums)
        sums.append(corners.reshape(high + 1, wide + 1).cumsum(0).cumsum(1)[:high, :wide])
    count = np.rint(sums[2])
    means = [np.where(count > 0, s / np.maximum(count, 1), 0) for s in sums[:2]]
    return np.asarray(np.stack(means, -1), np.float32)


def _corners(v: NDArray[np.void], high: int, wide: int) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Return where the corners of blocks lie among the corners of cells, [4 N], and the sign of each of the four."""
    spans = []
    for centre, side, most in (("dst_x", "w", wide), ("dst_y", "h", high)):
        first = v[centre].astype(np.int64) - v[side] // 2
        spans.append([(end // CELL).clip(0, most) for end in (first, first + v[side])])
    (left, right), (top, bottom) = spans
    corners = [row * (wide + 1) + column for row in (top, bottom) for column in (left, right)]
    return np.concatenate(corners), (1, -1, -1, 1)


@dataclass
class _Velocities:
    """The pictures of a video as they pass by, with their times and velocities; old ones are forgotten."""

    name: str
    size: tuple[int, int] = (0, 0)
    _times: list[float] = field(default_factory=list)
    _cells: list[Cells] = field(default_factory=list)
    #: Pictures that were forgotten; numbers of pictures count them.
    _gone: int = 0
    #: Pictures without vectors that lean on others; -1 once some had vectors.
    _bare: int = 0

    def watched(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Yield the frames; B pictures wait for the next one that is none."""
        waiting: list[Frame] = []
        anchor = -1
        for count, frame in enumerate(frames):
            waiting.append(frame)
            if int(self._stored(frame).pict_type) not in _BOTH:
                yield from self._taken(waiting, anchor, count)
                waiting, anchor = [], count
        yield from self._taken(waiting, anchor, None)
        if self._bare >= 0 and self._gone + len(self._times) > 1:
            raise self._none("every picture is a key picture")

    def _taken(self, frames: list[Frame], anchor: int, end: int | None) -> Iterator[Frame]:
        """Enter frames between two pictures that are no B pictures, the second included (None: there is none)."""
        for i, frame in enumerate(frames):
            number = anchor + 1 + i
            ahead = 0 if end is None else end - number
            self._enter(frame, max(number - max(anchor, 0), 1), ahead)
            yield frame

    def _enter(self, frame: Frame, back: int, ahead: int) -> None:
        stored = self._stored(frame)
        size = (stored.height, stored.width)
        vectors = stored.side_data.get("MOTION_VECTORS")
        if vectors is not None:
            cells, self._bare = cells_of(vectors.to_ndarray(), size, back, ahead), -1
        else:
            cells = self._cells[-1] if self._cells and size == self.size else _still(size)
            if self._bare >= 0 and int(stored.pict_type) in _LEANING:
                self._bare += 1
                if self._bare >= _ENOUGH:
                    raise self._none("its pictures lean on others, and have none")
        if size != self.size:
            self._cells = [_still(size) for _ in self._cells]
        self.size = size
        self._times.append(frame.pts_seconds)
        self._cells.append(cells)

    def _stored(self, frame: Frame) -> VideoFrame:
        if frame.stored is None:
            raise FlowError(
                f"{self.name}: its pictures are turned, stretched or toned down, its motion vectors are not: take flow "
                "'dis'"
            )
        return frame.stored

    def _none(self, why: str) -> FlowError:
        codecs = "of H.264, MPEG-1, 2 and 4, H.263 and others"
        return FlowError(f"{self.name}: no motion vectors were exported ({why}); FFmpeg has those {codecs}: take 'dis'")

    def shown(self, seconds: float) -> int:
        """Return the number of the picture on screen at a time; before the first one that is the first."""
        return self._gone + max(bisect_right(self._times, seconds) - 1, 0)

    def between(self, before: int, after: int) -> Cells:
        """Add up the velocities of the pictures after one, up to another."""
        parts = self._cells[before + 1 - self._gone : after + 1 - self._gone]
        return parts[0] if len(parts) == 1 else np.asarray(np.sum(parts, axis=0), np.float32)

    def forget(self, seconds: float) -> None:
        """Forget what no slot from a time on needs."""
        count = max(bisect_right(self._times, seconds) - 1, 0)
        del self._times[:count], self._cells[:count]
        self._gone += count


def _still(size: tuple[int, int]) -> Cells:
    return np.zeros((-(-size[0] // CELL), -(-size[1] // CELL), 2), np.float32)
