"""Evidence: for each final event the piece of video it is about, and a JSON file beside it.

Clips are cut in a thread of their own (`delivery`) and never hold up the stream. Of a file they are exact to the
picture: all whose time is in [start - pad, end + pad), decoded and encoded again. Of a live stream they come from a
ring of the last seconds; what the ring no longer has, or never got, is said in the JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SinkError, VideoError, VideoFault, require
from ..events import Event
from ..files import whole_file, write_text
from .delivery import Delivery, DeliveryOptions, Refused
from .live import Closing
from .movie import Movie
from .ring import Ring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA = "tal.clip/1"
#: Clips wait as events, not as pictures: a long queue costs nothing, but the ring runs away from a long one.
_OPTIONS = DeliveryOptions(queue_size=100, drain_s=60.0)
#: A live source that stalls is waited for this much longer than the pad, seconds; then the clip ends where it stands.
_PATIENCE_S = 10.0
_DEAD = "not-cut.jsonl"


def clip_name(event_id: str) -> str:
    """A file name for an event's id: the id where it is plain, else its plain letters and a hash; never a path."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", event_id).lstrip(".")[:100]
    if plain and plain == event_id:
        return plain
    return f"{plain}-{hashlib.sha256(event_id.encode()).hexdigest()[:8]}"


class _Folder:
    """Writes clips: the video first, then its JSON, each whole or not at all. A clip with its JSON is not cut again."""

    def __init__(self, folder: str | Path, pad_s: float, fps: float) -> None:
        require(0 <= pad_s < float("inf"), "pad_s", pad_s, "0 or more")
        require(0 < fps < float("inf"), "fps", fps, "positive")
        self.path, self.pad_s, self.fps = Path(folder), pad_s, fps
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise SinkError(f"{self.path}: cannot be made ({e.strerror})") from e

    def span(self, event: Event) -> tuple[float, float]:
        """What the clip of an event shows, seconds of stream time."""
        end = event.start_time if event.end_time is None else event.end_time
        return event.start_time - self.pad_s, end + self.pad_s

    def has(self, event: Event) -> bool:
        """The event's clip is there."""
        return (self.path / f"{clip_name(event.id)}.json").exists()

    def save(self, event: Event, pictures: Iterable[tuple[float, NDArray[np.uint8]]], lacks: dict[str, float]) -> None:
        """Write the clip and its JSON.

        Raises:
            SinkError: a file cannot be written.
            Refused: no pictures.
        """
        name, (start, end) = clip_name(event.id), self.span(event)
        first = last = None
        try:
            video = self.path / f"{name}.mp4"
            with whole_file(video) as temporary, closing(Movie(temporary, self.fps, name=video)) as movie:
                for seconds, image in pictures:
                    first = seconds if first is None else first
                    last = seconds
                    movie.write(image, seconds - first)
                if first is None:
                    raise Refused(f"no pictures between {start:.3f} and {end:.3f} s")
            about = {
                "event": event.to_dict(),
                "plan": event.plan,
                "source": event.source,
                "video": video.name,
                "start": start,
                "end": end,
                "first_picture": first,
                "last_picture": last,
                "pictures": movie.pictures,
                "complete": not lacks,
                "lacks": lacks,
                "schema": SCHEMA,
            }
            write_text(self.path / f"{name}.json", json.dumps(about, indent=1) + "\n")
        except OSError as e:
            raise SinkError(f"{self.path / name}: cannot be written ({e.strerror})") from e


class _FromFile:
    """Cuts clips out of a video file; times are seconds since the start of its container."""

    def __init__(self, source: Path, folder: _Folder) -> None:
        self._source, self._folder = source, folder

    def __call__(self, event: Event) -> None:
        """Cut one clip."""
        if not self._folder.has(event):
            self._folder.save(event, _pictures(self._source, *self._folder.span(event)), {})

    def close(self) -> None:
        """Nothing is held between clips."""


class _FromRing:
    """Cuts clips out of the last seconds of a stream."""

    def __init__(self, ring: Ring, folder: _Folder) -> None:
        self._ring, self._folder = ring, folder

    def __call__(self, event: Event) -> None:
        """Wait for the pictures after the action, then cut one clip."""
        if self._folder.has(event):
            return
        start, end = self._folder.span(event)
        reached = self._ring.wait_for(end, self._folder.pad_s + _PATIENCE_S)
        kept, lost = self._ring.between(start, end), self._ring.lost
        lacks: dict[str, float] = {}
        if lost is not None and lost >= start:
            lacks["start_s"] = round(min(kept[0].seconds if kept else end, end) - start, 3)
        if not reached and kept:
            lacks["end_s"] = round(end - kept[-1].seconds, 3)
        self._folder.save(event, ((k.seconds, k.image()) for k in kept), lacks)

    def close(self) -> None:
        """Nobody waits for pictures any more."""
        self._ring.end()


