"""Class numbers of THUMOS14's text files, whose meaning depends on the list they were written with.

The challenge numbered its 20 detection classes 7 to 97, by their place among UCF101's 101. Copies of its annotations
number them 1 to 20. Both use 7, 9 and 12, for different classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .._util.untrusted import read_text
from ..errors import DataError, UsageError

#: The file in a folder of THUMOS14's annotations that numbers the classes: lines of a number and a name.
CLASS_LIST = "detclasslist.txt"


@dataclass(frozen=True)
class ClassNumbers:
    """Names of classes by number, and where they were read."""

    source: str
    names: Mapping[int, str]

    def __str__(self) -> str:
        return f"{self.source} ({min(self.names)} to {max(self.names)})"


#: The challenge's own numbers.
THUMOS14 = ClassNumbers(
    "THUMOS14's own numbers",
    {
        7: "BaseballPitch", 9: "BasketballDunk", 12: "Billiards", 21: "CleanAndJerk", 22: "CliffDiving",
        23: "CricketBowling", 24: "CricketShot", 26: "Diving", 31: "FrisbeeCatch", 33: "GolfSwing", 36: "HammerThrow",
        40: "HighJump", 45: "JavelinThrow", 51: "LongJump", 68: "PoleVault", 79: "Shotput", 85: "SoccerPenalty",
        92: "TennisSwing", 93: "ThrowDiscus", 97: "VolleyballSpiking",
    },
)  # fmt: skip
#: The numbers of copies of the annotations: places in alphabetical order.
ALPHABETICAL = ClassNumbers("alphabetical numbers", dict(enumerate(sorted(THUMOS14.names.values()), 1)))
#: Lists that go by a name instead of a file.
NAMED = {"thumos14": THUMOS14, "alphabetical": ALPHABETICAL}


def class_numbers(text: str) -> ClassNumbers:
    """Read the class list that a user names: a file, or one of `NAMED`.

    Raises:
        UsageError: neither a file nor a known name.
        DataError: the file is not a class list.
    """
    if Path(text).is_file():
        return read_class_list(Path(text))
    if text not in NAMED:
        raise UsageError(f"class-list is {text!r}, must be a file of numbers and names, or {' or '.join(NAMED)}")
    return NAMED[text]


def read_class_list(path: Path) -> ClassNumbers:
    """Read a file with a number and a class name on each line.

    Raises:
        DataError: it cannot be read, is empty, or gives a number or a name twice; the message names the line.
    """
    names: dict[int, str] = {}
    for i, line in enumerate(read_text(path, "class list").splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2 or not fields[0].isdecimal():
            raise DataError(f"{path}: line {i}: {line.strip()!r} is not a number and a class name")
        number, name = int(fields[0]), fields[1]
        if number in names or name in names.values():
            raise DataError(f"{path}: line {i}: {line.strip()!r} gives a number or a class a second time")
        names[number] = name
    if not names:
        raise DataError(f"{path}: lists no classes")
    return ClassNumbers(str(path), names)


def class_list_of(folder: Path) -> ClassNumbers | None:
    """Read the class list in a folder of THUMOS14's annotations, or in its folders of the subsets; None without one.

    Raises:
        DataError: two lists disagree; the message names both.
    """
    paths = sorted({*folder.glob(CLASS_LIST), *folder.glob(f"annotation_*/{CLASS_LIST}")})
    lists = [read_class_list(path) for path in paths]
    for other in lists[1:]:
        if other.names != lists[0].names:
            raise DataError(f"{lists[0].source} and {other.source} number the classes differently")
    return lists[0] if lists else None


def numbering(numbers: Mapping[int, int], given: ClassNumbers | None, source: Path) -> ClassNumbers:
    """Choose the class list by which a detection file was numbered.

    Args:
        numbers: all class numbers in the file, and the line where each comes first.
        given: the list of the truth, or of the user; it decides.
        source: the detection file.

    Raises:
        DataError: a number is not in the given list; or without one, no known list has all numbers, or both have.
    """
    known = [NAMED[name] for name in NAMED]
    fitting = [c for c in known if set(numbers) <= set(c.names)]
    hint = f"choose one with --class-list: a file, or {' or '.join(NAMED)}"
    if given is not None:
        strange = sorted(set(numbers) - set(given.names))
        if not strange:
            return given
        others = "".join(f"; all of the file's numbers are in {c}" for c in fitting if c.names != given.names)
        raise DataError(
            f"{source}: line {numbers[strange[0]]}: class number {strange[0]} is not in {given}{others}; {hint}"
        )
    if len(fitting) > 1:
        shown = ", ".join(f"{n} is {' or '.join(c.names[n] for c in fitting)}" for n in sorted(set(numbers))[:3])
        raise DataError(
            f"{source}: its class numbers mean one thing in {fitting[0]} and another in {fitting[1]}: {shown}; {hint}"
        )
    if not fitting:
        strange = sorted(n for n in set(numbers) if not any(n in c.names for c in known)) or sorted(set(numbers))
        raise DataError(
            f"{source}: line {numbers[strange[0]]}: class number {strange[0]} is neither in "
            f"{known[0]} nor in {known[1]}, or the file mixes both; {hint}"
        )
    return fitting[0]
