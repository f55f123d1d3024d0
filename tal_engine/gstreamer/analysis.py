"""What the element does with frames, without GStreamer: their times, one stream of events, its ends and beginnings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..engine import TALEngine
from ..errors import StateError, UsageError
from ..events import Event
from ..options import StreamOptions
from ..streaming import StreamingLocalizer
from ..video.source import Image

#: GStreamer counts time in these.
NS = 1_000_000_000


@dataclass(kw_only=True)
class Settings:
    """What can be chosen; None is the plan's.

    window, step, look_ahead: seconds, see `StreamOptions`.
    """

    plan: str | None = None
    device: str = "auto"
    threads: int = 0
    name: str = "stream"
    provisional: bool = False
    min_score: float | None = None
    top_k: int | None = None
    calibrated: bool = True
    window: float | None = None
    step: float | None = None
    look_ahead: float | None = None

    def options(self, known: StreamOptions) -> StreamOptions:
        """Return a plan's options of streaming with what was chosen.

        Raises:
            UsageError: a value makes no sense.
        """
        chosen = {n: v for n in ("window", "step", "look_ahead") if (v := getattr(self, n)) is not None}
        return replace(known, **chosen)


class FrameTimes:
    """Times of frames in seconds: as they are stamped, or counted by the rate where they are not.

    last: that of the newest; None: there was none.
    """

    def __init__(self) -> None:
        self.last: float | None = None
        self._from, self._count, self._rate = 0.0, 0, (0, 1)  # counted without adding up errors of rounding

    def begin(self) -> None:
        """Forget the last frame: another part of the stream begins."""
        self.last = None

    def of(self, stamp_ns: int | None, rate: tuple[int, int]) -> float:
        """Return the time of the next frame.

        Args:
            stamp_ns: its stream time, nanoseconds; None: it has none.
            rate: frames per second as a fraction; (0, 1) where it is not known.

        Raises:
            UsageError: neither stamp nor rate.
        """
        if stamp_ns is not None:
            self.last, self._rate = stamp_ns / NS, (0, 1)
        elif rate[0] <= 0 or rate[1] <= 0:
            raise UsageError(
                "a frame has no time and the caps have no framerate; put one there: video/x-raw,framerate=25/1"
            )
        else:
            self._counted(rate)
        assert self.last is not None  # noqa: S101 - for types
        return self.last

    def _counted(self, rate: tuple[int, int]) -> None:
        if self.last is None:
            self._from, self._count = 0.0, -1
        elif rate != self._rate:
            self._from, self._count = self.last, 0
        self._count, self._rate = self._count + 1, rate
        self.last = self._from + self._count * rate[1] / rate[0]


class Analysis:
    """One stream on an engine of its own, from the element's start to its stop.

    Args:
        settings: what was chosen.

    Raises:
        TALError: the plan cannot be used, or an option makes no sense.
    """

    def __init__(self, settings: Settings) -> None:
        s = settings
        self._engine = TALEngine.load(s.plan, s.device, threads=s.threads)
        try:
            options = s.options(self._engine.plan.manifest.stream)
            self._stream: StreamingLocalizer = self._engine.open_stream(
                s.name, options, provisional=s.provisional, min_score=s.min_score, top_k=s.top_k,
                calibrated=s.calibrated,
            )  # fmt: skip
        except BaseException:
            self._engine.close()
            raise
        self._times, self._rate, self._moved = FrameTimes(), (0, 1), False
        #: Frames that were taken, and those whose time was not after the last one's.
        self.frames = self.refused = 0

    @property
    def declared_latency_s(self) -> float:
        """Longest time from the end of an action to its event."""
        return self._stream.declared_latency_s

    def caps(self, rate: tuple[int, int]) -> None:
        """Note the frame rate, as a fraction; sizes may change from frame to frame."""
        self._rate = rate

    def moved(self) -> None:
        """Note that the next frame may be at an earlier place: it then begins another stream."""
        self._moved = True

    def frame(self, image: Callable[[], Image], stamp_ns: int | None) -> list[Event]:
        """Take a frame and return what it decides.

        Args:
            image: returns [H, W, 3] uint8 RGB; called now or with the next frame, or not at all.
            stamp_ns: stream time, nanoseconds; None: it has none.

        Raises:
            TALError: there is no time, a model failed, or failed before: `begin` makes it usable again.
        """
        last, seconds = self._times.last, self._times.of(stamp_ns, self._rate)
        events, moved, self._moved = list[Event](), self._moved, False
        if moved and last is not None and seconds <= last:
            events = self.end()
        before = self._stream.state.refused
        events += self._stream.push(image, seconds)
        late = self._stream.state.refused > before
        self.refused += late
        self.frames += not late
        return events

    def end(self) -> list[Event]:
        """Decide what is open: the stream ends, or goes on at another place.

        Raises:
            TALError: a model failed.
        """
        try:
            return self._stream.flush()
        except StateError:  # it failed before, and that was told
            return []
        finally:
            self.begin()

    def begin(self) -> None:
        """Begin anew, at any time; what is open is dropped."""
        self._times.begin()
        self._stream.reset()

    def close(self) -> None:
        """Let go of the engine; closing twice is harmless."""
        self._stream.close()
        self._engine.close()


def fields(event: Event) -> dict[str, Any]:
    """Return the fields of an event's message: times in nanoseconds of stream time, and the event as JSON.

    `end` is left out while the action is open.
    """
    found: dict[str, Any] = {
        "kind": event.kind, "id": event.id, "source": event.source, "label": event.label, "score": event.score,
        "start": round(event.start * NS), "truncated": event.truncated, "json": event.to_json(),
    }  # fmt: skip
    return found if event.end is None else {**found, "end": round(event.end * NS)}
