"""What a stream says, from the definitions: all features are there, windows are cut out of them one by one.

Keeps everything for ever: every window, every sight of every action, every event; what is asked of them is looked for
anew each time. Times are seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

SAME, COVERED, MOMENT, SCORE_CHANGE = 0.499, 0.799, 1e-5, 0.05


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Of a stream that begins at `origin` and whose snippets last `width_s` seconds and begin every `step_s`.

    window, step, look_ahead, gap: whole snippets; the rest as in the options.
    """

    step_s: float
    width_s: float
    window: int
    step: int
    look_ahead: int
    gap: int
    min_score: float = -math.inf
    top_k: int = 0
    hysteresis: float = 0.15
    max_action: float = 0.0
    min_action: float = 0.0
    pad: float = 0.0
    origin: float = 0.0

    def left(self, first):
        """Where a snippet begins."""
        return self.origin + first * self.step_s

    def right(self, count):
        """Where so many snippets end."""
        return self.origin + ((count - 1) * self.step_s + self.width_s)

    @property
    def inside(self):
        """The look-ahead once the window moves: no more than half of it, nor than two windows share, but the gap."""
        return min(self.look_ahead, max(min(self.window // 2, self.window - self.step), self.gap))

    @property
    def held(self):
        """The score from which on something is known at all."""
        return self.min_score - self.hysteresis * abs(self.min_score) if math.isfinite(self.min_score) else -math.inf


class Said(NamedTuple):
    """An event; `action` is its number, `wall` seconds."""

    type: str
    action: int
    label: int
    score: float
    start: float
    end: float | None
    status: str
    decided_at: float
    pts: float
    wall: float | None
    truncated: bool
    start_clipped: bool


class Sight(NamedTuple):
    """An action in one window; strong: reaches the operating point."""

    start: float
    end: float
    score: float
    strong: bool
    clipped: bool

    @property
    def span(self):
        return self.start, self.end


@dataclass
class Action:
    """seen: the window and the sight, of all windows that showed it. told: what was said, (start, end, score)."""

    number: int
    label: int
    seen: list = field(default_factory=list)
    told: list = field(default_factory=list)
    fate: str = ""  # final, cut (also final), withdrawn, or gone where nobody was told of it

    @property
    def now(self):
        return self.seen[-1][1]


class Window(NamedTuple):
    number: int
    first: int
    left: float
    right: float
    last: bool
    pts: float
    wall: float | None


def schedule(count, *, window, step):
    """(first, end) snippets of each window of a stream of so many snippets; the last one is the flush."""
    ends = [*range(step, count + 1, step), count]
    return [(max(0, end - window), end) for end in ends] if count else []


def overlap(a, b):
    inside = min(a[1], b[1]) - max(a[0], b[0])
    return inside / ((a[1] - a[0]) + (b[1] - b[0]) - inside) if inside > 0 else 0.0


def clip(x, left, right):
    return min(max(x[0], left), right), min(max(x[1], left), right)


def is_told(span, final):
    """The final told of it: they are the same, or it lies in the final."""
    inside = min(span[1], final[1]) - max(span[0], final[0])
    return inside > 0 and (overlap(span, final) >= SAME or inside >= COVERED * (span[1] - span[0]))


def events(count, localize, rules, *, end=None, walls=None, pts=None):
    """All that a stream of so many snippets says, in order.

    Args:
        count: snippets of the whole stream.
        localize: (first, end, right s) of a window -> [(start s, end s, score, label)], suppressed, best first.
        rules: see there.
        end: where the stream ends, seconds.
        walls: of each snippet, seconds of the wall clock minus those of the stream.
        pts: of each snippet, seconds of the frame that completed it, and at last of the newest; None: snippets' ends.
    """
    stream = Stream(rules)
    windows = schedule(count, window=rules.window, step=rules.step)
    for n, (first, stop) in enumerate(windows):
        last = n == len(windows) - 1
        right = end if last and end is not None else rules.right(stop)
        wall = walls[stop - 1] if walls else None
        newest = rules.right(stop) if pts is None else pts[-1] if last else pts[stop - 1]
        window = Window(n, first, rules.left(first), right, last, newest, wall)
        stream.evaluate(window, localize(first, stop, right))
    return stream.said


class Stream:
    """All that was seen and said so far."""

    def __init__(self, rules):
        self.rules = rules
        self.actions = []
        self.said = []
        self.windows = []
        self.lines = [-math.inf]

    def evaluate(self, window, rows):
        rules = self.rules
        if window.first > 0 and self.windows[-1].first == 0:  # what leaves now was seen whole for the last time
            self.decide(window, self.windows[-1].right - rules.inside * rules.step_s)
        self.watch(window, rows)
        wait = rules.inside if window.first > 0 else rules.look_ahead
        self.decide(window, window.right - (0 if window.last else wait * rules.step_s))
        for action in self.waiting():
            if window.last:
                self.give_up(action, window)
            else:
                self.announce(action, window)
        self.windows.append(window)

    def waiting(self):
        """In the order in which the newest window that was watched shows them."""
        return sorted((a for a in self.actions if not a.fate), key=lambda a: a.seen[-1][0])

    def finals(self, left):
        return [a for a in self.actions if a.fate in ("final", "cut") and a.now.end > left]

    def cut(self, label):
        """What was cut of a class is not told again: from then on all of it begins there at the earliest."""
        return max((a.now.end for a in self.actions if a.fate == "cut" and a.label == label), default=-math.inf)

    def sights(self, window, rows):
        """(label, sight) of all that the window shows and that was not cut off before."""
        best = [row for row in rows if row[2] >= self.rules.held]
        for rank, (start, end, score, label) in enumerate(best):
            strong = score >= self.rules.min_score and (not self.rules.top_k or rank < self.rules.top_k)
            clipped = window.first > 0 and start <= window.left + MOMENT
            if end > self.cut(label) + MOMENT:
                at = max(start, self.cut(label))
                yield label, Sight(at, end, score, strong, clipped or at > start)

    def mates(self, sights, known, left, right):
        """Greedy: the pair of one class with the largest overlap first; ties by the order of both."""
        pairs = []
        for i, (label, s) in enumerate(sights):
            for j, k in enumerate(known):
                o = round(overlap(clip(s.span, left, right), clip(k.now.span, left, right)), 6)
                if label == k.label and o >= SAME:
                    pairs.append((-o, i, j))
        out = {}
        for _, i, j in sorted(pairs):
            if i not in out and j not in out.values():
                out[i] = j
        return {i: known[j] for i, j in out.items()}

    def watch(self, window, rows):
        """Which action each sight is of; what is not seen any more is given up."""
        waiting, finals = self.waiting(), self.finals(window.left)
        right = self.windows[-1].right if self.windows else -math.inf
        sights = list(self.sights(window, rows))
        mates = self.mates(sights, waiting + finals, window.left, right)
        for i, (label, sight) in enumerate(sights):
            action = mates.get(i)
            if action is None:
                if any(f.label == label and is_told(sight.span, f.now.span) for f in finals):
                    continue
                action = self.begin(label)
            elif action.fate:
                continue
            elif sight.clipped:
                sight = sight._replace(start=min(sight.start, action.now.start))
            action.seen.append(((window.number, i), sight))
        for action in waiting:
            if action.seen[-1][0][0] < window.number:
                self.give_up(action, window)

    def begin(self, label):
        self.actions.append(Action(len(self.actions), label))
        return self.actions[-1]

    def decide(self, window, line):
        """What ends by the line is final if it did not by the line before, less a snippet."""
        oldest, start = max(self.lines) - self.rules.step_s, len(self.said)
        for action in self.waiting():
            while (at := self.too_long(action, line, oldest)) is not None:
                action = self.cut_off(action, at, window)
            sight = action.now
            if sight.end > line + MOMENT:
                continue
            if sight.strong and sight.end > oldest + MOMENT and self.long_enough(sight):
                is_open = sight.end > window.right - self.rules.gap * self.rules.step_s + MOMENT
                self.say("end", action, window, "final", truncated=window.last and is_open)
                action.fate = "final"
            else:
                self.give_up(action, window)
        for action in self.waiting():
            place, sight = action.seen[-1]
            if sight.start < self.cut(action.label):
                action.seen.append((place, sight._replace(start=self.cut(action.label), clipped=True)))
        self.said[start:] = sorted(
            self.said[start:], key=lambda e: (round(e.end or 0.0, 5), round(e.start, 5), e.label)
        )
        self.lines.append(line)

    def too_long(self, action, line, oldest):
        """Where it is cut: at its longest, or where that would be told too late, as soon as it would not; or None."""
        longest, sight = max(self.rules.max_action, self.rules.step_s), action.now
        if not self.rules.max_action or not sight.strong or sight.start + longest >= min(sight.end, line) - MOMENT:
            return None
        at = max(sight.start + longest, oldest + 2 * MOMENT)
        return at if at < sight.end - MOMENT else None

    def cut_off(self, action, at, window):
        """Tell of the first part; the rest is another action."""
        place, sight = action.seen[-1]
        action.seen.append((place, sight._replace(end=at)))
        self.say("end", action, window, "final", truncated=True)
        action.fate = "cut"
        rest = self.begin(action.label)
        rest.seen.append((place, sight._replace(start=at, clipped=True)))
        return rest

    def long_enough(self, sight):
        return sight.end - sight.start >= self.rules.min_action - MOMENT

    def give_up(self, action, window):
        """If it was told it is taken back, as it was told last."""
        if action.told:
            start, end, score = action.told[-1]
            action.seen.append((action.seen[-1][0], action.now._replace(start=start, score=score)))
            self.say("end", action, window, "withdrawn", end=end)
        action.fate = "withdrawn" if action.told else "gone"

    def announce(self, action, window):
        rules, sight = self.rules, action.now
        is_open = sight.end > window.right - rules.gap * rules.step_s + MOMENT
        end = None if is_open else sight.end
        if action.told and self.differs(action.told[-1], (sight.start, end, sight.score)):
            self.say("update", action, window, "provisional", end=end)
        elif not action.told and sight.strong and (is_open or self.long_enough(sight)):
            self.say("new", action, window, "provisional", end=end)

    def differs(self, told, now):
        """By more than a snippet, by a twentieth of the score, or it was open and is not, or the other way round."""
        if (told[1] is None) != (now[1] is None) or abs(told[2] - now[2]) > SCORE_CHANGE * abs(told[2]):
            return True
        ends = 0.0 if now[1] is None else abs(told[1] - now[1])
        return max(abs(told[0] - now[0]), ends) > self.rules.step_s + MOMENT

    def say(self, kind, action, window, status, *, end=math.nan, truncated=False):
        sight, pad = action.now, self.rules.pad
        end = sight.end if end is not None and math.isnan(end) else end
        action.told.append((sight.start, end, sight.score))
        start = max(sight.start - pad, self.rules.origin) if pad else sight.start
        if end is not None and pad:
            end = min(end + pad, window.right)
        wall = None if window.wall is None else (window.right if end is None else end) + window.wall
        known = (action.number, action.label, sight.score, start, end, status, window.right, window.pts, wall)
        self.said.append(Said(kind, *known, truncated, sight.clipped))
