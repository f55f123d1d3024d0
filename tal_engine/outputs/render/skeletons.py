"""Skeletons drawn into pictures, a colour for each person. Knows where joints are, not how they are found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from .panel import COLOURS, DARK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Pairs of BlazePose's 33 points that are drawn.
_BONES = (
    (11, 12), (11, 13), (13, 15), (12, 14), (14, 16), (11, 23), (12, 24), (23, 24), (23, 25), (25, 27), (24, 26),
    (26, 28), (27, 31), (28, 32), (15, 19), (16, 20),
)  # fmt: skip
#: Points that are less visible are left out, with their bones.
_VISIBLE = 0.3
_BITS, _NOSE = 4, 0


class Seen(Protocol):
    """A person in a picture: a number, points [33, 3] in pixels, how visible each is."""

    @property
    def subject(self) -> int:
        """Number that stays with the person."""

    @property
    def points(self) -> NDArray[np.float32]:
        """[33, 3], x and y in pixels."""

    @property
    def visible(self) -> NDArray[np.float32]:
        """[33] in [0, 1]."""


#: Finds the people of the next picture [H, W, 3] at its seconds.
FindsPeople = Callable[["NDArray[np.uint8]", float], Sequence[Seen]]


def draw_people(image: NDArray[np.uint8], people: Sequence[Seen]) -> None:
    """Draw skeletons into a picture [H, W, 3] uint8 RGB: bones in the person's colour on a dark rim, joints white.

    Of several people each gets its number over the head.
    """
    import cv2

    thick = max(round(min(image.shape[:2]) / 130), 1)
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, max(min(image.shape[:2]) / 480, 0.4)
    for person in people:
        ink = COLOURS[person.subject % len(COLOURS)]
        at = [tuple(round(float(v) * 2**_BITS) for v in p[:2]) for p in person.points]
        near = [abs(x) + abs(y) < 2**24 for x, y in at]
        shown = [v >= _VISIBLE and ok for v, ok in zip(person.visible, near, strict=True)]
        for rim, colour in ((thick + 2, DARK), (thick, ink)):
            for a, b in _BONES:
                if shown[a] and shown[b]:
                    cv2.line(image, at[a], at[b], colour, rim, cv2.LINE_AA, _BITS)
        for i in sorted({i for a, b in _BONES if shown[a] and shown[b] for i in (a, b)}):
            cv2.circle(image, at[i], round(0.9 * thick * 2**_BITS), (255, 255, 255), -1, cv2.LINE_AA, _BITS)
        if len(people) > 1 and near[_NOSE] and any(shown):
            place = (at[_NOSE][0] >> _BITS, (at[_NOSE][1] >> _BITS) - 6 * thick)
            for rim, colour in ((3 * thick, DARK), (max(thick, 1), ink)):
                cv2.putText(image, f"#{person.subject}", place, font, scale, colour, rim, cv2.LINE_AA)
