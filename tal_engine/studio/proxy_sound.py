"""The sound of a copy for browsers: AAC, one or two channels, each sample at its time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from .._util.opening import open_local
from ..errors import TALError

log = logging.getLogger("tal_engine")

_RATE, _BITS = 48_000, 128_000


class ProxySound:
    """Takes the first sound of a video along into its copy; sound that cannot be read ends, and the picture goes on.

    Args:
        video: the file.
    """

    def __init__(self, video: Path) -> None:
        self._name, self._out = video.name, None  # type: str, OutputContainer | None
        self._container: InputContainer | None = None
        self._stream: AudioStream | None = None
        self._left: Iterator[AudioFrame] = iter(())
        self._next: AudioFrame | None = None
        with suppress(TALError):  # the picture says what is wrong
            self._container = open_local(video)

    def __enter__(self) -> ProxySound:
        return self

    def __exit__(self, *_: object) -> None:
        if self._container is not None:
            self._container.close()

    def begin(self, out: OutputContainer) -> None:
        """Add the stream to a copy whose header is not written yet, if there is sound that can be decoded."""
        source = self._container
        if source is None or not source.streams.audio:
            return
        try:
            self._left = self._frames(source)
            self._next = next(self._left, None)
        except (av.error.FFmpegError, ValueError) as e:
            self._ended(e)
        if self._next is None:
            return
        stream = out.add_stream("aac", rate=_RATE)
        stream.layout, stream.bit_rate = self._next.layout.name, _BITS
        self._out, self._stream = out, stream

    def up_to(self, seconds: float) -> None:
        """Write what sounds up to a moment; the rest and the end where it is infinite."""
        if self._stream is None or self._out is None:
            return
        while self._next is not None and self._next.time is not None and self._next.time <= seconds:
            self._out.mux(self._stream.encode(self._next))
            try:
                self._next = next(self._left, None)
            except (av.error.FFmpegError, ValueError) as e:
                self._ended(e)
        if seconds == float("inf"):
            self._out.mux(self._stream.encode(None))

    def _frames(self, source: InputContainer) -> Iterator[AudioFrame]:
        """Decode and resample; seconds of a frame count from where the video's begin, and never go back."""
        stream = source.streams.audio[0]
        start = 0 if source.start_time is None else source.start_time / av.time_base
        resampler: av.AudioResampler | None = None
        due = 0
        for frame in source.decode(stream):
            if resampler is None:
                layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
                resampler = av.AudioResampler(format="fltp", layout=layout, rate=_RATE)
            at = due if frame.time is None else round((frame.time - start) * _RATE)
            frame.pts = None
            for made in resampler.resample(frame):
                made.pts, made.time_base = max(at, due), Fraction(1, _RATE)
                if at < 0:  # before the first picture
                    at += made.samples
                    continue
                due = made.pts + made.samples
                at = due
                yield made

    def _ended(self, e: Exception) -> None:
        log.warning("%s: its sound ends where it cannot be read (%s)", self._name, e)
        self._next = None
