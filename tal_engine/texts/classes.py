"""Classes as people type them: texts, perhaps with a name, perhaps said in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._util.repeats import repeated
from ..errors import UsageError, require
from .spoken import spoken

#: More is a mistake: a plan holds a column for each.
MOST = 10_000


@dataclass(frozen=True)
class TextClass:
    """A class: its name in results, and what is said of it, in one or several ways that are averaged.

    Example:
        >>> TextClass("push-ups", ("a person doing push-ups", "a person on the floor")).name
        'push-ups'
    """

    name: str
    texts: tuple[str, ...]


def parse_classes(text: str) -> list[TextClass]:
    """Parse classes between semicolons: TEXT, or NAME=TEXT; several texts of one class stand between bars.

    Raises:
        UsageError: none is given, one is empty, or two have one name.

    Example:
        >>> [c.name for c in parse_classes("opening a door; push-ups=a person doing push-ups|a person on the floor")]
        ['opening a door', 'push-ups']
    """
    return checked([_parsed(part) for part in text.split(";") if part.strip()])


def checked(classes: Sequence[TextClass | str]) -> list[TextClass]:
    """Check classes that are texts or `TextClass`.

    Raises:
        UsageError: there is none, one has no words, or two have one name.

    Example:
        >>> checked(["squat"])
        [TextClass(name='squat', texts=('squat',))]
    """
    found = [TextClass(c, (c,)) if isinstance(c, str) else c for c in classes]
    require(0 < len(found) <= MOST, "classes", len(found), f"1 to {MOST}, such as 'opening a door; doing push-ups'")
    for c in found:
        if not c.name.strip() or not c.texts:
            raise UsageError(f"class {c.name!r} is empty: give TEXT, or NAME=TEXT")
        for text in c.texts:
            spoken(text)
    twice = repeated(c.name for c in found)
    if twice:
        raise UsageError(f"class {twice[0]!r} is given twice")
    return found


def _parsed(part: str) -> TextClass:
    name, equals, texts = part.partition("=")
    said = tuple(t.strip() for t in (texts if equals else name).split("|"))
    return TextClass(name.strip() if equals else " or ".join(said), said)
