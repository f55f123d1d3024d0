"""Pacing and de-duplication of the packets of HLS segments."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

#: Speed of packets relative to capture: late ones catch up, and no segment passes all at once.
_SPEED = 1.1
#: A longer step, in seconds, is a pause of the source, and is not waited for.
_LONGEST_S = 1.0
#: Most packets that are remembered: more than a new connection repeats.
_KEPT = 10_000


class HlsSegments:
    """The packets of one HLS source, over all its connections.

    A segment that arrives at once would overrun the frame queue and hide when its frames were captured, so packets are
    delayed to about their capture rate.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last: tuple[float, float] | None = None
        self._seen: dict[int, int | None] = {}  # checksums of packets by time stamp, newest last
        self._repeating = False

    def connected(self) -> None:
        """Note a new connection, which may begin with packets that were seen."""
        self._repeating = True
        for newest in list(self._seen)[-1:]:
            self._seen[newest] = None  # may have been truncated: anything there now counts as the same

    def is_new(self, packet: Packet[VideoStream]) -> bool:
        """Return whether earlier connections did not give this packet; after the first new one, all are."""
        content, stamp = zlib.crc32(packet), packet.pts or 0
        # later packets prove nothing: those of a still image are all alike
        self._repeating = self._repeating and self._seen.get(stamp, -1) in (content, None)
        if not self._repeating:
            self._seen.pop(stamp, None)
            self._seen[stamp] = content
        if len(self._seen) > _KEPT:
            del self._seen[next(iter(self._seen))]
        return not self._repeating

    def pause(self, packet: Packet[VideoStream]) -> float:
        """Return the seconds that a packet has to wait to keep an even pace."""
        at = self._now()
        if packet.dts is None or packet.time_base is None:
            return 0.0
        seconds, last = float(packet.dts * packet.time_base), self._last
        step = 0.0 if last is None else seconds - last[0]
        due = last[1] + step / _SPEED if last is not None and 0 < step <= _LONGEST_S else at
        self._last = (seconds, max(due, at))
        return max(due - at, 0.0)
