"""Annotated video: what happens now and a timeline, drawn into the pictures. Knows pictures and times, no decoder.

Labels are drawn in OpenCV's built-in letters: signs beyond ASCII show as question marks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ..._util.files import whole_file
from ...errors import SinkError, require
from ...events import Event
from ...records import UNLIKE, Segment, VideoSegments
from ..sinks.sink import Closing
from .frame_ring import Kept, Ring
from .video_writer import Movie, check_ending

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Colours of labels, RGB, chosen by a hash of the name: the same in every video.
_COLOURS = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (120, 120, 255),
    (160, 220, 120),
)  # fmt: skip
_DARK, _WHITE, _ALARM = (25, 25, 25), (255, 255, 255), (185, 28, 28)
#: At most so many labels are drawn at a time, best first.
_LINES = 4


def colour(label: str) -> tuple[int, int, int]:
    """Return the RGB colour of a label, the same for one with a question mark."""
    return _COLOURS[hashlib.sha256(label.removesuffix(" ?").encode()).digest()[0] % len(_COLOURS)]


def draw(image: NDArray[np.uint8], now: float, segments: Sequence[Segment], first: float, last: float) -> None:
    """Draw into a picture [H, W, 3] uint8 RGB: labels that are on at `now`, and a bar of the time [first, last)."""
    _draw_labels(image, sorted((s for s in segments if s.start <= now < s.end), key=lambda s: -s.score)[:_LINES])
    _draw_bar(image, now, segments, first, last)


def bar(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the rows of the bar in an image of this shape: from, to."""
    height = int(shape[0])
    return height - max(height // 16, 2), height


def _draw_labels(image: NDArray[np.uint8], active: Sequence[Segment]) -> None:
    import cv2

    scale = max(image.shape[0] / 480, 0.3)
    step, thickness = round(26 * scale), max(round(2 * scale), 1)
    for k, s in enumerate(active):
        words = f"{s.label} {s.score:.2f}".encode("ascii", "replace").decode()
        width = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, 0.7 * scale, thickness)[0][0]
        top, bottom = k * step, (k + 1) * step
        cv2.rectangle(image, (0, top), (width + 2 * step // 3, bottom - 1), _DARK, -1)
        cv2.rectangle(image, (0, top), (step // 4, bottom - 1), colour(s.label), -1)
        at = (step // 2, bottom - step // 4)
        cv2.putText(image, words, at, cv2.FONT_HERSHEY_SIMPLEX, 0.7 * scale, _WHITE, thickness, cv2.LINE_AA)


def _draw_notice(image: NDArray[np.uint8], words: str) -> None:
    """Draw a line of words over the bar, as large as the picture's width allows."""
    import cv2

    bottom, width = bar(image.shape)[0], int(image.shape[1])
    (length, height), below = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    scale = min(0.9 * width / length, image.shape[0] / 480)
    top = bottom - round((height + below) * scale * 1.4)
    cv2.rectangle(image, (0, top), (width, bottom - 1), _ALARM, -1)
    at = (round(0.03 * width), bottom - 1 - round(below * scale))
    cv2.putText(image, words, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _WHITE, 1, cv2.LINE_AA)


def _draw_bar(image: NDArray[np.uint8], now: float, segments: Sequence[Segment], first: float, last: float) -> None:
    top, bottom = bar(image.shape)
    width = int(image.shape[1])

    def column(seconds: float) -> int:
        share: float = (min(max(seconds, first), last) - first) / max(last - first, 1e-9)
        return round(share * width)

    image[top:bottom] = _DARK
    for s in sorted(segments, key=lambda s: s.score):  # the best lies on top
        if s.end > first and s.start < last:
            left = min(column(s.start), width - 1)
            image[top + 1 : bottom, left : max(column(s.end), left + 1)] = colour(s.label)
    cursor = min(column(now), width - 1)
    image[top:bottom, cursor : cursor + max(width // 320, 1)] = _WHITE


def write(
    path: str | Path, result: VideoSegments, frames: Iterable[tuple[float, NDArray[np.uint8]]], fps: float
) -> None:
    """Write the annotated video of a finished localization, whole or not at all; memory holds one picture.

    Args:
        path: the video to write, with one of `video_writer.ENDINGS`.
        result: what is drawn; the bar spans the whole video.
        frames: (seconds, picture [H, W, 3] uint8 RGB) of the same video.
        fps: its nominal frames a second.

    Raises:
        UsageError: an ending that is not one of `video_writer.ENDINGS`.
        SinkError: the file cannot be written.
    """
    path = Path(path)
    check_ending(path)
    with whole_file(path) as temporary, closing(Movie(temporary, fps, name=path)) as movie:
        for seconds, image in frames:
            picture = image.copy()
            draw(picture, seconds, result.segments, 0.0, result.info.duration)
            if result.info.out_of_domain:
                _draw_notice(picture, UNLIKE)
            movie.write(picture, seconds)


class LiveOverlay(Closing):
    """The annotated video of a stream: a picture is written when the events about it are known.

    Pictures wait as JPEG for `delay_s`; what becomes known later is not drawn into them any more. Actions become final
    the declared lateness after their end: of longer ones than `delay_s` less that, the beginning is drawn only where
    the sink gets provisional events too, and then with a question mark. The file can be played while it is written.
    A file that is there already is kept: NAME.000001.mp4 is the next.

    Args:
        path: the video to write.
        delay_s: seconds of stream time that a picture waits.
        span_s: seconds that the bar shows, the present at its right end.
        fps: nominal frames a second.
        max_side: larger pictures are scaled down to it, pixels; 0: never.
        max_bytes: pictures that wait take no more; beyond it the oldest are written early, counted in `early`.

    Raises:
        UsageError: an argument makes no sense, or an ending that is not one of `video_writer.ENDINGS`.
        SinkError: the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        delay_s: float,
        *,
        span_s: float = 60.0,
        fps: float = 25.0,
        max_side: int = 640,
        max_bytes: int = 256 << 20,
    ) -> None:
        require(0 < span_s < float("inf"), "span_s", span_s, "positive")
        self._ring = Ring(delay_s, max_bytes, max_side)
        self._span_s, self.early = span_s, 0
        self._segments: dict[str, Segment] = {}
        self._movie = Movie(_free(Path(path)), fps, live=True)
        self._begin: float | None = None

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self._movie.path

    def push(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Take a picture [H, W, 3] uint8 RGB at `seconds` of stream time, and write those that waited long enough.

        Raises:
            SinkError: the file cannot be written.
        """
        for kept in self._ring.push(image, seconds):
            self.early += kept.seconds >= seconds - self._ring.seconds
            self._show(kept)

    def write(self, event: Event) -> None:
        """Take an event: it is drawn into the pictures that still wait; one that is withdrawn no more."""
        if event.kind == "withdrawn":
            self._segments.pop(event.id, None)
            return
        end = float("inf") if event.end is None else event.end
        label = event.label if event.is_final else f"{event.label} ?"
        self._segments[event.id] = Segment(event.start, end, label, event.score)

    def close(self) -> None:
        """Write the pictures that wait and end the file.

        Raises:
            SinkError: the file cannot be written.
        """
        try:
            for kept in self._ring.drain():
                self._show(kept)
        finally:
            self._movie.close()

    def _show(self, kept: Kept) -> None:
        now = kept.seconds
        self._begin = now if self._begin is None else self._begin
        self._segments = {k: s for k, s in self._segments.items() if s.end > now - self._span_s}
        image = kept.image()
        draw(image, now, list(self._segments.values()), now - self._span_s, now)
        self._movie.write(image, now - self._begin)


def _free(path: Path) -> Path:
    """Return the path, or the path with the first free number."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, free = 0, path
        while free.is_file():  # a pipe is written through
            number += 1
            free = path.with_name(f"{path.stem}.{number:06d}{path.suffix}")
    except OSError as e:
        raise SinkError(f"{path}: cannot be written ({e.strerror})") from e
    return free
