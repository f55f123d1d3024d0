"""Which videos are held out to measure on: chosen once, so that figures over time are of the same videos."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

#: Fewer videos than this hold none out: there would be too little to learn from.
LEAST_VIDEOS = 3


def chosen(
    labels: Mapping[str, Collection[str]], seconds: Mapping[str, float], share: float, seed: int = 0
) -> tuple[tuple[str, ...], str]:
    """Choose videos, and say how.

    One by one the video is taken that brings classes nearest to their share; of equals the one by length.

    Args:
        labels: classes of each video.
        seconds: duration of each video.
        share: of the videos.
        seed: of the order in which equals are looked at.

    Returns:
        Their ids, and a sentence.

    >>> chosen({"a": ["run"], "b": ["run"], "c": ["sit"], "d": ["sit"]}, dict.fromkeys("abcd", 9.0), 0.5)[0]
    ('a', 'c')
    """
    ids = sorted(labels)
    if len(ids) < LEAST_VIDEOS:
        return (), f"{len(ids)} videos: none is held out, at least {LEAST_VIDEOS} are needed"
    count = min(max(1, round(share * len(ids))), len(ids) - 2)
    order = [ids[i] for i in np.random.default_rng(seed).permutation(len(ids))]
    classes = sorted({c for of in labels.values() for c in of})
    hot = {i: np.array([c in labels[i] for c in classes], float) for i in ids}
    wanted, length = share * sum(hot.values()), share * sum(seconds.values())
    taken: list[str] = []
    have, lasts = np.zeros(len(classes)), 0.0
    for k in range(count):
        part = (k + 1) / count

        free = [i for i in order if i not in taken]
        lacks = [round(float(np.abs(wanted * part - have - hot[i]).sum()), 9) for i in free]
        off = [abs(length * part - lasts - seconds[i]) for i in free]
        best = free[min(range(len(free)), key=lambda j: (lacks[j], off[j]))]
        taken.append(best)
        have, lasts = have + hot[best], lasts + seconds[best]
    how = "so that classes are shared out evenly" if classes else "by their lengths, before there were labels"
    return tuple(sorted(taken)), f"{count} of {len(ids)} videos were chosen {how}; they are never learned from"
