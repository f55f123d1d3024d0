"""Annotated video: people as skeletons in the pictures, and below them what happens now and when. Knows no decoder."""

from __future__ import annotations

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
from .panel import Inks, Panel, clock, lanes_of
from .skeletons import FindsPeople, draw_people
from .video_writer import Movie, check_ending

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Lanes of a live stream, whose classes are not known before.
_LIVE_LANES = 3


class Annotator:
    """Puts a panel below each picture; all get the size of the first.

    Args:
        lanes: classes that get a lane; for a stream how many lanes there are, which go to what is shown.
        warning: words of a warning that stays.
        people: finds the people to draw, if they are to be drawn.
    """

    def __init__(self, lanes: Sequence[str] | int, warning: str = "", people: FindsPeople | None = None) -> None:
        self._lanes, self._warning, self._people = lanes, warning, people
        self._panel: Panel | None = None
        self._inks = Inks()
        for name in () if isinstance(lanes, int) else lanes:
            self._inks(name)

    def __call__(
        self,
        image: NDArray[np.uint8],
        now: float,
        segments: Sequence[Segment],
        span: tuple[float, float],
        time: str,
    ) -> NDArray[np.uint8]:
        """Return a picture [H, W, 3] uint8 RGB with its panel below; the picture itself stays as it is.

        Args:
            image: the picture.
            now: its seconds.
            segments: what is shown.
            span: seconds of the strips.
            time: words for the time.
        """
        import cv2
        import numpy as np

        fixed = () if isinstance(self._lanes, int) else tuple(self._lanes)
        many = self._lanes if isinstance(self._lanes, int) else max(len(fixed), 1)
        names = lanes_of(segments, many) if isinstance(self._lanes, int) else fixed
        high, wide = image.shape[:2]
        panel = self._panel = self._panel or Panel(high, wide, many, bool(self._warning), fixed)
        if (high, wide) == (panel.height, panel.width):
            picture = image.copy()
        else:
            picture = np.asarray(cv2.resize(image, (panel.width, panel.height)), np.uint8)
        if self._people is not None:
            draw_people(picture, self._people(picture, now))
        return np.vstack([picture, panel.draw(now, segments, span, names, time, self._inks, self._warning)])


def write(
    path: str | Path,
    result: VideoSegments,
    frames: Iterable[tuple[float, NDArray[np.uint8]]],
    fps: float,
    people: FindsPeople | None = None,
) -> None:
    """Write the annotated video of a finished localization, whole or not at all; memory holds one picture.

    Pictures stay as they are but for skeletons; a panel below them shows what is on, and the whole video's time.

    Args:
        path: the video to write, with one of `video_writer.ENDINGS`.
        result: what is drawn; the strips span the whole video.
        frames: (seconds, picture [H, W, 3] uint8 RGB) of the same video.
        fps: its nominal frames a second.
        people: finds the people of each picture, whose skeletons are drawn.

    Raises:
        UsageError: an ending that is not one of `video_writer.ENDINGS`.
        SinkError: the file cannot be written.
    """
    path = Path(path)
    check_ending(path)
    annotate = Annotator(lanes_of(result.segments), UNLIKE if result.info.out_of_domain else "", people)
    length = result.info.duration
    with whole_file(path) as temporary, closing(Movie(temporary, fps, name=path)) as movie:
        for seconds, image in frames:
            time = f"{clock(seconds)} / {clock(length)}"
            movie.write(annotate(image, seconds, result.segments, (0.0, length), time), seconds)


class LiveOverlay(Closing):
    """The annotated video of a stream: a picture is written when the events about it are known.

    Pictures wait as JPEG for `delay_s`; what becomes known later is not drawn into them any more. Actions become final
    the declared lateness after their end: of longer ones than `delay_s` less that, the beginning is drawn only where
    the sink gets provisional events too, and then with a question mark. The file can be played while it is written.
    A file that is there already is kept: NAME.000001.mp4 is the next.

    Args:
        path: the video to write.
        delay_s: seconds of stream time that a picture waits.
        span_s: seconds that the strips show, the present at their right end.
        fps: nominal frames a second.
        max_side: larger pictures are scaled down to it, pixels; 0: never.
        max_bytes: pictures that wait take no more; beyond it the oldest are written early, counted in `early`.
        people: finds the people of each picture, whose skeletons are drawn.

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
        people: FindsPeople | None = None,
    ) -> None:
        require(0 < span_s < float("inf"), "span_s", span_s, "positive")
        self._ring = Ring(delay_s, max_bytes, max_side)
        self._span_s, self.early = span_s, 0
        self._annotate = Annotator(_LIVE_LANES, people=people)
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
        self._segments[event.id] = Segment(event.start, end, label, event.score, event.subject)

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
        shown = [s for s in self._segments.values() if s.start <= now]
        image = self._annotate(kept.image(), now, shown, (now - self._span_s, now), clock(now))
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
