"""Clips of exactly the pictures of a segment, encoded anew; sheets of one picture each; all of them in one video."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..._util.files import whole_file
from ...errors import SinkError
from ...outputs.render.panel import WHITE, clock, colour
from ...outputs.render.video_writer import Movie
from ...outputs.render.words import fitted, write
from ...video import open_video
from .found import Clip

#: Pictures of a sheet: width, pixels, and how many a row.
_WIDTH, _COLUMNS = 320, 4
_WORDS, _MARGIN = 22, 4  # height of the line below each, and what is left free beside it, pixels


class Pictures:
    """Writes what needs the pictures of clips. Each video is decoded once, from its start, so that times are exact.

    Args:
        pad: seconds before and after each.
        fps: nominal pictures a second of a supercut.
    """

    def __init__(self, pad: float = 0.0, fps: float = 25.0) -> None:
        self._pad, self._fps = pad, fps

    def between(self, video: str, clips: Sequence[Clip]) -> Iterator[tuple[Clip, float, NDArray[np.uint8]]]:
        """Yield the clips' pictures [H, W, 3] with their seconds, in time order; a picture that two share comes twice.

        Args:
            video: path or address.
            clips: of that video.

        Raises:
            VideoError: it cannot be read.
        """
        spans = [(c, c.start - self._pad, c.end + self._pad) for c in clips]
        last = max(end for _, _, end in spans)
        with open_video(video) as source:
            for frame in source.frames:
                if frame.pts_seconds > last:
                    return
                inside = [c for c, start, end in spans if start <= frame.pts_seconds <= end]
                image = frame.image() if inside else None
                for clip in inside:
                    yield clip, frame.pts_seconds, image  # type: ignore[misc]  # there are clips, so there is a picture

    def encode(self, video: str, targets: dict[Clip, Path]) -> dict[Clip, tuple[float, float]]:
        """Write the clips of one video; those without a picture are left out.

        Returns:
            Seconds of the first and the last picture of each.

        Raises:
            SinkError: a file cannot be written.
        """
        shown: dict[Clip, tuple[float, float]] = {}
        with open_video(video) as source:
            fps = source.fps
        with ExitStack() as stack:
            movies: dict[Clip, tuple[Movie, ExitStack]] = {}
            for clip, seconds, image in self.between(video, list(targets)):
                for over in [c for c in movies if c.end + self._pad < seconds]:
                    movies.pop(over)[1].close()  # thousands of encoders would not fit
                if clip not in movies:
                    own, target = stack.enter_context(ExitStack()), targets[clip]
                    temporary = own.enter_context(whole_file(target))
                    movies[clip] = own.enter_context(closing(Movie(temporary, fps, name=target))), own
                first, _ = shown.get(clip, (seconds, seconds))
                movies[clip][0].write(image, seconds - first)
                shown[clip] = first, seconds
        return shown

    def supercut(self, target: Path, clips: Sequence[Clip]) -> None:
        """Write all clips one after another, scaled into the size of the first and named in a corner.

        Raises:
            SinkError: the file cannot be written.
            VideoError: a video cannot be read.
        """
        offset, last, size = 0.0, 0.0, None
        with whole_file(target) as temporary, closing(Movie(temporary, self._fps, name=target)) as movie:
            for clip in clips:
                first = None
                for _, seconds, image in self.between(clip.video, [clip]):
                    first = seconds if first is None else first
                    size = size or image.shape[:2]
                    last = offset + seconds - first
                    movie.write(_named(_fitted(image, *size), clip), last)
                offset = last + 1.0 / self._fps
            if not movie.pictures:
                raise SinkError(f"{target}: the clips have no pictures")

    def sheet(self, target: Path, clips: Sequence[Clip]) -> None:
        """Write one picture of each clip, of its middle, with label, score and time.

        Raises:
            SinkError: the file cannot be written, or its ending is none of a picture.
            VideoError: a video cannot be read.
        """
        tiles = {}
        for video in dict.fromkeys(c.video for c in clips):
            for clip, seconds, image in self.between(video, [c for c in clips if c.video == video]):
                if clip not in tiles or seconds <= (clip.start + clip.end) / 2:
                    tiles[clip] = image
        drawn = [_tile(tiles[c], c) for c in clips if c in tiles]
        if not drawn:
            raise SinkError(f"{target}: the clips have no pictures")
        drawn += [np.zeros_like(drawn[0])] * (-len(drawn) % min(_COLUMNS, len(drawn)))
        high = max(len(t) for t in drawn)
        drawn = [cv2.copyMakeBorder(t, 0, high - len(t), 0, 0, cv2.BORDER_CONSTANT).astype(np.uint8) for t in drawn]
        wide = min(_COLUMNS, len(drawn))
        rows = [np.hstack(drawn[k : k + wide]) for k in range(0, len(drawn), wide)]
        try:
            _, encoded = cv2.imencode(target.suffix, cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
            with whole_file(target) as temporary:
                temporary.write_bytes(encoded.tobytes())
        except cv2.error as e:
            raise SinkError(f"{target}: the ending is {target.suffix!r}, must be .jpg or .png") from e
        except OSError as e:
            raise SinkError(f"{target}: cannot be written ({e.strerror})") from e


def _fitted(image: NDArray[np.uint8], high: int, wide: int) -> NDArray[np.uint8]:
    """Scale a picture into a size, black beside it where its shape is another."""
    share = min(high / image.shape[0], wide / image.shape[1])
    h, w = max(round(image.shape[0] * share), 1), max(round(image.shape[1] * share), 1)
    top, left = (high - h) // 2, (wide - w) // 2
    scaled = image if (h, w) == image.shape[:2] else cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    out = np.zeros((high, wide, 3), np.uint8)
    out[top : top + h, left : left + w] = scaled
    return out


def _named(image: NDArray[np.uint8], clip: Clip) -> NDArray[np.uint8]:
    words = fitted(clip.label, f"{clip.score:.2f}", image.shape[1] - 2 * _MARGIN)
    write(image, words, (_MARGIN, image.shape[0] - 6), colour(clip.label))
    return image


def _tile(image: NDArray[np.uint8], clip: Clip) -> NDArray[np.uint8]:
    high = math.ceil(image.shape[0] * _WIDTH / image.shape[1])
    below = np.zeros((_WORDS, _WIDTH, 3), np.uint8)
    words = fitted(clip.label, f"{clip.score:.2f} {clock(clip.start)}", _WIDTH - 2 * _MARGIN)
    write(below, words, (_MARGIN, _WORDS - 7), WHITE)
    return np.vstack([_fitted(image, high, _WIDTH), below])
