"""Evidence: for each final event the piece of video it is about, and a JSON file beside it.

Clips are cut in a thread of their own (`delivery`) and never hold up the stream. They come from a ring of its last
seconds; what the ring no longer has, or never got, is said in the JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ..._util.files import whole_file, write_text
from ...errors import SinkError, require
from ...events import Event
from ..render.frame_ring import Ring
from ..render.video_writer import Movie
from .delivery import Delivery, DeliveryOptions, PermanentError
from .sink import Closing

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
    """Return a file name for an event's id: the id if plain, else its plain letters and a hash; never a path."""
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
        """Return what the clip of an event shows, in seconds of stream time."""
        end = event.start if event.end is None else event.end
        return event.start - self.pad_s, end + self.pad_s

    def has(self, event: Event) -> bool:
        """Return whether the event's clip exists."""
        return (self.path / f"{clip_name(event.id)}.json").exists()

    def save(self, event: Event, pictures: Iterable[tuple[float, NDArray[np.uint8]]], lacks: dict[str, float]) -> None:
        """Write the clip and its JSON.

        Raises:
            SinkError: a file cannot be written.
            PermanentError: no pictures.
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
                    raise PermanentError(f"no pictures between {start:.3f} and {end:.3f} s")
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
        """Stop waiting for frames."""
        self._ring.end()


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
