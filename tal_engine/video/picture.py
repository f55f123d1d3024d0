"""A decoded frame whose pixels are made on demand: all of them, or what a snippet shows of them in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from av.video.frame import VideoFrame

from .. import ops
from .._util.yuv import ONE, Layout, coefficients
from ..options import SnippetOptions
from .layout import layout_of
from .pixels import Display
from .source import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame and how it is shown; called, it gives the picture [H, W, 3] RGB."""

    display: Display
    frame: VideoFrame

    def __call__(self) -> Image:
        """Convert the frame to RGB [H, W, 3].

        Raises:
            VideoError: its pixel format cannot be converted.
        """
        return self.display.rgb(self.frame)

    def scaled(self, options: SnippetOptions, *, whole: bool) -> Image | None:
        """Make the crop that the options name of the scaled picture, or with `whole` all of it, in one pass.

        Returns None where that needs the picture itself: it is turned or toned down, it has to grow, or its frame is
        not stored as 8-bit 4:2:0.

        Raises:
            VideoError: it would be larger than the limits allow.
        """
        display, frame = self.display, self.frame
        if display.swap or display.mirror_x or display.mirror_y or display.light is not None:
            return None
        shown, layout = display.size_of(frame), layout_of(frame)
        if layout is None or options.resize >= min(shown):
            return None
        display.limits.check_picture(display.name, shown[1], shown[0], "a picture is")
        high, wide = options.fitted_size(*shown)
        side = options.crop
        crop = (0, 0, high, wide) if whole else ((high - side) // 2, (wide - side) // 2, side, side)
        planes = frame.planes
        lines, colours = [p.line_size for p in planes], _colours(layout)
        return ops.scaled_picture(planes, lines, (layout.height, layout.width), (high, wide), crop, colours)


@lru_cache(maxsize=8)
def _colours(layout: Layout) -> tuple[float, float, float, float, float, float]:
    """Return the colours of a layout as `ops.scaled_picture` takes them."""
    luma, chroma = coefficients(layout)
    red, green_u, green_v, blue = (chroma[name] / ONE for name in ("rv", "gu", "gv", "bu"))
    return (0.0 if layout.full else 16.0), luma / ONE, red, green_u, green_v, blue
