"""Streams in pieces of some seconds (HLS): they go on at an even pace, and what comes again is known. Knows packets."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

#: So much faster than they were made packets go on: what came late catches up, and no piece comes all at once.
_SPEED = 1.1
#: A longer step is a pause of the source, and not waited for.
_LONGEST_S = 1.0
#: So many packets are remembered: more than a new connection goes back.
_KEPT = 10_000


class Pieces:
    """The packets of one source, over all its connections.

    A piece that is there at once would overrun every line of frames and tell nothing about when its frames were made:
    packets are held up so that they go on about as fast as they were made.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last: tuple[float, float] | None = None
        self._seen: dict[int, int | None] = {}  # what packets are, by their time stamps; the newest last
        self._repeating = False

    def connected(self) -> None:
        """What comes now may begin with what was seen."""
        self._repeating = True
        for newest in list(self._seen)[-1:]:
            self._seen[newest] = None  # it may have been cut off with the connection: whatever is there now is the same

    def is_new(self, packet: Packet[VideoStream]) -> bool:
        """Whether the connections before did not give this packet; after the first that is new, all are."""
        content, stamp = zlib.crc32(packet), packet.pts or 0
        # nothing can be told by packets that follow: those of a still picture are all alike
        self._repeating = self._repeating and self._seen.get(stamp, -1) in (content, None)
        if not self._repeating:
            self._seen.pop(stamp, None)
            self._seen[stamp] = content
        if len(self._seen) > _KEPT:
            del self._seen[next(iter(self._seen))]
        return not self._repeating

    def pause(self, packet: Packet[VideoStream]) -> float:
        """Seconds that a packet has to wait before it goes on."""
        at = self._now()
        if packet.dts is None or packet.time_base is None:
            return 0.0
        seconds, last = float(packet.dts * packet.time_base), self._last
        step = 0.0 if last is None else seconds - last[0]
        due = last[1] + step / _SPEED if last is not None and 0 < step <= _LONGEST_S else at
        self._last = (seconds, max(due, at))
        return max(due - at, 0.0)
