"""Evaluation protocols: every rule that moves a mAP, as named values.

Facts and sources: README.md beside this file. The default of
every field is what we hold to be right; other values reproduce published evaluators.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ..errors import UsageError
from ..options import linspace

#: Seconds of one snippet of the common features: 16 frames at 25 a second.
SNIPPET_S = 16 / 25

#: Overlaps of weakly supervised work on THUMOS14.
WTAL_TIOUS = linspace(0.1, 0.7, 7)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A set of rules. Printed with every score; two scores compare only under equal rules."""

    name: str
    #: Overlaps at which AP is taken.
    tious: tuple[float, ...]
    #: "best_free": a detection takes the free instance it overlaps most. "truth_first": an instance
    #: takes the free detection that overlaps it most, of equals the better ranked (both kits of THUMOS14).
    matching: Literal["best_free", "truth_first"] = "best_free"
    #: "interpolated": area under the precision envelope. "plain": mean precision at true positives (THUMOS14's later
    #: kit). "eleven_point": mean of the best precision at recalls of at least 0, 0.1, ..., 1 (its first kit).
    ap: Literal["interpolated", "plain", "eleven_point"] = "interpolated"
    #: An overlap of exactly the threshold is enough.
    inclusive: bool = True
    #: Order of equal scores. "total": start, end, video, then as listed. "listed": as listed, and of
    #: instances that a detection overlaps equally the last listed (mmaction2). "argsort": numpy's
    #: unstable sort, reversed, for scores and for equal overlaps (ActivityNet toolkit and its copies):
    #: depends on numpy's version and the processor. "video": names of
    #: videos in order, then as listed (THUMOS14's later kit). "true_first": the same with true positives before
    #: all others (its first kit); "true_last" with them after all others, which only `tie_span` needs.
    ties: Literal["total", "listed", "argsort", "video", "true_first", "true_last"] = "total"
    #: Detections over a stretch annotated as ambiguous. "keep"; "ignore": they are no false positives
    #: (THUMOS14); "drop": deleted before scoring, whatever their class (W-TALC family).
    ambiguous: Literal["keep", "ignore", "drop"] = "keep"
    #: Round all times to multiples of this many seconds first; 0 does not. Instances that become
    #: empty stay and cannot be found.
    round_s: float = 0.0
    #: Instances shorter than this are dropped; negative keeps those of no length too.
    min_instance_s: float = -1.0
    #: An instance within this of an earlier one of its class, at both ends, is dropped; negative keeps all.
    duplicate_s: float = -1.0
    #: Detections in videos that the truth does not list: false positives, or left out.
    foreign_videos: Literal["count", "drop"] = "count"
    #: An overlap of 0/0 (two empty intervals at one place) is a hit, as NaN < threshold is false
    #: in the ActivityNet toolkit and its copies.
    nan_hit: bool = False
    #: Detected classes without truth: left out with a warning. "collide" reproduces ActionFormer, which
    #: renumbers the true classes and counts a raw label as the class that now has its number.
    unknown_labels: Literal["ignore", "collide"] = "ignore"
    #: Videos that are left out, truth and detections.
    exclude: tuple[str, ...] = ()

    @property
    def reproduces(self) -> bool:
        """Asks for what depends on numpy's sort or on NaN: `compat` does the matching."""
        return self.ties in ("argsort", "listed") or self.nan_hit

    def with_tious(self, tious: tuple[float, ...]) -> Protocol:
        """Return the same rules at other overlaps."""
        return replace(self, tious=tious)


_THUMOS_WRONG = ("video_test_0000270", "video_test_0001292", "video_test_0001496")

PROTOCOLS = {
    p.name: p
    for p in (
        Protocol(name="activitynet", tious=linspace(0.5, 0.95, 10)),
        # TH14evalDet_Updated.m, the later kit: overlap > threshold, ambiguous stretches ignored, 213 videos.
        Protocol(
            name="thumos14-official",
            tious=WTAL_TIOUS,
            matching="truth_first",
            ap="plain",
            inclusive=False,
            ties="video",
            ambiguous="ignore",
        ),
        # TH14evaldet.m and TH14eventdetpr.m, the first kit (TH14evalkit).
        Protocol(
            name="thumos14-evalkit",
            tious=WTAL_TIOUS,
            matching="truth_first",
            ap="eleven_point",
            inclusive=False,
            ties="true_first",
            ambiguous="ignore",
        ),
        # CO2-Net, PVLR, TSM+VLC: everything in snippets, ambiguous filter, 212 videos.
        Protocol(
            name="wtal-snippet",
            tious=WTAL_TIOUS,
            ambiguous="drop",
            round_s=SNIPPET_S,
            exclude=("video_test_0001292",),
        ),
        # BaS-Net, UM, CoLA, LACP, AICL: seconds, 210 videos.
        Protocol(name="wtal-seconds", tious=WTAL_TIOUS, exclude=_THUMOS_WRONG),
        Protocol(name="opentad", tious=linspace(0.3, 0.7, 5), min_instance_s=1e-12, duplicate_s=1e-3),
        Protocol(name="actionformer", tious=linspace(0.3, 0.7, 5), min_instance_s=1e-3, duplicate_s=1e-3),
    )
}


def protocol(name: str) -> Protocol:
    """Return a protocol by name."""
    if name not in PROTOCOLS:
        raise UsageError(f"unknown protocol {name!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def parse_tious(text: str) -> tuple[float, ...]:
    """Read overlaps: ``0.3,0.5``, or a range of two or more as ``first:last:step`` or ``first:step:last``.

    Both orders are in use and no text is a range of two or more in both, but for the same overlaps.

    Raises:
        UsageError: not numbers in [0, 1], or no range of two or more.
    """
    try:
        numbers = [float(v) for v in text.split(":" if ":" in text else ",")]
    except ValueError:
        numbers = []
    values: tuple[float, ...] = tuple(numbers)
    if ":" in text:
        ranges = [_range(numbers[0], *pair) for pair in (numbers[1:], numbers[:0:-1])] if len(numbers) == 3 else []
        values = next((r for r in ranges if len(r) > 1), ())
    if not values or not all(0 <= v <= 1 for v in values) or len(values) > 64:
        raise UsageError(
            f"tiou-thresholds is {text!r}, must be 1 to 64 numbers in [0, 1] as 0.3,0.5, or a range of two or more as "
            "first:last:step or first:step:last"
        )
    return values


def _range(first: float, last: float, step: float) -> tuple[float, ...]:
    """Return first, first + step, ... up to last; empty where that is no range."""
    if not (0 <= first <= last <= 1 and step > 1e-6):
        return ()
    count = int((last - first) / step + 1e-6) + 1
    return tuple(round(first + i * step, 10) for i in range(count))
