"""What a decoder is spared when only every n-th frame is kept. Knows packets and their order, no policies.

Little is lost beyond what would be thrown away: as soon as not all frames are kept, those that no other is made of are
not decoded (B-frames, mostly), and where no more than one from key frame to key frame is kept, none but key frames are.
Where each picture stands for itself (MJPEG) just those that are kept are decoded.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

#: Key frames are as far apart as the furthest of the last ones; fewer than the first number tell nothing.
_FEW, _LAST = 2, 8
#: So many packets without a frame are remembered.
_MOST = 10_000
#: Time stamps that go back so far begin anew.
_BACK_S = 1.0


class Thinning:
    """Of one connection or file.

    every: which n-th frame will be kept, 1 is all. skip: what the decoder is to leave out of the packets it gets.
    spared: the last packet was one that it need not get.
    """

    def __init__(self) -> None:
        self.every = 1
        self.skip: Literal["DEFAULT", "NONREF"] = "DEFAULT"
        self.spared = False
        self._turn = 0  # frames since the last one that the decoder got
        self._from_key = 0
        self._distances: deque[int] = deque(maxlen=_LAST)
        self._keys_only = False
        self._undecided: list[float] = []  # seconds of packets that give no frame, or may give none
        self._last = -math.inf

    def spares(self, packet: Packet[VideoStream]) -> bool:
        """Whether the decoder need not get the next packet; if it does, it is told to `skip`."""
        self.skip, self.spared = "DEFAULT", False
        if not packet.size:  # the end: the decoder gives what it still has
            return False
        seconds = _seconds(packet)
        if seconds < self._last - _BACK_S:  # what is undecided was before whatever comes now
            self._undecided = [-math.inf] * len(self._undecided)
        self._last = seconds
        if packet.is_keyframe:
            self._distances.append(self._from_key)
            self._from_key = 0
            self._keys_only = len(self._distances) > _FEW and self.every >= max(self._distances)
        self._from_key += 1
        self._turn += 1
        self.spared = self._keys_only and not (packet.is_keyframe and self._turn >= self.every)
        if self.every > 1 and not self._keys_only and seconds > -math.inf:
            self.skip = "NONREF"
        if self.spared or self.skip == "NONREF":
            heappush(self._undecided, seconds)
            if len(self._undecided) > _MOST:
                heappop(self._undecided)
        if not self.spared:
            self._turn = 0
        return self.spared

    def before(self, seconds: float | None) -> int:
        """How many frames between the last one and that of these seconds of the source were left out."""
        if seconds is None:
            return self.rest()
        count = 0
        while self._undecided and self._undecided[0] <= seconds + 1e-6:
            count += heappop(self._undecided) < seconds - 1e-6
        return count

    @property
    def pending(self) -> int:
        """How many frames may have been left out after the last one."""
        return len(self._undecided)

    def rest(self) -> int:
        """How many frames were left out after the last one, which is over with that."""
        count = len(self._undecided)
        self._undecided.clear()
        return count


def _seconds(packet: Packet[VideoStream]) -> float:
    if packet.pts is None or packet.time_base is None:
        return -math.inf
    return packet.pts * packet.time_base.numerator / packet.time_base.denominator
