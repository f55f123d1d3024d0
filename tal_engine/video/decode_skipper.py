"""Skip decoding when only every n-th frame is kept. Works on packets and their order, independent of queue policies.

Little is lost beyond the frames that would be dropped: once not all frames are kept, non-reference frames (mostly
B-frames) are not decoded, and if at most one frame per key frame is kept, only key frames are decoded. Of intra-only
video (MJPEG) exactly the kept frames are decoded.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

#: Number of key-frame distances needed for a decision, and number of newest ones that are kept.
_FEW, _LAST = 2, 8
#: Most packets without a frame that are remembered.
_MOST = 10_000
#: Time stamps that go back by more than this, in seconds, restart.
_BACK_S = 1.0


class DecodeSkipper:
    """Decides which packets of one connection or file need not be decoded.

    keep_every: which n-th frame will be kept; 1 keeps all. skip: frames that the decoder leaves out of its packets, as
    FFmpeg names them. skipped: whether the last packet need not be decoded.
    """

    def __init__(self) -> None:
        self.keep_every = 1
        self.skip: Literal["DEFAULT", "NONREF"] = "DEFAULT"
        self.skipped = False
        self._skip_counter = 0  # frames since the last one that the decoder got
        self._from_key = 0
        self._distances: deque[int] = deque(maxlen=_LAST)
        self._keys_only = False
        self._undecided: list[float] = []  # seconds of packets that give no frame, or may give none
        self._last = -math.inf

    def should_skip(self, packet: Packet[VideoStream]) -> bool:
        """Return whether the decoder can do without the next packet; set `skip` if it needs it."""
        self.skip, self.skipped = "DEFAULT", False
        if not packet.size:  # the end: the decoder returns its remaining frames
            return False
        seconds = _seconds(packet)
        if seconds < self._last - _BACK_S:  # undecided packets precede whatever comes now
            self._undecided = [-math.inf] * len(self._undecided)
        self._last = seconds
        if packet.is_keyframe:
            self._distances.append(self._from_key)
            self._from_key = 0
            sparse = len(self._distances) > _FEW and self.keep_every >= max(self._distances)
            self._keys_only = self.keep_every > 1 and sparse
        self._from_key += 1
        self._skip_counter += 1
        self.skipped = self._keys_only and not (packet.is_keyframe and self._skip_counter >= self.keep_every)
        if self.keep_every > 1 and not self._keys_only and seconds > -math.inf:
            self.skip = "NONREF"
        if self.skipped or self.skip == "NONREF":
            heappush(self._undecided, seconds)
            if len(self._undecided) > _MOST:
                heappop(self._undecided)
        if not self.skipped:
            self._skip_counter = 0
        return self.skipped

    def before(self, seconds: float | None) -> int:
        """Count the frames left out between the last frame and the one at `seconds` of the source."""
        if seconds is None:
            return self.rest()
        count = 0
        while self._undecided and self._undecided[0] <= seconds + 1e-6:
            count += heappop(self._undecided) < seconds - 1e-6
        return count

    @property
    def pending(self) -> int:
        """Number of frames that may have been left out after the last one."""
        return len(self._undecided)

    def rest(self) -> int:
        """Count the frames left out after the last one, and start over."""
        count = len(self._undecided)
        self._undecided.clear()
        return count


def _seconds(packet: Packet[VideoStream]) -> float:
    if packet.pts is None or packet.time_base is None:
        return -math.inf
    return packet.pts * packet.time_base.numerator / packet.time_base.denominator
