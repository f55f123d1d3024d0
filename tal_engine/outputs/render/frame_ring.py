"""The last seconds of a stream's pictures, as JPEG, within a number of bytes. Knows nothing of events.

Safe to share between the thread that adds pictures and one that reads them.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import SinkError, require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture on screen from `seconds` of stream time."""

    seconds: float
    jpeg: bytes

    def image(self) -> NDArray[np.uint8]:
        """Decode the image, [H, W, 3] uint8 RGB."""
        import cv2
        import numpy as np

        decoded = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        if decoded is None:
            raise SinkError(f"the picture at {self.seconds:.3f} s cannot be read back")
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


class Ring:
    """Pictures of the last `seconds`; the oldest go first where they take more than `max_bytes`.

    Args:
        seconds: of stream time, from the newest picture back.
        max_bytes: of JPEG data.
        max_side: larger pictures are scaled down to it, pixels; 0: never.

    lost: the time of the newest picture that was dropped for age or size, or None.
    """

    def __init__(self, seconds: float, max_bytes: int = 256 << 20, max_side: int = 0) -> None:
        require(0 < seconds < float("inf"), "seconds", seconds, "positive")
        require(max_bytes > 0, "max_bytes", max_bytes, "positive")
        require(max_side >= 0, "max_side", max_side, "0 (as they come) or more")
        self.seconds, self._max_bytes, self._max_side = seconds, max_bytes, max_side
        self.lost: float | None = None
        self._kept: deque[Kept] = deque()
        self._bytes, self._ended = 0, False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes that the pictures take."""
        return self._bytes

    def push(self, image: NDArray[np.uint8], seconds: float) -> list[Kept]:
        """Add a picture [H, W, 3] uint8 RGB; those that leave the ring for it are returned, oldest first.

        A picture that is not later than the newest one is not added: time that went back.
        """
        if self._kept and not seconds > self._kept[-1].seconds:
            return []
        kept = Kept(seconds, self._jpeg(image))
        with self._changed:
            self._kept.append(kept)
            self._bytes += len(kept.jpeg)
            gone = []
            while len(self._kept) > 1 and (
                self._bytes > self._max_bytes or self._kept[0].seconds < seconds - self.seconds
            ):
                gone.append(self._kept.popleft())
                self._bytes -= len(gone[-1].jpeg)
                self.lost = gone[-1].seconds
            self._changed.notify_all()
        return gone

    def between(self, start: float, end: float) -> list[Kept]:
        """Return the images with start <= seconds < end."""
        with self._changed:
            return [k for k in self._kept if start <= k.seconds < end]

    def drain(self) -> list[Kept]:
        """Take all pictures out, oldest first."""
        with self._changed:
            gone, self._bytes = list(self._kept), 0
            self._kept.clear()
        return gone

    def end(self) -> None:
        """Note that no more images come, and release whoever waits for them."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, seconds: float, timeout: float) -> bool:
        """Wait until the ring has seen `seconds` of stream time; False: the stream ended or stalled before."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._reached(seconds), timeout)
            return self._reached(seconds)

    def _reached(self, seconds: float) -> bool:
        return bool(self._kept) and self._kept[-1].seconds >= seconds

    def _jpeg(self, image: NDArray[np.uint8]) -> bytes:
        import cv2

        height, width = image.shape[:2]
        if 0 < self._max_side < max(height, width):
            scale = self._max_side / max(height, width)
            size = (max(round(width * scale), 1), max(round(height * scale), 1))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]  # stays uint8
        ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if not ok:
            raise SinkError(f"a picture of shape {list(image.shape)} cannot be kept as JPEG")
        return data.tobytes()
