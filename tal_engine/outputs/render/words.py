"""Words in a picture: in any script where OpenCV has letters for it (from 5.0 on), and cut to the room there is."""

from __future__ import annotations

import logging
import unicodedata
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

log = logging.getLogger("tal_engine")

#: Letters of OpenCV 5 that have Latin, Greek, Cyrillic, Chinese, Japanese and Korean; their height and weight.
_FONT, _SIZE, _WEIGHT = "uni", 15, 400
#: Scale of the built-in letters of OpenCV 4, which are ASCII.
_SCALE = 0.45
_CUT = "..."


def plain(words: str) -> str:
    r"""Write words in ASCII: accents go, and other letters become their numbers.

    >>> plain("Tür öffnen"), plain("开门")
    ('Tur offnen', '\\u5f00\\u95e8')
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", words) if not unicodedata.combining(c))
    return bare.encode("ascii", "backslashreplace").decode()


@cache
def _font() -> Any:
    """Return OpenCV 5's letters; None where there are none."""
    try:
        return cv2.FontFace(_FONT)
    except (AttributeError, cv2.error):
        return None


@cache
def _say(words: str) -> None:
    log.warning("%r is written as %r: this OpenCV has letters for ASCII only, OpenCV 5 has more", words, plain(words))


def _drawable(words: str) -> str:
    if words.isascii() or _font() is not None:
        return words
    _say(words)
    return plain(words)


def width_of(words: str) -> int:
    """Return the width of words, pixels."""
    if _font() is not None:
        left, _, wide, _ = cv2.getTextSize((0, 0), words, (0, 0), _font(), _SIZE, _WEIGHT)
        return int(left + wide)
    return int(cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, _SCALE, 1)[0][0])


def fitted(label: str, rest: str, room: int) -> str:
    """Join a label and what follows it; the label is cut so that both fit into `room` pixels.

    >>> fitted("jump", "0.93", 400)
    'jump 0.93'
    """
    label, rest = _drawable(label), _drawable(rest)
    if width_of(f"{label} {rest}") <= room:
        return f"{label} {rest}"
    low, high = 0, len(label)  # most letters that fit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width_of(f"{label[:middle]}{_CUT} {rest}") <= room else (low, middle - 1)
    return f"{label[:low].rstrip()}{_CUT} {rest}"


def write(image: NDArray[np.uint8], words: str, at: tuple[int, int], ink: tuple[int, int, int]) -> None:
    """Write words into a picture [H, W, 3], with a dark edge; `at` is where their line begins."""
    words, font = _drawable(words), _font()
    if font is None:
        for colour, thick in (((0, 0, 0), 3), (ink, 1)):
            cv2.putText(image, words, at, cv2.FONT_HERSHEY_SIMPLEX, _SCALE, colour, thick, cv2.LINE_AA)
        return
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        cv2.putText(image, words, (at[0] + dx, at[1] + dy), (0, 0, 0), font, _SIZE, _WEIGHT)
    cv2.putText(image, words, at, ink, font, _SIZE, _WEIGHT)
