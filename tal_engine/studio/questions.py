"""What to look at next: moments whose answer would teach most, each with its reason.

A moment is asked about once: what somebody answered does not come back, also where the next head finds it a little
earlier or later. Videos that are held out, or were looked at as a whole, are not asked about.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heapreplace
from statistics import median
from typing import Any, Literal, NamedTuple, get_args

from .beside import beside
from .marked import SAME, Mark, explained, is_of_mark, overlap, usual_lengths, widened

Reason = Literal["boundary", "disagreement", "rare", "likely_miss", "likely_false", "unfinished"]
REASONS: tuple[Reason, ...] = get_args(Reason)

#: Overlap (tIoU) of two heads' segments from which on they agree; from `SAME` on they mean the same action.
AGREED = 0.8
#: Overlap from which on a moment is one that was asked about, or that another question asks about already.
ASKED = 0.5
#: Segments below this score are not asked about.
LEAST_SCORE = 0.1
#: Some action from this actionness on, if it lasts so many seconds.
ACTION, ACTION_S = 0.6, 1.0
#: A class is rare below this share of the median number of labels, or with fewer labels than `FEW`.
RARE, FEW = 0.5, 10
#: What an answer is worth by its reason: what is not known of the class counts more than where exactly it ends.
WORTH: Mapping[Reason, float] = {
    "disagreement": 1.0, "rare": 0.9, "likely_miss": 0.8, "likely_false": 0.6, "boundary": 0.5, "unfinished": 1.2,
}  # fmt: skip
#: A video that is no longer than this, seconds, is worth watching as a whole: it takes no longer than a few questions.
SHORT_S = 120.0
#: And so much less where a label beside it may be of the same action: to reject it teaches nothing.
NEARBY = 0.5
#: Each question of the same video, class or reason before it makes the next one worth less.
AGAIN_VIDEO, AGAIN_LABEL, AGAIN_REASON = 0.7, 0.85, 0.9
MOST = 50


class Heard(NamedTuple):
    """What was found in a video: segments of two heads [start, end, label, score], and actionness by snippet.

    other: None where there is one head: nothing is known then of what it is not sure of. start, step: seconds of the
    first snippet's centre, and between two.
    """

    segments: Sequence[Sequence[Any]]
    other: Sequence[Sequence[Any]] | None
    action: Sequence[float]
    start: float
    step: float

    @property
    def duration(self) -> float:
        """Where the last snippet ends, in seconds."""
        return self.start + (len(self.action) - 0.5) * self.step

    def lowest(self, start: float, end: float) -> float:
        """Return the least actionness of the snippets between two moments; 1 where there is none between them."""
        first, last = max(math.ceil((start - self.start) / self.step), 0), math.floor((end - self.start) / self.step)
        return min(self.action[first : last + 1], default=1.0)


class Answered(NamedTuple):
    """A stretch that was asked about: as which class, "" for any; or whether it is all of a video that is finished."""

    start: float
    end: float
    label: str
    unfinished: bool = False


@dataclass(frozen=True)
class Question:
    """Look here. label: what heads think it is, "" for a likely miss; worth: of the answer, before others count."""

    video: str
    start: float
    end: float
    label: str
    score: float
    reason: Reason
    text: str
    worth: float

    @property
    def id(self) -> str:
        """A name that stays while the question does."""
        text = f"{self.video} {self.start:.2f} {self.end:.2f} {self.label} {self.reason}"
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def questions(
    heard: Mapping[str, Heard],
    marks: Mapping[str, Sequence[Mark]],
    answered: Mapping[str, Sequence[Answered]],
    thresholds: Mapping[str, float],
    counts: Mapping[str, int],
    most: int = MOST,
) -> list[Question]:
    """Rank what to look at next, best first.

    Args:
        heard: what was found in each video that may be asked about.
        marks: labels of each video.
        answered: what was asked about before.
        thresholds: of the score of each class.
        counts: labels of each class.
        most: questions.
    """
    rare, found = rare_classes(counts), list[Question]()
    for video, of in heard.items():
        found += of_video(video, of, marks.get(video, ()), answered.get(video, ()), thresholds, rare)
    return in_turn(found, most)


def of_video(
    video: str,
    heard: Heard,
    marks: Sequence[Mark],
    answered: Sequence[Answered],
    thresholds: Mapping[str, float],
    rare: Mapping[str, float],
) -> list[Question]:
    """List the questions of one video; those of others change nothing about them.

    Args:
        video: its id.
        heard: what was found in it.
        marks: its labels.
        answered: what was asked about before.
        thresholds: of the score of each class.
        rare: of `rare_classes`.
    """
    found = _of_video(video, heard, marks, thresholds, rare)
    stretches = [a for a in answered if not a.unfinished]
    found = _distinct([q for q in found if not _again(q, stretches)])
    return found if len(stretches) < len(answered) else [*found, *_whole(video, heard, marks, found)]


def rare_classes(counts: Mapping[str, int]) -> dict[str, float]:
    """Return the classes with few labels, and how much more of each are wanted, in (0, 1].

    >>> rare_classes({"run": 40, "sit": 15, "jump": 42})
    {'sit': 0.25}
    """
    few = max(RARE * median(counts.values()), FEW) if counts else FEW
    return {c: 1 - n / few for c, n in counts.items() if n < few}


def _of_video(
    video: str, heard: Heard, marks: Sequence[Mark], thresholds: Mapping[str, float], rare: Mapping[str, float]
) -> list[Question]:
    out, told, marks = [], marks, widened(marks, heard.segments)
    usual = usual_lengths(heard.segments, thresholds)
    for segment in heard.segments:
        start, end, label, score = segment
        if score < LEAST_SCORE or explained(segment, marks) or is_of_mark(segment, told, usual, heard.lowest):
            continue
        threshold = thresholds.get(label, 0.5)
        near = beside(start, end, label, told)
        for reason, doubt, text in _doubts(segment, heard.other, threshold, rare):
            worth = WORTH[reason] * doubt * (NEARBY if near else 1)
            out.append(Question(video, start, end, label, score, reason, text + near, worth))
    shown = [s for s in heard.segments if s[3] >= thresholds.get(s[2], 0.5)]
    for start, end, mean in _active(heard):
        stretch = (start, end, "")
        is_known = explained(stretch, marks) or is_of_mark(stretch, told, usual, heard.lowest)
        if not is_known and all(overlap(stretch, s) < SAME for s in shown):
            near = beside(start, end, "", told)
            worth = WORTH["likely_miss"] * mean * (NEARBY if near else 1)
            text = f"something happens here, and no class is found{near}"
            out.append(Question(video, start, end, "", mean, "likely_miss", text, worth))
    return out


def _whole(video: str, heard: Heard, marks: Sequence[Mark], others: Sequence[Question]) -> list[Question]:
    """Ask to watch a video as a whole: only then is time without labels background, which a head learns most from."""
    count, end = sum(bool(m.label) for m in marks), heard.duration
    if end <= 0:
        return []
    marked = "1 action is marked" if count == 1 else f"{count or 'no'} actions are marked"
    doubt = max((q.worth for q in others), default=0.0)
    worth = WORTH["unfinished"] * min(SHORT_S / end, 1.0) * (1 + min(doubt, 1.0)) / 2
    text = f"{marked}: watch it once, and mark the rest"
    return [Question(video, 0.0, end, "", 0.0, "unfinished", text, worth)]


def _doubts(
    segment: Sequence[Any], other: Sequence[Sequence[Any]] | None, threshold: float, rare: Mapping[str, float]
) -> list[tuple[Reason, float, str]]:
    """List why a segment should be looked at, and how much, in 0..1."""
    _, _, label, score = segment
    out: list[tuple[Reason, float, str]] = []
    if other is not None:
        out += _differences(segment, other)
    if label in rare:
        out.append(("rare", score * rare[label], f"{label!r} has few labels"))
    near = 1 - abs(score - threshold) / max(threshold, 1 - threshold)
    if near >= ASKED:
        text = f"its score {score:.2f} is near the threshold {threshold:.2f}: it may be a false alarm"
        out.append(("likely_false", near, text))
    return out


def _differences(segment: Sequence[Any], other: Sequence[Sequence[Any]]) -> list[tuple[Reason, float, str]]:
    """Say whether another head finds a segment, and finds it elsewhere."""
    _, _, label, score = segment
    agreed = max((overlap(segment, o) for o in other if o[2] == label and o[3] >= LEAST_SCORE), default=0.0)
    if agreed >= AGREED:
        return []
    if agreed >= SAME:
        return [("boundary", score * (1 - agreed), "two heads differ about where it begins or ends")]
    rivals = [o for o in other if o[2] != label and overlap(segment, o) >= ASKED]
    rival = max(rivals, key=lambda o: o[3], default=None)
    what = "does not find it" if rival is None else f"calls it {rival[2]!r}"
    return [("disagreement", score * (1 - agreed), f"a second head {what}")]


def _active(heard: Heard) -> list[tuple[float, float, float]]:
    """List stretches of high actionness: start, end, mean."""
    out, first = [], None
    for i, value in enumerate([*heard.action, 0.0]):
        if value >= ACTION and first is None:
            first = i
        elif value < ACTION and first is not None:
            start, end = heard.start + (first - 0.5) * heard.step, heard.start + (i - 0.5) * heard.step
            if end - start >= ACTION_S:
                out.append((max(start, 0.0), end, sum(heard.action[first:i]) / (i - first)))
            first = None
    return out


def _again(q: Question, answered: Sequence[Answered]) -> bool:
    """Whether a question was answered before: this stretch, as this class or as any."""
    here = (q.start, q.end)
    return any(a.label in ("", q.label) and (overlap(here, a) >= ASKED or _holds(a, here)) for a in answered)


def _holds(a: Answered, here: tuple[float, float]) -> bool:
    return a.start <= (here[0] + here[1]) / 2 <= a.end


def _distinct(found: Sequence[Question]) -> list[Question]:
    """Ask once about each stretch: the question that is worth most."""
    kept: list[Question] = []
    for q in sorted(found, key=_order):
        if all(overlap((q.start, q.end), (k.start, k.end)) < ASKED for k in kept):
            kept.append(q)
    return kept


def _order(q: Question) -> tuple[float, str, float, str, str]:
    return -q.worth, q.video, q.start, q.label, q.reason


def in_turn(found: Sequence[Question], most: int) -> list[Question]:
    """Take the best again and again, where what is like the ones before is worth less; of equals the first.

    What a question is worth only falls, so one that is still worth what it was when it was looked at last is the best.
    """
    videos, labels, reasons = dict[str, int](), dict[str, int](), dict[str, int]()

    def worth(q: Question) -> float:
        return (
            q.worth * AGAIN_VIDEO ** videos.get(q.video, 0) * AGAIN_LABEL ** labels.get(q.label, 0)
            * AGAIN_REASON ** reasons.get(q.reason, 0)
        )  # fmt: skip

    waiting = [(-q.worth, k, q) for k, q in enumerate(sorted(found, key=_order))]
    out: list[Question] = []
    while waiting and len(out) < most:
        before, k, q = waiting[0]
        if worth(q) < -before:
            heapreplace(waiting, (-worth(q), k, q))
            continue
        heappop(waiting)
        out.append(q)
        for seen, key in ((videos, q.video), (labels, q.label), (reasons, str(q.reason))):
            seen[key] = seen.get(key, 0) + 1
    return out
