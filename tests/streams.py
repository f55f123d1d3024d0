"""What tests of streams share: a head that finds planted actions, with the faults that real heads have."""

from __future__ import annotations

import numpy as np

from tal_engine.localize import suppress
from tal_engine.records import PROPOSAL, Proposals
from tests.makers import tiny_plan

#: Seconds of a snippet of the test plan.
STEP = 8 / 25


class PlantedEngine:
    """Stands for an engine: finds in each window the actions [(start, end) snippets, score, label] that lie in it.

    `jitter` > 0: from window to window ends move by up to so many snippets, scores change, some are missed.
    """

    def __init__(self, actions, *, jitter=0, seed=0, **changes):
        self.plan = tiny_plan(**changes)
        self.actions, self.jitter, self.seed = actions, jitter, seed
        self.windows = 0

    def __repr__(self):
        return f"PlantedEngine({self.actions}, jitter={self.jitter}, seed={self.seed}, {self.plan.manifest.segment})"

    def encode_snippets(self, snippets):
        return {"rgb": np.zeros((len(snippets.frames), 4), np.float32)}

    def propose(self, features):
        self.windows += 1
        time = features.timeline
        first = round(time.start / time.step)
        end, origin = first + len(features), round(time.start - first * time.step, 6)
        cut_off = features.duration < origin + end * STEP - 1e-6
        return self.found(first, end, origin, features.duration if cut_off else None)

    def found(self, first, end, origin=0.0, right=None):
        rows = []
        for n, (s, e, score, label) in enumerate(self.actions):
            rng = np.random.default_rng([self.seed, n, first, end])
            if self.jitter:
                s, e = s + rng.integers(0, self.jitter + 1), e + rng.integers(-self.jitter, self.jitter + 1)
                score = score + rng.normal(0, 0.1)
                if rng.random() < 0.1:
                    continue
            s, e = max(s, first), min(e, end)
            if s < e:
                stop = origin + e * STEP
                rows.append((origin + s * STEP, stop if right is None else min(stop, right), score, label))
        return Proposals(np.array(rows, PROPOSAL), 0.0)

    def localize(self, first, end, right=None):
        """What the textbook twin is told of a window: suppressed, best first."""
        kept = suppress(self.found(first, end, 0.0, right), self.plan.manifest.nms).data
        return [(float(r["start"]), float(r["end"]), float(r["score"]), int(r["label"])) for r in kept]


def zeros(count):
    """Features of so many snippets."""
    return [{"rgb": np.zeros(4, np.float32)}] * count


def row(e):
    """An event as the textbook twin tells finals."""
    return (e.start_time, e.end_time, e.class_id, e.score, e.decided_at, e.truncated, e.start_clipped)
