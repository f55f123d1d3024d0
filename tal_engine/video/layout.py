"""How a decoder stores a frame, where that is 8-bit YUV with chroma of half resolution."""

from __future__ import annotations

from av.video.frame import VideoFrame

from .._util.yuv import Kind, Layout, Matrix

#: Matrix coefficients by their numbers in ITU-T H.273, table 4; those of files that name none are BT.601's, as ffmpeg
#: has it.
_MATRICES: dict[int, Matrix] = {1: "bt709", 2: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020"}
#: Formats of planes, whether their range is full by their name.
_FORMATS: dict[str, tuple[Kind, bool]] = {
    "yuv420p": ("yuv420p", False), "yuvj420p": ("yuv420p", True), "nv12": ("nv12", False),
}  # fmt: skip
LIMITED, FULL = 1, 2  # AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG


def layout_of(frame: VideoFrame) -> Layout | None:
    """Return the layout of a frame; None if it is not stored as 8-bit planar YUV 4:2:0."""
    known_format = _FORMATS.get(frame.format.name)
    matrix = _MATRICES.get(int(frame.colorspace))
    if known_format is None or matrix is None:
        return None
    kind, full = known_format
    return Layout(frame.width, frame.height, kind, matrix, full or int(frame.color_range) == FULL)
