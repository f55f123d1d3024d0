"""What a stream gives, from the definitions: all features are there, windows are cut out of them one by one.

Keeps everything for ever: every window, every segment of each, every final. Times are snippets of `step` seconds that
touch each other, from 0.
"""

from __future__ import annotations

import math

SAME, COVERED, MOMENT = 0.499, 0.799, 1e-5


def schedule(count, *, window, step):
    """(first, end) snippets of each window of a stream of so many snippets; the last one is the flush."""
    ends = [*range(step, count + 1, step), count]
    return [(max(0, end - window), end) for end in ends] if count else []


def overlap(a, b):
    inside = min(a[1], b[1]) - max(a[0], b[0])
    return inside / ((a[1] - a[0]) + (b[1] - b[0]) - inside) if inside > 0 else 0.0


def clip(x, left, right):
    return min(max(x[0], left), right), min(max(x[1], left), right)


def matches(segments, known, left, right):
    """Greedy: the pair of one class with the largest overlap first; ties by the order of both."""
    pairs = []
    for i, s in enumerate(segments):
        for j, k in enumerate(known):
            o = round(overlap(clip(s["span"], left, right), clip(k["span"], left, right)), 6)
            if s["label"] == k["label"] and o >= SAME:
                pairs.append((-o, i, j))
    out = {}
    for _, i, j in sorted(pairs):
        if i not in out and j not in out.values():
            out[i] = j
    return out


def is_told(segment, finals):
    for f in finals:
        if f["label"] != segment["label"]:
            continue
        (s, e), (t, g) = segment["span"], f["span"]
        inside = min(e, g) - max(s, t)
        if inside > 0 and (overlap((s, e), (t, g)) >= SAME or inside >= COVERED * (e - s)):
            return True
    return False


def finals(count, localize, *, step_s, window, step, look_ahead, gap, min_score=-math.inf, duration=None,
    hysteresis=0.15,
):  # fmt: skip
    """Finals as (start, end, label, score, decided_at, truncated, start_clipped), in the order they are told.

    Args:
        count: snippets of the whole stream.
        localize: (first, end, last?) of a window -> [(start s, end s, score, label)], suppressed, best first.
        step_s: seconds of a snippet.
        window, step, look_ahead, gap: in snippets.
        duration: where the stream ends, seconds.
    """
    duration = count * step_s if duration is None else duration
    slack = step_s
    low = min_score - hysteresis * abs(min_score) if math.isfinite(min_score) else min_score
    waiting, told, out = [], [], []
    line, right_before, moved = -math.inf, -math.inf, False

    def decide(at, new_line, last):
        nonlocal waiting, line
        oldest, made = line - slack, []
        for s in waiting:
            end = s["span"][1]
            if end <= new_line + MOMENT and end > oldest + MOMENT and s["score"] >= min_score:
                is_open = last and end > at - gap * step_s + MOMENT
                made.append((*s["span"], s["label"], s["score"], at, is_open, s["clipped"]))
                told.append(s)
        waiting = [s for s in waiting if s["span"][1] > new_line + MOMENT]
        line = max(line, new_line)
        out.extend(sorted(made, key=lambda m: (m[1], m[0], m[2])))

    windows = schedule(count, window=window, step=step)
    for n, (first, end) in enumerate(windows):
        last = n == len(windows) - 1
        left, right = first * step_s, duration if last else end * step_s
        inner = min(look_ahead, max(window // 2, gap))
        if first > 0 and not moved:
            moved = True
            decide(right, right_before - inner * step_s, last)
        told_here = [t for t in told if t["span"][1] > left]
        segments = [
            {"span": (s, e), "label": label, "score": score, "clipped": first > 0 and s <= left + MOMENT}
            for s, e, score, label in localize(first, end, last)
            if score >= low
        ]
        pairs = matches(segments, waiting + told_here, left, right_before)
        following = []
        for i, s in enumerate(segments):
            j = pairs.get(i, -1)
            if j >= len(waiting) or (j < 0 and is_told(s, told_here)):
                continue
            if j >= 0 and s["clipped"]:
                s["span"] = (min(s["span"][0], waiting[j]["span"][0]), s["span"][1])
            following.append(s)
        waiting = following
        decide(right, right if last else right - (inner if moved else look_ahead) * step_s, last)
        right_before = right
    return out
