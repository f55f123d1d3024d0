"""A score inside a comment, for tools that know comments and no scores."""

from __future__ import annotations

import re

_SCORE = re.compile(r"(?:^|\s)score=(none|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*\Z")


def with_score(comment: str, score: float | None) -> str:
    """Append ``score=0.5`` to the comment; ``score=none`` where it has none and ends in what reads as one.

    Example:
        >>> with_score("sure", 0.5), with_score("score=0.5", None)
        ('sure score=0.5', 'score=0.5 score=none')
    """
    if score is None and _SCORE.search(comment) is None:
        return comment
    return f"{comment} score={'none' if score is None else repr(score)}".strip()


def split_score(text: str) -> tuple[str, float | None]:
    """Split the score from the end of the comment."""
    found = _SCORE.search(text)
    if found is None:
        return text, None
    return text[: found.start()].rstrip(), None if found[1] == "none" else float(found[1])
