"""Pictures into a video file (PyAV): H.264 where an encoder is there, MPEG-4 otherwise. Knows nothing of events."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import SinkError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Endings of files that hold such video.
ENDINGS = (".mp4", ".mkv", ".mov")
#: Units of time of what is written: whole for 24, 25, 29.97, 30, 50 and 60 pictures a second, and what MPEG-4 can have.
_TIME_BASE = Fraction(1, 60000)
#: Encoders by preference, and their options.
_ENCODERS = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "mpeg4": {"qscale": "3"},
}
#: A key picture at least every so many pictures: where players can jump to, and how much a crash can take.
_KEY_EVERY = 50
#: So that a file that is never closed can be played up to its last key picture.
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
#: ffmpeg's names of the containers.
_FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}


def check_ending(path: Path) -> None:
    """Refuse a file whose ending names no container for such video.

    Raises:
        UsageError: it is not one of `ENDINGS`.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path}: the ending is {path.suffix!r}, must be one of {', '.join(ENDINGS)}")


class Movie:
    """A video file being written; each picture is shown from its own time on.

    The first picture decides the size (rounded up to even numbers); others are scaled to it.

    Args:
        path: its ending decides the container, or that of `name`.
        fps: nominal pictures a second; how long the last one is shown.
        live: the file can be played while it is written and after a crash (.mp4, .mov; .mkv always can).
        name: what errors call it, where `path` is a temporary one.

    Raises:
        UsageError: an ending that is not one of `ENDINGS`.
        SinkError: the file cannot be written.
    """

    def __init__(self, path: str | Path, fps: float = 25.0, *, live: bool = False, name: Path | None = None) -> None:
        import av

        from ..._util.opening import local_url

        self.path, self.pictures = Path(path), 0
        self._name = name or self.path
        check_ending(self._name)
        self._fps, self._errors = fps, (av.error.FFmpegError, OSError)
        self._stream: Any = None
        self._last: int | None = None
        self._broken = ""  # libav falls over a file whose head could not be written: after an error nothing is tried
        form = _FORMATS[self._name.suffix.lower()]
        options = {"flush_packets": "1"} if live else {}
        options |= _FRAGMENTS if live and form != "matroska" else {}
        try:
            self._container = av.open(local_url(self.path), "w", format=form, options=options)
        except self._errors as e:
            raise self._failed(e) from e

    def write(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Add a picture [H, W, 3] uint8 RGB, on screen from `seconds` on; one that is not later is left out.

        Raises:
            SinkError: the file cannot be written.
        """
        import av

        if self._broken:
            raise SinkError(self._broken)
        at = round(seconds / _TIME_BASE)
        if self._last is not None and at <= self._last:
            return
        try:
            if self._stream is None:
                self._stream = self._add_stream(image.shape[1], image.shape[0])
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(width=self._stream.width, height=self._stream.height, format="yuv420p")
            frame.pts, frame.time_base = at, _TIME_BASE
            self._container.mux(self._stream.encode(frame))
        except self._errors as e:
            raise self._failed(e) from e
        self._last = at
        self.pictures += 1

    def close(self) -> None:
        """Write what the encoder still holds and end the file; nothing is left to write after an error, which was told.

        Raises:
            SinkError: the file cannot be written.
        """
        if self._broken:
            with contextlib.suppress(*self._errors):
                self._container.close()
            return
        try:
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
                self._stream = None
            self._container.close()
        except self._errors as e:
            raise self._failed(e) from e
        self._broken = f"{self._name}: already closed"

    def _add_stream(self, width: int, height: int) -> Any:
        import av

        name = next((n for n in _ENCODERS if n in av.codecs_available), None)
        if name is None:
            raise SinkError(f"{self._name}: this PyAV has none of the encoders {', '.join(_ENCODERS)}")
        rate = Fraction(self._fps).limit_denominator(1001)
        stream: Any = self._container.add_stream(name, rate=rate, options=dict(_ENCODERS[name]))
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.codec_context.time_base = _TIME_BASE
        stream.codec_context.gop_size = _KEY_EVERY
        return stream

    def _failed(self, e: Exception) -> SinkError:
        self._broken = f"{self._name}: cannot be written ({getattr(e, 'strerror', None) or e})"
        return SinkError(self._broken)
