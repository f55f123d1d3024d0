"""Class names as people say them."""

from __future__ import annotations

import re

from ..errors import UsageError


def spoken(name: str) -> str:
    """Split a class name into words: CleanAndJerk -> Clean And Jerk, sit_down -> sit down.

    Raises:
        UsageError: it has neither a letter nor a digit, so that every such class would be the same text.

    Example:
        >>> spoken("CleanAndJerk")
        'Clean And Jerk'
    """
    if not re.search(r"[^\W_]", name):
        raise UsageError(f"class name {name!r} has no words, a text tower cannot tell what it means")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ")
