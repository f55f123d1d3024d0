"""One cue of SubRip (srt) or WebVTT (vtt) subtitles."""

from __future__ import annotations

import html
from typing import Literal

Kind = Literal["srt", "vtt"]

#: What stands before the milliseconds.
POINT: dict[Kind, str] = {"srt": ",", "vtt": "."}


def cue(number: int, start: float, end: float, text: str, kind: Kind) -> str:
    r"""Format a cue without its blank line; it lasts at least 1 ms and does not begin before 0.

    Args:
        number: number on the cue's first line.
        start: seconds, rounded to milliseconds.
        end: seconds, rounded to milliseconds.
        text: made one line, since a blank line would end the cue; escaped where the kind has markup.
        kind: "srt" or "vtt".

    Example:
        >>> cue(1, 0.0, 1.5, "jump", "srt")
        '1\n00:00:00,000 --> 00:00:01,500\njump'
    """
    first = max(round(start * 1000), 0)
    last = max(round(end * 1000), first + 1)
    line = " ".join(text.split())
    line = html.escape(line, quote=False) if kind == "vtt" else line.replace("-->", "->")
    return f"{number}\n{_time(first, kind)} --> {_time(last, kind)}\n{line}"


def _time(milliseconds: int, kind: Kind) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{POINT[kind]}{rest:03d}"
