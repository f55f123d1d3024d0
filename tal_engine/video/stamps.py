"""Which time stamps of a file's packets say when a picture is shown, and which packets gave no picture.

Containers such as AVI and ASF store when a packet is decoded. Where pictures are shown in another order (B-frames) that
is not when they are shown. No list of containers decides: what counts is what the packets say.

- Packets without a presentation time, whose known ones all equal the decoding times, are stamped by the latter.
- As long as no stamp goes back from packet to packet although the decoder reorders pictures, stamps are times of
  decoding: the k-th picture that is shown gets the k-th of them. At a constant rate that is k / rate. For pictures that
  are shown in the order of their packets, and for stamps that are reordered with them, this changes nothing.
- Gaps between known presentation times are filled by FFmpeg's genpts, which guesses wrongly without any of these; so it
  is switched on only then.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: AVFMT_FLAG_GENPTS of libavformat; PyAV sets it for every file that it opens.
_GENPTS = 1
#: A step between two pictures of more frame times is searched for packets that gave none, which must be so many frame
#: times from either: the second field of a picture has a packet of its own half a frame later, and is no loss.
_HOLE, _APART = 1.5, 0.75
#: Packets up to this size say "the same picture again" (N-VOP of MPEG-4) and give no frame.
_NOTHING_BYTES = 8
#: A longer step is no loss but another clock, or a pause.
_NEW_CLOCK_S = 10.0
#: So many packets without a frame are remembered.
_MOST = 512


class Stamps:
    """The time stamps of one stream of a container that is read from its start.

    failed: packets whose decoding failed. `lost` packets had a picture and gave none, with an error or without. They
    are counted with the frame that comes after them, or at the end.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, frame_seconds: float) -> None:
        self.lost = self.failed = 0
        self._missed: set[int] = set()  # stamps of packets that gave no picture
        self._torn: int | None = None  # stamp of the last packet that the container calls damaged
        self.behind = 0.0  # seconds from the last frame to the last packet that gave none
        self._container, self._codec = container, stream.codec_context
        container.flags &= ~_GENPTS
        self._base = float(stream.time_base) if stream.time_base else 1.0
        self._hole, self._margin = (share * frame_seconds / self._base for share in (_HOLE, _APART))  # in ticks
        self._apart = False  # presentation and decoding times differ
        self._reordered = False  # stamps go back from packet to packet as those of B-frames must
        self._pts: int | None = None
        self._dts: int | None = None
        self._waiting: dict[int, bool] = {}  # stamps of packets whose frame has not come, in order of decoding
        self._times: deque[int] = deque()  # stamps that no frame has got yet; empty once they are `_reordered`
        self._shown: int | None = None
        self._before: Packet[VideoStream] | None = None  # the last packet but one, and the last, with a decoding time
        self._newest: Packet[VideoStream] | None = None
        self._delay: int | None = None

    def take(self, packet: Packet[VideoStream]) -> None:
        """Take the next packet in decoding order, before it is decoded; may assign it a stamp."""
        pts, dts = packet.pts, packet.dts
        if pts is None:
            if dts is None or self._apart:
                return
            packet.pts = pts = dts
        elif pts != dts and dts is not None and not self._apart:
            self._apart = True
            self._container.flags |= _GENPTS
        if not self._reordered:
            self._look(pts, dts)
        if dts is not None:
            self._before, self._newest = self._newest, packet
            if self._delay is None:
                self._delay = pts - dts
        if packet.is_corrupt:
            self._torn = pts
        if packet.size <= _NOTHING_BYTES or packet.is_discard:
            return
        self._waiting[pts] = True
        if len(self._waiting) > _MOST:
            del self._waiting[next(iter(self._waiting))]

    def _look(self, pts: int, dts: int | None) -> None:
        """Check whether stamps go back although decoding goes forward."""
        before, decoded = self._pts, self._dts
        self._pts, self._dts = pts, dts
        self._times.append(pts)
        if before is not None and pts < before and (dts is None or decoded is None or dts > decoded):
            self._reordered = True
            self._times.clear()

    def forget(self) -> None:
        """Trust only the frames' own stamps from now on, because frames are left out on purpose."""
        self._waiting.clear()
        self._times.clear()

    def of(self, frame: VideoFrame) -> int | None:
        """Return the time stamp of the next frame in presentation order, in its time base."""
        own = frame.pts
        if own is None:
            return None
        stamp, times, before = own, self._times, self._shown
        if times:
            stamp = times.popleft() if times[0] == own else self._ordered(own, frame.key_frame)
        if before is None or not 0 < stamp - before <= self._hole:
            self._count(own, stamp, before)
        if not self._waiting.pop(own, False) and own in self._missed:  # it was only behind a broken stamp
            self._missed.remove(own)
            self.lost -= 1
        self._shown = stamp
        return stamp

    def _ordered(self, own: int, key: bool) -> int:
        times = self._times
        if not self._codec.has_b_frames:  # packets before it gave no picture
            while times and times.popleft() != own:
                pass
            return own
        if key:  # all packets before a key frame have been shown, if they ever are
            older = self._older(own)
            self._miss(older)
            for _ in range(min(len(older), len(times) - 1)):
                times.popleft()
        return times.popleft()

    def _older(self, own: int) -> list[int]:
        """List the stamps of waiting packets that were decoded before this one."""
        waiting = list(self._waiting)
        return waiting[: waiting.index(own)] if own in self._waiting else []

    def _count(self, own: int, stamp: int, before: int | None) -> None:
        """Count the packets due between the last frame, at `before`, and this one."""
        margin = self._margin
        if before is None:
            gone = [p for p in self._waiting if p < stamp - margin]
        elif stamp > before:
            gone = [p for p in self._waiting if before + margin < p < stamp - margin]
        else:  # another clock: what was before this packet and is not shown has been the end of the old one
            gone = [p for p in self._older(own) if p > before + margin]
        if not gone and before is not None and self._torn is not None:
            # it was cut short: what came next has not even come out of the demuxer
            short = (stamp - before) * self._base < _NEW_CLOCK_S
            gone = [own - 1] if short and before - 2 * self._hole <= self._torn <= stamp else []
        self._miss(gone)

    def _miss(self, gone: list[int]) -> None:
        for stamp in gone:
            self._waiting.pop(stamp, None)
        self._missed.update(gone)
        self.lost += len(gone)

    def finish(self) -> None:
        """Count what is missing at the end of the stream."""
        shown = self._shown
        gone = [p for p in self._waiting if shown is None or p > shown + self._margin]
        if gone and shown is not None:
            self.behind = (max(gone) - shown) * self._base
        self._miss(gone)
        self.lost = max(self.lost, self.failed)  # an error without a gap in time: at a stamp that no other packet has

    @property
    def stays(self) -> float | None:
        """Seconds that the last picture stays by the packets' own durations; None: they do not fit the time stamps."""
        before, newest = self._before, self._newest
        if before is None or newest is None or self._delay is None or self._shown is None:
            return None
        last, step, duration = newest.dts or 0, before.duration or 0, newest.duration or 0
        if last - (before.dts or 0) != step or duration <= 0:
            return None
        stays = min(last + duration + self._delay - self._shown, max(step, duration))
        return stays * self._base if stays > 0 else None
