"""Textbook twins of the studio: the ranking of what to look at next, written out step by step, and Cohen's kappa."""

from __future__ import annotations

import math
import statistics

from tal_engine.studio import beside, marked
from tal_engine.studio import questions as q


def tiou(a, b):
    both = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    either = (a[1] - a[0]) + (b[1] - b[0]) - both if both else max(a[1], b[1]) - min(a[0], b[0])
    return both / either if either else 0.0


def is_known(start, end, marks):
    for m in marks:
        if tiou((start, end), (m.start, m.end)) >= q.SAME:
            return True
        if m.label != "" and start <= m.start <= end and start <= m.end <= end:
            return True
        if m.start <= (start + end) / 2 <= m.end:
            return True
    return False


def reasons(segment, other, threshold, rare):
    start, end, label, score = segment
    same = [tiou((start, end), o) for o in other if o[2] == label and o[3] >= q.LEAST_SCORE]
    best = max(same) if same else 0.0
    out = []
    if best < q.SAME:
        out.append(("disagreement", score * (1 - best)))
    if q.SAME <= best < q.AGREED:
        out.append(("boundary", score * (1 - best)))
    if label in rare:
        out.append(("rare", score * rare[label]))
    farthest = threshold if threshold > 1 - threshold else 1 - threshold
    if 1 - abs(score - threshold) / farthest >= q.ASKED:
        out.append(("likely_false", 1 - abs(score - threshold) / farthest))
    return out


def stretches(heard):
    runs, run = [], []
    for i, value in enumerate(heard.action):
        if value >= q.ACTION:
            run.append(i)
        if run and (value < q.ACTION or i == len(heard.action) - 1):
            runs.append(run)
            run = []
    for run in runs:
        start, end = heard.start + (run[0] - 0.5) * heard.step, heard.start + (run[-1] + 0.5) * heard.step
        if end - start >= q.ACTION_S:
            yield max(0.0, start), end, sum(heard.action[i] for i in run) / len(run)


def is_same_action(start, end, label, marks, heard, usual):
    """A label beside it, so near or with so much going on between that both are of one action."""
    for m in marks:
        if m.label == "":
            continue
        a, b = (end, m.start) if m.start > end else (m.end, start)
        if any(n.label == "" and n.start < b and n.end > a for n in marks):
            continue
        gap = max(m.start - end, start - m.end)
        between = [x for i, x in enumerate(heard.action) if a <= heard.start + i * heard.step <= b]
        goes_on = label in ("", m.label) and all(x >= marked.LASTS for x in between)
        if gap <= marked.SHARE * usual.get(m.label, 0) or (gap <= beside.NEAR_S and goes_on):
            return True
    return False


def is_nearby(start, end, label, marks):
    """The nearest label of this class (or of any) is a few seconds away, and nobody said that nothing is between."""
    near = [m for m in marks if m.label != "" and label in ("", m.label)]
    if not near:
        return False
    m = min(near, key=lambda m: max(m.start - end, start - m.end))
    gap = max(m.start - end, start - m.end)
    a, b = (end, end + gap) if m.start > end else (start - gap, start)
    return gap <= beside.NEAR_S and not any(n.label == "" and n.start < b and n.end > a for n in marks)


def lengths(segments, thresholds):
    out = {}
    for label in {s[2] for s in segments}:
        all_of = [s[1] - s[0] for s in segments if s[2] == label]
        sure = [s[1] - s[0] for s in segments if s[2] == label and s[3] >= thresholds.get(label, 0.5)]
        out[label] = statistics.median(sure if sure else all_of)
    return out


