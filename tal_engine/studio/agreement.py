"""How far people agree: Cohen's kappa over slots of time, and how far apart they put the same boundaries.

Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20 (1960). Only videos
that both have labelled count. Where both say whom their labels are about, each person's time is compared by itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from .labels import Label

#: Length of a slot of time, and how far around a point its class holds, seconds.
SLOT_S, POINT_S = 0.25, 0.5
NOTHING = ""


def agreement(labels: Sequence[Label], seconds: Mapping[str, float]) -> dict[str, Any]:
    """Compare all people who labelled the same videos, two by two.

    Args:
        labels: of everybody.
        seconds: duration of each video.

    Returns:
        people, and of each pair kappa (None where it is not defined), boundary_median_s, boundary_p90_s, only_a, only_b
        (labels that the other has not), both, videos.
    """
    by: dict[str, dict[str, list[Label]]] = defaultdict(lambda: defaultdict(list))
    for x in labels:
        by[x.author][x.video].append(x)
    people = sorted(by)
    return {"people": people, "pairs": [_pair(a, b, by[a], by[b], seconds) for a, b in combinations(people, 2)
                                        if set(by[a]) & set(by[b])]}  # fmt: skip


def _pair(
    a: str, b: str, of_a: Mapping[str, list[Label]], of_b: Mapping[str, list[Label]], seconds: Mapping[str, float]
) -> dict[str, Any]:
    videos = sorted(set(of_a) & set(of_b))
    first: list[str] = []
    second: list[str] = []
    apart: list[float] = []
    both = 0
    for v in videos:
        length = max(seconds.get(v, 0.0), *(x.end for x in (*of_a[v], *of_b[v])))
        parts = _by_subject(of_a[v], of_b[v])
        for one, other in parts:
            first += slots(one, length)
            second += slots(other, length)
        pairs = [p for one, other in parts for p in matched(one, other)]
        both += len(pairs)
        for x, y in pairs:
            apart += [abs(x.start - y.start)] if "point" in (x.kind, y.kind) else [
                abs(x.start - y.start), abs(x.end - y.end)]  # fmt: skip
    alone = [sum(x.kind != "nothing" for v in videos for x in of[v]) - both for of in (of_a, of_b)]
    found = kappa(first, second)
    return {
        "a": a, "b": b, "videos": len(videos), "both": both, "only_a": alone[0], "only_b": alone[1], "kappa": found,
        "boundary_median_s": float(np.median(apart)) if apart else None,
        "boundary_p90_s": float(np.quantile(apart, 0.9)) if apart else None,
    }  # fmt: skip


def _by_subject(first: Sequence[Label], second: Sequence[Label]) -> list[tuple[list[Label], list[Label]]]:
    """Part the labels of a video by whom they are about; as one part where only one of two people says so."""
    if not all(any(x.subject for x in of) for of in (first, second)):
        return [(list(first), list(second))]
    names = sorted({x.subject for x in (*first, *second)})
    return [([x for x in first if x.subject == n], [x for x in second if x.subject == n]) for n in names]


def slots(labels: Sequence[Label], length: float) -> list[str]:
    """Give the class of each slot of a video: of labels that cover its middle the one that begins last, or nothing."""
    count = max(int(np.ceil(length / SLOT_S)), 1)
    out = [NOTHING] * count
    middles = (np.arange(count) + 0.5) * SLOT_S
    for x in sorted(labels, key=lambda x: (x.start, x.end, x.id)):
        wide = POINT_S if x.kind == "point" else 0.0
        for i in np.flatnonzero((middles >= x.start - wide) & (middles <= x.end + wide)):
            out[i] = x.label
    return out


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Return Cohen's kappa of two sequences of classes; None where chance alone agrees everywhere.

    >>> kappa(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    0.5
    """
    n = len(first)
    if not n:
        return None
    same = sum(x == y for x, y in zip(first, second, strict=True)) / n
    one, two = Counter(first), Counter(second)
    chance = sum(one[c] * two[c] for c in one) / (n * n)
    return None if chance >= 1 else (same - chance) / (1 - chance)


def matched(first: Sequence[Label], second: Sequence[Label]) -> list[tuple[Label, Label]]:
    """Pair labels of one class that overlap, those that overlap most first; a point is `POINT_S` wide each way."""
    pairs = []
    for x in first:
        for y in second:
            if x.label == y.label and x.kind != "nothing" and y.kind != "nothing":
                (a, b), (c, d) = _wide(x), _wide(y)
                inter = min(b, d) - max(a, c)
                if inter > 0:
                    pairs.append((-inter / (max(b, d) - min(a, c)), x.id, y.id, x, y))
    out, used = list[tuple[Label, Label]](), set[str]()
    for _, i, j, x, y in sorted(pairs, key=lambda p: p[:3]):
        if i not in used and j not in used:
            used |= {i, j}
            out.append((x, y))
    return out


def _wide(x: Label) -> tuple[float, float]:
    wide = POINT_S if x.kind == "point" else 0.0
    return x.start - wide, x.end + wide
