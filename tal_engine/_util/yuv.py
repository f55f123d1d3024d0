"""What the numbers of stored frames mean: 8-bit YUV with chroma of half resolution, and its colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["yuv420p", "nv12"]
Matrix = Literal["bt601", "bt709", "bt2020"]

#: Shares of red and blue in luma (ITU-R BT.601, BT.709, BT.2020).
_LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
#: What the weights of `coefficients` are parts of.
ONE = 8192


@dataclass(frozen=True, slots=True)
class Layout:
    """What the bytes of a frame mean: all rows of Y, then of U and V, or of both by turns (nv12); no padding.

    An odd side has one more chroma sample than half of it. full: Y is 0..255, not 16..235.
    """

    width: int
    height: int
    kind: Kind
    matrix: Matrix
    full: bool

    @property
    def chroma(self) -> tuple[int, int]:
        """Rows and columns of chroma."""
        return -(-self.height // 2), -(-self.width // 2)

    @property
    def size(self) -> int:
        """Bytes of a frame."""
        rows, columns = self.chroma
        return self.height * self.width + 2 * rows * columns


def coefficients(layout: Layout) -> tuple[int, dict[str, int]]:
    """Return the weights of luma and, by name ("ru": red from U), of chroma, in 1/8192; missing ones are 0."""
    red, blue = _LUMA[layout.matrix]
    green = 1 - red - blue
    luma, chroma = (1.0, 1.0) if layout.full else (255 / 219, 255 / 224)
    shares = {"rv": 2 * (1 - red), "bu": 2 * (1 - blue)}
    shares |= {"gu": -blue * shares["bu"] / green, "gv": -red * shares["rv"] / green}
    return round(ONE * luma), {name: round(ONE * chroma * share) for name, share in shares.items()}
