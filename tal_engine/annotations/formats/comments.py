"""A score inside a comment, for tools that know comments and no scores."""

from __future__ import annotations

import re

_SCORE = re.compile(r"(?:^|\s)score=(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)$")


def with_score(comment: str, score: float | None) -> str:
    """Append ``score=0.5`` to the comment.

    Example:
        >>> with_score("sure", 0.5)
        'sure score=0.5'
    """
    return comment if score is None else f"{comment} score={score!r}".strip()


def split_score(text: str) -> tuple[str, float | None]:
    """Split the score from the end of the comment."""
    found = _SCORE.search(text)
    return (text[: found.start()].rstrip(), float(found[1])) if found else (text, None)
