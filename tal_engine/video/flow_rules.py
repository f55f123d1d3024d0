"""Which flow an OpenCV computes: the same method gives other values in other versions.

Measured with benchmarks/flow_versions.py on x86-64 (real and drawn videos, 112 x 112 and whole): DIS differs between
the revisions below by means of 0.004 to 0.09 pixels and is the same within them to the last bit; instruction sets
change it by at most 1e-4. TV-L1 is one revision: versions differ by means of about 0.01 pixels, as much as
instruction sets do within one version, because its iterations stop by a threshold. Resizing and grey are the same in
all versions.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2


class Revision(NamedTuple):
    """A flow that versions of OpenCV from `first` to before `end` have in common; both (major, minor)."""

    number: int
    first: tuple[int, int]
    end: tuple[int, int]


_DIS = (Revision(1, (4, 9), (4, 10)), Revision(2, (4, 10), (4, 15)), Revision(3, (5, 0), (5, 1)))
_TVL1 = (Revision(1, (4, 9), (5, 1)),)
_ULTRAFAST = (Revision(3, (5, 0), (5, 1)),)
_REVISIONS = {"dis": _DIS, "dis_ultrafast": _ULTRAFAST, "tvl1": _TVL1}


def flow_rules(method: str, version: str | None = None) -> str:
    """Name the implementation of a flow, for records of features: "dis, revision 3"; "" for method "none".

    Args:
        method: as `SnippetOptions.flow` names it.
        version: of OpenCV; None takes the one that is installed. One that was not measured is named in the place of
            a revision: "dis of OpenCV 5.1, not measured".
    """
    if method == "none":
        return ""
    if method == "vectors":  # FFmpeg exports what the file says; no version computes anything
        return "vectors, rules 1"
    version = cv2.__version__ if version is None else version
    major, minor = (int(part) for part in version.split(".")[:2])
    for revision in _REVISIONS[method]:
        if revision.first <= (major, minor) < revision.end:
            return f"{method}, revision {revision.number}"
    return f"{method} of OpenCV {major}.{minor}, not measured"
