"""The panel below a picture: what happens now, when it is, and a strip of time for each class. Covers no picture.

Words are drawn in OpenCV's built-in letters: signs beyond ASCII show as question marks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...records import Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Colour = tuple[int, int, int]

#: Colours of labels, RGB, chosen by a hash of the name: the same in every video.
COLOURS: tuple[Colour, ...] = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (120, 120, 255),
    (160, 220, 120),
)  # fmt: skip
DARK: Colour = (25, 25, 25)
WHITE: Colour = (255, 255, 255)
_LANE: Colour = (52, 52, 52)
_DIM: Colour = (150, 150, 150)
ALARM: Colour = (185, 28, 28)
#: Most lanes, and the name of what has none of its own.
MOST_LANES, OTHERS = 6, "others"
#: Height of capital letters at scale 1, pixels.
_CAPITALS = 22
#: Words that are too long shrink to this share before they are cut.
_SMALLEST = 0.7


def colour(label: str) -> Colour:
    """Return the RGB colour of a label, the same for one with a question mark."""
    return COLOURS[hashlib.sha256(_plain(label).encode()).digest()[0] % len(COLOURS)]


def _plain(label: str) -> str:
    """Return the label without the question mark of an action that may still change."""
    return label.removesuffix(" ?")


def lanes_of(segments: Sequence[Segment], most: int = MOST_LANES) -> tuple[str, ...]:
    """Choose the classes that get a lane, best first; the last lane is for all others where they are more.

    >>> lanes_of([Segment(0, 1, "run", 0.4), Segment(2, 3, "jump", 0.9), Segment(4, 5, "run", 0.5)])
    ('jump', 'run')
    """
    best: dict[str, float] = {}
    for s in segments:
        best[_plain(s.label)] = max(best.get(_plain(s.label), s.score), s.score)
    names = sorted(best, key=lambda n: (-best[n], n))
    return tuple(names) if len(names) <= most else (*names[: most - 1], OTHERS)


class Inks:
    """Colours of the labels of one video: `colour`, or where another label has that, the next that is free."""

    def __init__(self) -> None:
        self._chosen: dict[str, Colour] = {}

    def __call__(self, label: str) -> Colour:
        """Return the colour of a label, the same whenever it is asked for."""
        name = _plain(label)
        if name not in self._chosen:
            first = COLOURS.index(colour(name))
            order = [*COLOURS[first:], *COLOURS[:first]]
            taken = set(self._chosen.values())
            self._chosen[name] = next((c for c in order if c not in taken), order[0])
        return self._chosen[name]


@dataclass(frozen=True)
class Panel:
    """A panel for pictures of `height` x `width` pixels with so many lanes, and a line for a warning if wanted.

    named: names that the column beside the strips has room for; without them it is six lines wide.
    """

    height: int
    width: int
    lanes: int = 1
    warning: bool = False
    named: tuple[str, ...] = ()

    @property
    def line(self) -> int:
        """Height of a line, pixels."""
        return max(round(min(self.height, self.width) / 20), 14)

    @property
    def rows(self) -> int:
        """Height of the panel, pixels; even with the picture's."""
        rows = round(1.4 * self.line) + self.line * (self.lanes + self.warning) + self.line // 3
        return rows + (rows + self.height) % 2

    @property
    def strip(self) -> tuple[int, int]:
        """Columns of the strips: from, to."""
        wide = max(map(self._length, self.named), default=6 * self.line) + self.line
        names = min(wide, round(0.36 * self.width)) if self.width >= 120 else 0
        return names, self.width - max(self.line // 3, 1)

    def lane(self, number: int) -> tuple[int, int]:
        """Rows of a lane: from, to."""
        top = round(1.4 * self.line) + self.line * (number + self.warning)
        return top, top + self.line

    def column(self, share: float) -> int:
        """Return the column of a share of the time that strips show."""
        left, right = self.strip
        return left + round(min(max(share, 0.0), 1.0) * (right - left))

    def draw(
        self,
        now: float,
        segments: Sequence[Segment],
        span: tuple[float, float],
        names: Sequence[str],
        clock: str,
        inks: Inks,
        warning: str = "",
    ) -> NDArray[np.uint8]:
        """Draw the panel, [rows, width, 3] uint8 RGB.

        Args:
            now: seconds of the picture.
            segments: all that may be shown.
            span: seconds that the strips show.
            names: of the lanes, see `lanes_of`.
            clock: words for the time.
            inks: colours of the labels.
            warning: words for the line of a warning.
        """
        import numpy as np

        panel = np.full((self.rows, self.width, 3), DARK, np.uint8)
        if self.warning and warning:
            top = round(1.4 * self.line)
            panel[top : top + self.line] = ALARM
            self._write(panel, warning, self.line // 3, top, self.width - self.line // 2, WHITE)
        self._strips(panel, segments, span, names, inks)
        self._header(panel, [s for s in segments if s.start <= now < s.end], clock, inks)
        cursor = self.column((now - span[0]) / max(span[1] - span[0], 1e-9))
        cursor, thick = min(cursor, self.strip[1] - 1), max(self.line // 12, 1)
        panel[self.lane(0)[0] : self.lane(self.lanes - 1)[1], cursor : cursor + thick] = WHITE
        return panel

    def _header(self, panel: NDArray[np.uint8], active: Sequence[Segment], clock: str, inks: Inks) -> None:
        end = self.width - self.line // 3 - self._length(clock)
        at, top, best = self.line // 3, round(0.2 * self.line), dict[str, Segment]()
        for s in sorted(active, key=lambda s: s.score):
            best[_plain(s.title)] = s  # of a class that is on twice, the better
        if end > at:
            self._write(panel, clock, end, top, self.width, _DIM)
        for s in sorted(best.values(), key=lambda s: -s.score):
            words = f"{s.title} {s.score:.2f}"
            if at > self.line // 3 and at + self.line + self._length(words) > end:
                break
            square = slice(top + self.line // 5, top + self.line - self.line // 5)
            panel[square, at : at + 3 * self.line // 5] = inks(s.label)
            at = self._write(panel, words, at + self.line, top, end, WHITE) + self.line

    def _strips(
        self,
        panel: NDArray[np.uint8],
        segments: Sequence[Segment],
        span: tuple[float, float],
        names: Sequence[str],
        inks: Inks,
    ) -> None:
        left, right = self.strip
        length = max(span[1] - span[0], 1e-9)
        gap = max(self.line // 8, 1)
        for i in range(self.lanes):
            top, bottom = self.lane(i)
            panel[top + gap : bottom - gap, left:right] = _LANE
            if i < len(names) and left:
                self._write(panel, names[i], self.line // 3, top, left - self.line // 3, WHITE)
        for s in sorted(segments, key=lambda s: s.score):  # the best lies on top
            if s.end <= span[0] or s.start >= span[1] or not names:
                continue
            name = _plain(s.label)
            lane = names.index(name) if name in names else len(names) - 1
            top, bottom = self.lane(min(lane, self.lanes - 1))
            first = min(self.column((s.start - span[0]) / length), right - 1)
            last = max(self.column((s.end - span[0]) / length), first + 1)
            panel[top + gap : bottom - gap, first:last] = inks(s.label)

    @property
    def _scale(self) -> float:
        return 0.62 * self.line / _CAPITALS

    @property
    def _thick(self) -> int:
        return 1 if self.line < 28 else round(self.line / 20)

    def _length(self, words: str) -> int:
        import cv2

        return int(cv2.getTextSize(_ascii(words), cv2.FONT_HERSHEY_SIMPLEX, self._scale, self._thick)[0][0])

    def _write(self, panel: NDArray[np.uint8], words: str, at: int, top: int, end: int, ink: Colour) -> int:
        """Write words between two columns, narrower or cut where they are too long; return where they end."""
        import cv2

        small = min(max(0.97 * (end - at) / max(self._length(words), 1), _SMALLEST), 1.0)
        shown = words
        while shown and at + small * self._length(shown) > end:
            shown = shown.removesuffix("..")[:-1]
            shown += ".." if shown else ""
        if shown:
            place, font = (at, top + round((0.5 + 0.3 * small) * self.line)), cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(panel, _ascii(shown), place, font, small * self._scale, ink, self._thick, cv2.LINE_AA)
        return at + round(small * self._length(shown))


def _ascii(words: str) -> str:
    return words.encode("ascii", "replace").decode()


def clock(seconds: float) -> str:
    """Format seconds as minutes and tenths.

    >>> clock(83.44)
    '1:23.4'
    """
    tenths = max(int(seconds * 10 + 1e-6), 0)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
