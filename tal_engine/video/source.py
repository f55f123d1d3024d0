"""Anything that gives frames in time order: a file, or an array of frames."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from ..limits import Limits
from .decode_skipper import DecodeSkipper

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Image = NDArray[np.uint8]

#: What decodes video files.
DECODERS = ("ffmpeg", "nvdec")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame on screen from `pts_seconds` until the next one; pixels are made on demand.

    left_out: so many frames between the one before and this one were not decoded. stored: the frame as it was decoded,
    where nothing but its colours has to be converted for `image`; else None.
    """

    pts_seconds: float
    image: Callable[[], Image]
    left_out: int = field(default=0, kw_only=True)
    stored: VideoFrame | None = field(default=None, kw_only=True, repr=False, compare=False)


def _nothing() -> None:
    """Do nothing: an array has nothing to release."""


@dataclass(frozen=True, slots=True)
class Part:
    """The snippets of a video from number `first` on, up to but without `last`; None: to its end.

    >>> from tal_engine.video.source import Part
    >>> Part(8, 8)
    Traceback (most recent call last):
    tal_engine.errors.UsageError: last is 8, must be more than first, which is 8
    """

    first: int = 0
    last: int | None = None

    def __post_init__(self) -> None:
        require(self.first >= 0, "first", self.first, "at least 0")
        more = self.last is None or self.last > self.first
        require(more, "last", self.last, f"more than first, which is {self.first}")


@dataclass(slots=True)
class VideoSource:
    """An opened source.

    frames: yields `Frame` with strictly increasing `pts_seconds`, 0 at the start of the video.
    fps: nominal frames a second. frame_seconds: how long the last frame stays on screen.
    duration: what the container claims, seconds, or None. `decoded`, `lost`, `corrupt` (shown with what errors left of
    them), `seen` (seconds up to the end of the last frame) and `warnings` are filled while the frames are read.
    `frame_seconds` and `missing` (seconds after the end of the last frame for which there should have been more) are
    final after the last one. thinning: what need not be decoded from now on. size: width and height that the container
    declares, pixels, or None. limits: what it may cost. part: which of its snippets are wanted; up to them it is
    decoded all the same, so that nothing about them differs. export_vectors: asks the decoder for motion vectors,
    before the first frame is read; None where there is no decoder of ours.
    """

    name: str
    frames: Iterator[Frame]
    fps: float
    frame_seconds: float
    duration: float | None = None
    decoded: int = 0
    lost: int = 0
    corrupt: int = 0
    seen: float = 0.0
    missing: float = 0.0
    warnings: list[str] = field(default_factory=list)
    release: Callable[[], None] = _nothing
    limits: Limits = field(default_factory=Limits)
    size: tuple[int, int] | None = None
    skipper: DecodeSkipper = field(default_factory=DecodeSkipper)
    part: Part = field(default_factory=Part)
    export_vectors: Callable[[], None] | None = None

    def close(self) -> None:
        """Give back what it holds; there are no more frames. Once is enough, and twice does no harm.

        Frames that were not read to the end know the source, and it knows them: left to the garbage collector, which
        sees small objects only, decoders of a thousand videos would stay for a while.
        """
        if isinstance(self.frames, Generator):
            self.frames.close()
        self.frames = iter(())
        self.export_vectors = None  # which knows the decoder
        release, self.release = self.release, _nothing
        release()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
