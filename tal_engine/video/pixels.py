"""Stored frames to the pictures a viewer sees: fields, turns, pixel shape, light; `decode` states the rules."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ..errors import VideoError, VideoFault
from ..limits import Limits
from .color_conversion import Converter
from .source import Image, VideoSource

#: Transfer characteristics and primaries by their numbers in ITU-T H.273, tables 2 and 3.
_PQ, _HLG = 16, 18
_AS_THEY_ARE = {8: "linear", 9: "logarithmic", 10: "logarithmic", 17: "SMPTE ST 428"}
_WIDE = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
#: Light of the white of a page, cd/m2 (ITU-R BT.2408), and where highlights begin to be compressed below it.
_WHITE, _KNEE = 203.0, 0.75
#: Linear BT.2020 to linear BT.709 (ITU-R BT.2087).
_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
#: Codes that a display with the usual gamma of 2.4 (ITU-R BT.1886) turns back into light of 0..65535 parts.
_CODES: Image = np.rint(255.0 * np.linspace(0.0, 1.0, 65536) ** (1 / 2.4)).astype(np.uint8)
#: Width and height of a picture that costs nothing to keep.
_SMALL = (16, 16)
#: Pixels further from square than this are a broken header, not a video.
_WIDEST = 4


@dataclass(frozen=True, slots=True)
class Display:
    """How frames of one file are shown: mirrored and turned, with square pixels, as 8-bit RGB.

    swap: rows become columns, before the mirrors. aspect: width of a pixel by its height.
    light: for HDR, linear light of each 16-bit code, [65536], 0..1; None for all other files.
    Pictures are made by one thread at a time.
    """

    name: str
    swap: bool = False
    mirror_x: bool = False
    mirror_y: bool = False
    aspect: Fraction = Fraction(1)
    light: NDArray[np.float32] | None = None
    limits: Limits = field(default_factory=Limits)
    # Kept from frame to frame: a new one a frame takes about as long to set up as a small picture takes to convert.
    _convert: Converter = field(default_factory=Converter, repr=False, compare=False)

    @property
    def is_plain(self) -> bool:
        """Pictures are neither turned nor stretched nor toned down."""
        return not (self.swap or self.mirror_x or self.mirror_y) and self.aspect == 1 and self.light is None

    def rgb(self, frame: VideoFrame) -> Image:
        """Convert the frame to RGB [H, W, 3].

        Raises:
            VideoError: the frame's pixel format cannot be converted.
        """
        try:
            image = self._converted(frame)
        except (av.error.FFmpegError, ValueError) as e:
            raise VideoError(
                VideoFault.BAD_FRAMES, f"{self.name}: pixels in {frame.format.name} cannot be turned into RGB ({e})"
            ) from e
        if not (self.swap or self.mirror_x or self.mirror_y):
            return image
        image = image.transpose(1, 0, 2) if self.swap else image
        return np.ascontiguousarray(image[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1])

    def size_of(self, frame: VideoFrame) -> tuple[int, int]:
        """Return height and width of the frame with square pixels, before it is turned."""
        width, height = frame.width, frame.height
        if self.aspect > 1:
            width = round(width * self.aspect)
        elif self.aspect < 1:
            height = round(height / self.aspect)
        return height, width

    def _converted(self, frame: VideoFrame) -> Image:
        height, width = self.size_of(frame)
        self.limits.check_picture(self.name, width, height, "a picture is")
        kind = "rgb24" if self.light is None else "rgb48le"
        stored = self._convert(frame, width, height, kind).to_ndarray()
        if self.light is None:
            return stored.astype(np.uint8, copy=False)
        light = cv2.transform(self.light[stored], _TO_709)
        return _CODES[(np.clip(light, 0.0, 1.0) * 65535).astype(np.uint16)]


def display_of(frame: VideoFrame, stream: VideoStream, video: VideoSource) -> Display:
    """Read from the first frame and the stream how to display the file; append changes to its warnings."""
    swap, mirror_x, mirror_y = _orientation(frame)
    say = video.warnings.append
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if not Fraction(1, _WIDEST) <= aspect <= _WIDEST:
        say(f"pixels are said to be {aspect} times as wide as high: shown square")
        aspect = Fraction(1)
    elif aspect != 1:
        say(f"pixels are {aspect.numerator}:{aspect.denominator}: pictures are stretched to square ones")
    if any(c.is_alpha for c in frame.format.components):
        say(f"pixels have transparency ({frame.format.name}): it is ignored")
    context = stream.codec_context
    bits = max(c.bits for c in frame.format.components)
    transfer, primaries = int(context.color_trc), int(context.color_primaries)
    light = None
    if transfer in (_PQ, _HLG):
        kind = "PQ, SMPTE ST 2084" if transfer == _PQ else "HLG, ARIB STD-B67"
        say(f"high dynamic range ({kind}): brought down to 8-bit BT.709, highlights compressed")
        light = _light(transfer)
    elif bits > 8:
        say(f"{bits} bits a channel ({frame.format.name}): rounded to 8")
    if transfer in _AS_THEY_ARE:
        say(f"the transfer characteristic is {_AS_THEY_ARE[transfer]}: levels are shown unconverted")
    elif light is None and primaries in _WIDE:
        say(f"colour primaries are {_WIDE[primaries]}: colours are shown unconverted, a little paler")
    return Display(video.name, swap, mirror_x, mirror_y, aspect, light, video.limits)


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """(swap, mirror x, mirror y) nearest to the display matrix: any of the eight turns and mirror images.

    The matrix [a b u; c d v; x y w] sends a pixel (p, q) to (a p + c q, b p + d q), up to a shift.
    """
    # Asked of a small copy: a frame that was asked for its side data refers to itself (PyAV 18), and would keep its
    # picture until the garbage collector comes by.
    try:
        small = VideoReformatter().reformat(frame, *_SMALL)
    except (av.error.FFmpegError, ValueError):
        return False, False, False  # what cannot be converted is not shown either: `rgb` says so
    side = small.side_data.get("DISPLAYMATRIX")
    if not isinstance(side, SideData):
        return False, False, False
    a, b, _, c, d, *_ = np.frombuffer(bytes(side), np.int32).tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _light(transfer: int) -> NDArray[np.float32]:
    """Map 16-bit codes to linear light in 0..1: linear up to the knee, then an exponential that approaches 1.

    PQ is absolute; HLG is for a display of 1000 cd/m2, its system gamma 1.2 taken by channel (ITU-R BT.2100).
    """
    signal = np.linspace(0.0, 1.0, 65536)
    if transfer == _PQ:
        root = signal ** (4096 / (2523 * 128))
        scene = np.maximum(root - 3424 / 4096, 0.0) / ((2413 - 2392 * root) * 32 / 4096)
        nits = 10_000.0 * scene ** (16384 / 2610)
    else:
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        nits = 1000.0 * scene**1.2
    light = nits / _WHITE
    rest = 1.0 - _KNEE
    return np.where(light <= _KNEE, light, 1.0 - rest * np.exp((_KNEE - light) / rest)).astype(np.float32)


def progressive(frames: Iterator[tuple[float, VideoFrame]], video: VideoSource) -> Iterator[tuple[float, VideoFrame]]:
    """Deinterlace from the first interlaced frame on, one frame out for each frame in.

    The filter leaves frames alone that are not marked as interlaced. It is made again when the
    size or pixel format changes.

    Raises:
        VideoError: bwdif cannot take such frames (a plane of less than three lines).
    """
    fields: _Deinterlacer | None = None
    for seconds, frame in frames:
        if fields is None and not frame.interlaced_frame:
            yield seconds, frame
            continue
        if fields is None:
            video.warnings.append("interlaced: deinterlaced (bwdif, one picture a frame)")
        if fields is None or fields.shape != _shape(frame):
            if fields is not None:
                yield from fields.push(None)
            try:
                fields = _Deinterlacer(frame)
            except av.error.FFmpegError as e:
                w, h, kind = _shape(frame)
                raise VideoError(
                    VideoFault.BAD_FRAMES, f"{video.name}: {w} x {h} {kind} cannot be deinterlaced ({e})"
                ) from e
        fields.waiting.append(seconds)
        yield from fields.push(frame)
    if fields is not None:
        yield from fields.push(None)


def _shape(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


class _Deinterlacer:
    """ffmpeg's bwdif for frames of one size and format; seconds wait beside it, as it keeps the order."""

    def __init__(self, first: VideoFrame) -> None:
        self.shape = _shape(first)
        self.waiting: deque[float] = deque()
        self._graph = av.filter.Graph()
        base = first.time_base or Fraction(1, 1000)
        source = self._graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=base)
        fields = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        sink = self._graph.add("buffersink")
        source.link_to(fields)
        fields.link_to(sink)
        self._graph.configure()

    def push(self, frame: VideoFrame | None) -> Iterator[tuple[float, VideoFrame]]:
        """Give a frame, or None at the end; take what is ready."""
        self._graph.vpush(frame)
        while True:
            try:
                picture = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield self.waiting.popleft(), picture
