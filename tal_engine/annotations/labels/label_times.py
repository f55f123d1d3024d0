"""Times as people write them, in seconds."""

from __future__ import annotations

import math
import re

from .label_rows import RowError

#: What is read as a time, for messages.
ALLOWED = "allowed are seconds (12.5), mm:ss, mm:ss.f, hh:mm:ss and hh:mm:ss.f"

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)")
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{2})([.,]\d+)?")


def seconds(text: str, *, decimal_comma: bool = False) -> float:
    """Read a time.

    Args:
        text: a number of seconds, perhaps with an s behind it, or a time of a clock that begins with the video.
        decimal_comma: ``12,5`` is 12.5, as in files whose cells are not separated by commas.

    Raises:
        RowError: it is something else, or could be two times; the message says what is allowed.

    >>> seconds("12.5"), seconds("1:30"), seconds("01:00:02.5"), seconds("3,25", decimal_comma=True)
    (12.5, 90.0, 3602.5, 3.25)
    """
    found = text.strip().removesuffix("s").rstrip()
    if decimal_comma and (whole := _DECIMAL_COMMA.fullmatch(found)):
        found = f"{whole[1]}.{whole[2]}"
    if _NUMBER.fullmatch(found):
        value = float(found)
        if not math.isfinite(value):
            raise RowError(f"time {text.strip()[:40]!r} is not finite", ALLOWED)
        if value < 0:
            raise RowError(f"time {text.strip()[:40]!r} is before the video begins", "allowed are 0 or more seconds")
        return value + 0.0
    return _clock(text.strip())


def _clock(text: str) -> float:
    found = _CLOCK.fullmatch(text)
    if found is None:
        why = ""
        if text.count(":") == 3 or ";" in text:
            why = " (a time code with frames: how many are a second is not in it)"
        elif re.fullmatch(r"(\d+:)?\d+:\d", text):
            why = " (seconds of one digit may have lost their zero)"
        raise RowError(f"time {text[:40]!r} is not a time{why}", ALLOWED)
    hours, minutes, rest = int(found[1] or 0), int(found[2]), int(found[3])
    if rest >= 60 or (found[1] is not None and (minutes >= 60 or len(found[2]) != 2)):
        raise RowError(f"time {text!r} has minutes or seconds that are not two digits up to 59", ALLOWED)
    return 3600 * hours + 60 * minutes + rest + float((found[4] or "0").replace(",", "."))
