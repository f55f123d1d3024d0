"""Limits on what a video may cost: a file of a few bytes can ask for years of snippets or gigabytes of pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import VideoError, VideoFault, require
from .options import SnippetOptions

MAX_PIXELS, MAX_SNIPPETS = 1 << 26, 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that ordinary videos stay far below; raise them for videos that do not.

    max_pixels: pixels of a frame as decoded, stretched to square pixels, or scaled for an encoder (before the crop).
        The default, 8192 x 8192, is twice a frame of 8K video, and takes 192 MiB as RGB.
    max_snippets: snippets of one video, or of one frame of a stream. The default is 7.4 days of I3D's snippets (16
        frames at 25 fps), and takes 8 GB per stream of 2,048 features.

    >>> import numpy as np
    >>> from tal_engine import Limits, open_video
    >>> open_video(np.zeros((2, 8, 8, 3), np.uint8), fps=25.0, limits=Limits(max_pixels=100)).limits.max_pixels
    100
    """

    max_pixels: int = MAX_PIXELS
    max_snippets: int = MAX_SNIPPETS

    def __post_init__(self) -> None:
        require(self.max_pixels >= 1, "max_pixels", self.max_pixels, "at least 1")
        require(self.max_snippets >= 1, "max_snippets", self.max_snippets, "at least 1")

    def check_picture(self, name: str, width: int, height: int, what: str) -> None:
        """Refuse a frame before it is decoded.

        Raises:
            VideoError: it has more pixels than `max_pixels`.
        """
        if width * height > self.max_pixels:
            raise VideoError(
                VideoFault.TOO_LARGE,
                f"{name}: {what} {width} x {height} pixels, {width * height} in all; max_pixels is {self.max_pixels} "
                "(--max-pixels)",
            )

    def check_length(self, name: str, begin: float, end: float, options: SnippetOptions) -> None:
        """Refuse a stretch of video, in seconds, before its snippets are cut.

        Raises:
            VideoError: it has more snippets than `max_snippets`, or its times are not finite.
        """
        count = (end - begin) * options.fps / options.stride
        if not count <= self.max_snippets:
            number = f"{math.ceil(count)}" if math.isfinite(count) else "endless"
            raise VideoError(
                VideoFault.TOO_LARGE,
                f"{name}: a frame at {end:.6g} s makes it {number} snippets, of {options.stride / options.fps:.4g} s "
                f"each; max_snippets is {self.max_snippets} (--max-snippets)",
            )