def file_clips(
    source: str | Path,
    folder: str | Path,
    pad_s: float = 1.0,
    fps: float = 25.0,
    options: DeliveryOptions | None = None,
) -> Delivery:
    """A sink that cuts a clip of a video file for each final event: FOLDER/ID.mp4 and FOLDER/ID.json.

    Args:
        source: the file that is localized; stream time is seconds since the start of its container.
        folder: where clips go; events that cannot be cut go to FOLDER/not-cut.jsonl.
        pad_s: seconds before and after the action.
        fps: the source's nominal frames a second.
        options: queue and how long `close` waits.

    Raises:
        VideoError: no such file.
        UsageError, SinkError: the folder cannot be made, an argument makes no sense.
    """
    if not Path(source).is_file():
        raise VideoError(VideoFault.MISSING, f"{source}: no such file")
    target = _Folder(folder, pad_s, fps)
    return Delivery(f"clips {folder}", _FromFile(Path(source), target), target.path / _DEAD, options or _OPTIONS)


class LiveClips(Closing):
    """A sink that cuts clips of a live stream out of a ring of its last seconds.

    Args:
        folder: where clips go; events that cannot be cut go to FOLDER/not-cut.jsonl.
        ring_s: seconds of pictures that are kept. For whole clips: the longest action, the declared lateness, twice
            the pad and a few seconds for cutting.
        pad_s: seconds before and after the action.
        fps: nominal frames a second.
        max_bytes: pictures take no more; beyond it the oldest go, and clips say what they lack.
        options: queue and how long `close` waits.

    Raises:
        UsageError, SinkError: the folder cannot be made, an argument makes no sense.
    """

    def __init__(
        self,
        folder: str | Path,
        ring_s: float,
        pad_s: float = 1.0,
        fps: float = 25.0,
        *,
        max_bytes: int = 256 << 20,
        options: DeliveryOptions | None = None,
    ) -> None:
        target = _Folder(folder, pad_s, fps)
        self._ring = Ring(ring_s, max_bytes)
        self.delivery = Delivery(
            f"clips {folder}", _FromRing(self._ring, target), target.path / _DEAD, options or _OPTIONS
        )

    def push(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Take a picture [H, W, 3] uint8 RGB at `seconds` of stream time."""
        self._ring.push(image, seconds)

    def write(self, event: Event) -> None:
        """Take a final event; its clip is cut when the stream has gone on for the pad."""
        self.delivery.write(event)

    def hurry(self) -> None:
        """Let `close` wait for nothing."""
        self.delivery.hurry()

    def close(self) -> None:
        """Cut what waits, with the pictures that are there."""
        self._ring.end()
        self.delivery.close()


def _pictures(source: Path, start: float, end: float) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """(seconds since the start of the container, picture) with start <= seconds < end.

    Raises:
        VideoError: the file cannot be read.
    """
    import av

    try:
        begin = start if _leads_to(source, start) else float("-inf")
        for seconds, frame in _frames(source, begin):
            if seconds >= end:
                return
            if seconds >= start:
                yield seconds, _upright(frame)
    except av.error.FFmpegError as e:
        raise VideoError(VideoFault.NOT_A_VIDEO, f"{source}: cannot be read ({e.strerror or e})") from e


def _leads_to(source: Path, start: float) -> bool:
    """Seeking to a time ends at a picture that is not after it; containers without an index get this wrong."""
    first = next(_frames(source, start), None)
    return first is not None and first[0] <= start


def _frames(source: Path, begin: float) -> Iterator[tuple[float, Any]]:
    """(seconds, frame) from the last key picture before `begin` on."""
    import av

    with av.open(str(source)) as container:
        stream = next(s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
        stream.thread_type = "AUTO"
        zero = None if container.start_time is None else container.start_time / av.time_base
        if zero is not None and begin > 0 and stream.time_base:
            container.seek(int((begin + zero) / stream.time_base), stream=stream, backward=True)
        sought = zero is not None and begin > 0
        for frame in container.decode(stream):
            sought = sought and not frame.key_frame  # pictures shown before the key picture lack what they refer to
            if sought or frame.pts is None:
                continue
            zero = frame.time if zero is None else zero
            yield frame.time - zero, frame


def _upright(frame: Any) -> NDArray[np.uint8]:
    """The picture [H, W, 3] RGB, turned as its display matrix says."""
    import numpy as np

    image: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    turns = round((frame.rotation or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