def candidates(video, heard, marks, answered, thresholds, rare):
    """(worth, video, start, end, label, reason) of all that may be asked of a video."""
    found, wide, told = [], [], marks
    usual = lengths(heard.segments, thresholds)
    for m in marks:
        around = [s for s in heard.segments if s[2] == m.label and s[0] <= m.start and m.start <= s[1]]
        if m.start < m.end or not around:
            wide.append(m)
        else:
            best = sorted(around, key=lambda s: -s[3])[0]
            wide.append(q.Mark(best[0], best[1], m.label))
    marks = wide
    for s in heard.segments:
        known = is_known(s[0], s[1], marks) or is_same_action(s[0], s[1], s[2], told, heard, usual)
        if s[3] >= q.LEAST_SCORE and not known:
            less = q.NEARBY if is_nearby(s[0], s[1], s[2], told) else 1
            for reason, doubt in reasons(s, heard.other, thresholds.get(s[2], 0.5), rare):
                found.append((q.WORTH[reason] * doubt * less, video, s[0], s[1], s[2], reason))
    for start, end, mean in stretches(heard):
        covered = [s for s in heard.segments if s[3] >= thresholds.get(s[2], 0.5) and tiou((start, end), s) >= q.SAME]
        known = is_known(start, end, marks) or is_same_action(start, end, "", told, heard, usual)
        if not covered and not known:
            less = q.NEARBY if is_nearby(start, end, "", told) else 1
            found.append((q.WORTH["likely_miss"] * mean * less, video, start, end, "", "likely_miss"))
    new = []
    for f in found:
        before = [a for a in answered if not a.unfinished and (a.label == "" or a.label == f[4])]
        middle = (f[2] + f[3]) / 2
        if not any(tiou((f[2], f[3]), a) >= q.ASKED or a.start <= middle <= a.end for a in before):
            new.append(f)
    return new


def ranked(heard, marks, answered, thresholds, counts, most):
    """(video, start, end, label, reason) in the order in which they are asked."""
    numbers = sorted(counts.values())
    half = len(numbers) // 2
    middle = (numbers[half] if len(numbers) % 2 else (numbers[half - 1] + numbers[half]) / 2) if numbers else 0
    few = q.FEW if q.RARE * middle < q.FEW else q.RARE * middle
    rare = {c: (few - n) / few for c, n in counts.items() if n < few}

    def first(f):
        return -f[0], f[1], f[2], f[4], f[5]

    pool = []
    for video in heard:
        kept = []
        mine = candidates(video, heard[video], marks.get(video, ()), answered.get(video, ()), thresholds, rare)
        for f in sorted(mine, key=first):
            if not any(tiou((f[2], f[3]), (k[2], k[3])) >= q.ASKED for k in kept):
                kept.append(f)
        pool += kept
        times = [heard[video].start + i * heard[video].step for i in range(len(heard[video].action))]
        if times and not any(a.unfinished for a in answered.get(video, ())):
            end = times[-1] + heard[video].step / 2
            doubt = min(1.0, max([f[0] for f in kept], default=0.0))
            worth = q.WORTH["unfinished"] * (1 + doubt) / 2 * (1 if end <= q.SHORT_S else q.SHORT_S / end)
            pool.append((worth, video, 0.0, end, "", "unfinished"))
    asked = []
    while pool and len(asked) < most:
        best, best_worth = None, -math.inf
        for f in sorted(pool, key=first):
            worth = f[0]
            for before in asked:
                worth *= q.AGAIN_VIDEO if before[1] == f[1] else 1
                worth *= q.AGAIN_LABEL if before[4] == f[4] else 1
                worth *= q.AGAIN_REASON if before[5] == f[5] else 1
            if worth > best_worth + 1e-12:
                best, best_worth = f, worth
        pool.remove(best)
        asked.append(best)
    return [f[1:] for f in asked]


def kappa(first, second):
    """Cohen (1960): from the table of how often each pair of classes was given."""
    names = sorted({*first, *second})
    table = [[sum((a, b) == (x, y) for a, b in zip(first, second, strict=True)) for y in names] for x in names]
    n = sum(map(sum, table))
    observed = sum(table[i][i] for i in range(len(names))) / n
    expected = sum(sum(table[i]) * sum(row[i] for row in table) for i in range(len(names))) / n**2
    return (observed - expected) / (1 - expected)
