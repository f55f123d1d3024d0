"""Decoding on an NVIDIA card (NVDEC) by PyNvVideoCodec, in place of FFmpeg's decoder. It has not run on a card yet.

The file is demuxed twice: by PyAV for time stamps and what else is asked of packets, by PyNvVideoCodec for the card's
decoder, packet by packet side by side. Frames come back to the host as NV12 and become the planar frames that FFmpeg's
decoder gives, sample for sample: decoding is exact by the standards of H.264, HEVC, VP9 and AV1. So all rules of
`decode` and the record of features stay as they are. What is lost is that frames are interlaced or damaged.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .._util.extras import need
from ..errors import BackendError, MissingExtraError, TALError, VideoError, VideoFault

#: Codecs, by FFmpeg's names, whose 8-bit 4:2:0 pictures every card since Turing decodes but for AV1 (Ampere).
CODECS = ("h264", "hevc", "vp9", "av1")
_FORMATS = ("yuv420p", "yuvj420p")


class Decoder(Protocol):
    """Packets to frames; what PyAV's packets do by themselves."""

    def decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        """Return the frames completed by this packet; an empty packet ends the stream."""
        ...


class NvdecDecoder:
    """Decodes one file on a card.

    Args:
        path: the file.
        stream: the same file's stream, opened by PyAV.
        card: number of the card.

    Raises:
        MissingExtraError: PyNvVideoCodec is not installed.
        VideoError: the stream is not of a codec and pixel format that it decodes here.
        BackendError: there is no card or no driver, or its decoder cannot be opened.
    """

    def __init__(self, path: str, stream: VideoStream, card: int = 0) -> None:
        self._path, self._stream = path, stream
        context = stream.codec_context
        kind = f"{context.name} {context.pix_fmt} {context.width} x {context.height}"
        odd = context.width % 2 or context.height % 2
        if not _is_decoded(context.name) or context.pix_fmt not in _FORMATS or odd:
            allowed = f"{', '.join(CODECS)} in 8-bit 4:2:0 with even sides"
            raise VideoError(VideoFault.BAD_FRAMES, f"{path}: is {kind}, decoder 'nvdec' decodes {allowed}")
        nvc = self._done(lambda: need("PyNvVideoCodec"))
        self._demuxer = self._done(lambda: nvc.CreateDemuxer(filename=path))
        codec = self._done(lambda: self._demuxer.GetNvCodecId())
        self._decoder = self._done(lambda: nvc.CreateDecoder(gpuid=card, codec=codec, usedevicememory=False))
        self._packets: Iterator[Any] = iter(self._demuxer)

    def decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        """Return the frames completed by this packet; an empty packet flushes the rest.

        Raises:
            BackendError: the card's decoder failed.
        """
        rest = list(self._packets) if not packet.size else [next(self._packets, None)]
        decode = self._decoder.Decode
        return [self._frame(f) for p in rest if p is not None for f in self._done(partial(decode, p))]

    def _frame(self, decoded: Any) -> VideoFrame:
        """Copy a frame out of the decoder's memory, which it reuses."""
        context = self._stream.codec_context
        width, height = context.width, context.height
        size = width * height * 3 // 2
        if decoded.framesize() != size:
            gave = decoded.framesize()
            raise BackendError(f"{self._path}: NVDEC gave {gave} bytes for {width} x {height}, not {size}")
        raw = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(decoded.GetPtrToPlane(0)))
        luma, chroma = raw[: width * height], raw[width * height :]
        frame = VideoFrame(width, height, context.pix_fmt or "yuv420p")
        for plane, values in zip(frame.planes, (luma, chroma[0::2], chroma[1::2]), strict=True):
            rows = np.zeros((plane.height, plane.line_size), np.uint8)
            rows[:, : plane.width] = values.reshape(plane.height, plane.width)
            plane.update(rows.tobytes())
        frame.pts, frame.time_base = decoded.getPTS(), self._stream.time_base
        frame.colorspace, frame.color_range = context.colorspace, context.color_range
        return frame

    def _done(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (MissingExtraError, TALError):
            raise
        except Exception as e:  # the library raises its own types, and plain ones where no driver is found
            said = f"{type(e).__name__}: {' '.join(str(e).split())}"
            raise BackendError(
                f"{self._path}: decoder 'nvdec' does not work here ({said}): it takes an NVIDIA card with its driver; "
                "decoder 'ffmpeg' decodes on the processor"
            ) from e


def _is_decoded(name: str) -> bool:
    """Return whether the codec is supported; FFmpeg's decoders of AV1 and VP9 have their own names."""
    return any(name == c or name.endswith((f"_{c}", f"-{c}")) or name.startswith(f"lib{c}") for c in CODECS) or (
        name in ("libdav1d", "libvpx-vp9")
    )
