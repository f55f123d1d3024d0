"""What an online head's activations tell, from the definitions: all of them are there, and looked through each time.

Keeps every value for ever. Places are on the line of snippets; n is the middle of snippet n.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Told(NamedTuple):
    """What was told at a snippet; fields as in `Decision`."""

    at: int
    kind: str
    action: int
    label: int
    start: float
    end: float | None
    score: float
    cut: bool
    clipped: bool


class Waiting:
    """A start whose action is not decided."""

    def __init__(self, action, onset, at, score):
        self.action, self.onset, self.at, self.told, self.score = action, onset, at, onset, score


class Seen:
    """An action that goes on since snippet `opened`, or since it was cut from one with that peak and start."""

    def __init__(self, opened, peak=0.0, start=-0.5, clipped=False):
        self.opened, self.peak, self.start, self.clipped = opened, peak, start, clipped


def crossing(values, level, n):
    """Where the line from n - 1 to n meets the level."""
    return n - 1 + (level - values[n - 1]) / (values[n] - values[n - 1])


def rose(values, level, n, rise):
    """Where the values up to n came above a level, looked for among the last `rise`."""
    oldest = max(n - rise + 1, 0)
    below = [j for j in range(oldest, n) if values[j] < level]
    if below:
        return crossing(values, level, below[-1] + 1)
    return float(oldest) if oldest else -0.5


class Stream:
    """One class of one stream."""

    def __init__(self, label, options, floor, shortest, longest, ids, guess=0):
        self.label, self.o, self.floor, self.ids, self.guess = label, options, floor, ids, guess
        self.share = (options.share, *options.guesses)[guess]
        self.shortest, self.longest = shortest, longest
        self.now, self.seen, self.told, self.starts = [], [], [], []
        self.action, self.last_start, self.quiet_from = None, None, None
        self.late = None  # how much of `now` there was when `seen` told a start; that start ends when `now` did, too

    def tell(self, kind, who, start, end, score, cut=False, clipped=False):
        self.told.append(Told(self.n, kind, who, self.label, start, end, score, cut, clipped))

    def begin(self, onset, score):
        self.ids.append(None)
        self.starts.append(Waiting(len(self.ids), onset, self.n, score))
        self.tell("started", len(self.ids), onset, None, score)

    def step(self, n, now, seen):
        self.n = n
        if now is not None and not self.guess:
            self.now.append(now)
            self.look_at_now()
        if seen is not None:
            self.seen.append(seen)
            self.look_at_seen()

    def look_at_now(self):
        n, threshold = len(self.now) - 1, self.o.start[self.label]
        hold = self.o.hold * threshold
        since = 0 if self.last_start is None else self.last_start + 1
        quiet = [all(v < hold for v in self.now[j : j + self.o.confirm + 1]) for j in range(since, n - self.o.confirm)]
        may = (self.last_start is None or any(quiet)) if self.late is None else any(self.fallen(hold))
        if self.now[n] >= threshold and may and len(self.starts) < 2:
            lows = [j for j in range(n) if self.now[j] < hold]
            onset = crossing(self.now, hold, lows[-1] + 1) if lows else -0.5
            self.last_start, self.late = n, None
            self.begin(max(onset, n - self.o.backdate), self.now[n])

    def fallen(self, hold):
        """Whether `now` was below for long enough, at each place after it has risen since a start that `seen` told."""
        rises = [j for j in range(self.late, len(self.now)) if self.now[j] >= hold]
        last = len(self.now) - 1 - self.o.confirm
        return (
            [all(v < hold for v in self.now[j : j + self.o.confirm + 1]) for j in range(rises[0], last)]
            if rises
            else []
        )

    def level(self, j):
        """Below which an action that goes on is at snippet j."""
        return self.share * max([self.action.peak, *self.seen[self.action.opened : j + 1]])

    def above(self):
        """The snippets of the action that were not below."""
        return [j for j in range(self.action.opened, len(self.seen)) if self.seen[j] >= self.level(j)]

    def begins(self):
        """Where the action begins: the latest rise to a share of any of its peaks."""
        a, best = self.action, self.action.start
        peak = a.peak
        for j in range(a.opened, len(self.seen)):
            if self.seen[j] > peak:
                peak = self.seen[j]
                best = max(best, rose(self.seen, self.share * peak, j, self.o.rise))
        return best

    def look_at_seen(self):
        m = len(self.seen) - 1
        value = self.seen[m]
        if self.action is None:
            lowest = 0.0 if self.quiet_from is None else min(self.seen[self.quiet_from : m])
            if value >= self.o.floor and self.share * value > lowest:
                self.action = Seen(m)
        if self.action is not None:
            self.go_on(m, value)
        if self.action is None:
            for s in [s for s in self.starts if s.at + self.o.patience <= m]:
                self.starts.remove(s)
                self.withdraw(s)

    def go_on(self, m, value):
        last = max([self.action.opened - 1, *self.above()])
        below = m - last
        if below > self.o.confirm:
            self.quiet_from = last + 1
            self.close(crossing(self.seen, self.level(last), last + 1))
        elif not below:
            start = self.begins()
            if self.longest and m + 0.5 - start > self.longest:
                where = max(start + self.longest, m - self.o.confirm - 1)
                peak = max([self.action.peak, *self.seen[self.action.opened :]])
                self.close(where, cut=True)
                self.action = Seen(m + 1, peak, where, clipped=True)
                start = where
            if self.guess:
                return
            if not self.starts:
                if value >= self.o.start[self.label] and self.o.evidence is None:
                    self.late = len(self.now)
                    self.begin(max(start, self.n - self.o.backdate), value)
            elif start < self.starts[0].at and abs(start - self.starts[0].told) > 1:
                self.starts[0].told, self.starts[0].score = start, value
                self.tell("updated", self.starts[0].action, start, None, value, clipped=self.action.clipped)

    def close(self, end, cut=False):
        values, start, clipped = [self.seen[j] for j in self.above()], self.begins(), self.action.clipped
        self.action = None
        hold = self.o.hold * self.o.start[self.label]
        if self.late is not None and all(v < hold for v in self.now[self.late :]):
            self.late, self.last_start = None, None
        mine = [s for s in self.starts if s.onset <= end]
        self.starts = [s for s in self.starts if s.onset > end]
        score = self.o.discount**self.guess * sum(values) / len(values) if values else 0.0
        if values and score >= self.floor and end > start and end - start >= self.shortest:
            if not mine:
                self.ids.append(None)
            self.tell("final", mine.pop(0).action if mine else len(self.ids), start, end, score, cut, clipped)
        for s in mine:
            self.withdraw(s)

    def withdraw(self, s):
        self.tell("withdrawn", s.action, s.told, None, s.score)

    def finish(self):
        if self.action is not None:
            last = max([self.action.opened - 1, *self.above()])
            ended = last < len(self.seen) - 1
            end = crossing(self.seen, self.level(last), last + 1) if ended else math.inf
            self.close(end, cut=not ended)
        for s in self.starts:
            self.withdraw(s)


def odds(p):
    """Of an activation, as evidence takes it."""
    p = min(max(p, 0.05), 0.999)
    return math.log(p / (1 - p))


def evidence(weights, nows, delayed, ahead):
    """Of all snippets, [N][C]; `delayed` [N + ahead][C] come with the snippets."""
    out = []
    for n, row in enumerate(nows):
        before, seen = nows[max(n - 1, 0)], delayed[n] if n >= ahead else row
        out.append([])
        for c, now in enumerate(row):
            others = max([v for k, v in enumerate(row) if k != c], default=0.0)
            z = weights.offset + weights.now * odds(now) + weights.before * odds(before[c])
            z = z + weights.seen * odds(seen[c]) + weights.rival * odds(others)
            out[-1].append(1 / (1 + math.exp(-z)))
    return out


def tell(options, floors, shortest, longest, nows, delayed):
    """All that is told of a stream of `nows` [N][C], while `delayed` [N + look_ahead][C] come; and of its end."""
    ids, out = [], []
    if options.evidence is not None:
        nows = evidence(options.evidence, nows, delayed, options.look_ahead)
    streams = [
        Stream(c, options, floors[c], shortest, longest, ids, guess)
        for c in range(len(options.start))
        for guess in range(1 + len(options.guesses))
    ]
    for n in range(len(delayed)):
        for s in streams:
            c = s.label
            s.step(n, nows[n][c] if n < len(nows) else None, delayed[n][c] if n >= options.look_ahead else None)
            out += s.told
            s.told = []
    for s in streams:
        s.n = len(delayed)
        s.finish()
        out += s.told
    return out
