"""What tests of streams share: a head that finds planted actions with the faults that real heads have, and options."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
from hypothesis import strategies as st

from tal_engine.inference import suppress
from tal_engine.options import SegmentOptions, StreamOptions
from tal_engine.records import PROPOSAL, Proposals
from tal_engine.streaming import StreamingLocalizer
from tests.makers import SNIPPET, tiny_plan
from tests.reference import stream as slow

#: Seconds from snippet to snippet of the test plan; there they last as long.
STEP = 8 / 25


class PlantedEngine:
    """Stands for an engine: finds in each window the actions [(start, end) snippets, score, label] that lie in it.

    `jitter` > 0: from window to window ends move by up to so many snippets, by parts of 1 / `grain`, scores change by
    `noise` or so, some are missed.
    """

    def __init__(self, actions, *, jitter=0, seed=0, grain=1, noise=0.1, **changes):
        self.plan = tiny_plan(**changes)
        self.actions, self.jitter, self.seed = actions, jitter, seed
        self.grain, self.noise = grain, noise
        self.windows = 0
        #: Seconds that a snippet lasts.
        self.width = self.plan.manifest.snippet.window / 25

    def __repr__(self):
        how = f"jitter={self.jitter}, seed={self.seed}, grain={self.grain}, noise={self.noise}, width={self.width}"
        return f"PlantedEngine({self.actions}, {how}, {self.plan.manifest.segment})"

    def encode_snippets(self, snippets):
        return {"rgb": np.zeros((len(snippets.frames), 4), np.float32)}

    def propose(self, features):
        self.windows += 1
        time = features.timeline
        first = round(time.start / time.step)
        return self.found(first, first + len(features), round(time.start - first * time.step, 6), features.duration)

    def found(self, first, end, origin=0.0, right=None):
        rows = []
        for n, (s, e, score, label) in enumerate(self.actions):
            rng = np.random.default_rng([self.seed, n, first, end])
            if self.jitter:
                most, grain = self.jitter * self.grain, self.grain
                s, e = s + rng.integers(0, most + 1) / grain, e + rng.integers(-most, most + 1) / grain
                score = score + rng.normal(0, self.noise)
                if rng.random() < 0.1:
                    continue
            s, e = max(s, first), min(e, end)
            start, stop = origin + s * STEP, origin + (e - 1) * STEP + self.width
            if right is not None and right < stop - 1e-9:  # not where it is just another sum of the same numbers
                stop = right
            if start < stop:
                rows.append((start, stop, score, label))
        return Proposals(np.array(rows, PROPOSAL), 0.0)

    def localize(self, first, end, right=None):
        """What the textbook twin is told of a window: suppressed, best first."""
        kept = suppress(self.found(first, end, 0.0, right), self.plan.manifest.nms).data
        return [(float(r["start"]), float(r["end"]), float(r["score"]), int(r["label"])) for r in kept]


def zeros(count):
    """Features of so many snippets."""
    return [{"rgb": np.zeros(4, np.float32)}] * count


def snippets(**counts):
    """Options in snippets."""
    return StreamOptions(**{name: count * STEP for name, count in counts.items()})


def engine_stream(engine, options, **more):
    return StreamingLocalizer(engine, "s", options, **more)


def told(stream, rows, end=None):
    """Events of a stream of features."""
    return [e for r in rows for e in stream.push_features(r)] + stream.flush(end)


def finals(events):
    return [e for e in events if e.is_final]


def rules(state):
    """What the textbook twin is told of a stream's options."""
    pace, options, segment = state.timing, state.options, state.manifest.segment
    same = {name: getattr(options, name) for name in ("hysteresis", "max_action", "min_action", "pad")}
    counts = {"window": pace.window, "step": pace.step, "look_ahead": pace.look_ahead_snippets, "gap": pace.gap}
    return slow.Rules(
        step_s=STEP, width_s=pace.timeline.width, min_score=segment.min_score, top_k=segment.top_k, **counts, **same
    )


@st.composite
def cases(draw):
    """A stream of planted actions, an unsteady head, and options: (engine, options, snippets)."""
    count = draw(st.integers(0, 60))
    grain = draw(st.sampled_from([1, 4]))
    parts = st.integers(0, count * grain)
    actions = []
    for _ in range(draw(st.integers(0, 8))):
        start = draw(parts) / grain
        length = draw(st.integers(1, 40 * grain)) / grain
        score = draw(st.sampled_from([0.5, 1.0]) | st.floats(-1.0, 2.0))
        actions.append((start, start + length, score, draw(st.integers(0, 2))))
    window = draw(st.integers(1, 40))
    longest = draw(st.sampled_from([0, 0, 0.2, 1, 3.5, 10]) | st.integers(1, 80).map(lambda n: n / 4))
    shortest = draw(st.sampled_from([0, 0, 1]) | st.integers(1, 40).map(lambda n: n / 4))
    options = snippets(
        window=window,
        step=draw(st.integers(1, min(window, 6)) | st.integers(1, window)),
        look_ahead=draw(st.integers(0, window)),
        gap=draw(st.integers(0, min(window // 2, 4))),
        max_action=longest,
        min_action=min(shortest, longest or shortest),
        pad=draw(st.sampled_from([0, 0, 1]) | st.integers(1, 40).map(lambda n: n / 8)),
    )
    engine = PlantedEngine(
        actions,
        jitter=draw(st.integers(0, 3)),
        seed=draw(st.integers(0, 99)),
        grain=grain,
        noise=draw(st.sampled_from([0.02, 0.1, 0.4])),
        snippet=replace(SNIPPET, window=draw(st.sampled_from([8, 8, 5, 12, 16]))),
        encoders=False,
        segment=SegmentOptions(
            min_score=draw(st.sampled_from([-np.inf, -0.5, 0.0, 0.5, 1.0])),
            top_k=draw(st.sampled_from([0, 0, 1, 3])),
        ),
    )
    hysteresis = draw(st.sampled_from([0.0, 0.15, 0.15, 0.5, 1.5]))
    return engine, replace(options, hysteresis=hysteresis), count


def seconds(wall_time):
    """Of the clock that an event tells, since 1970; None stays."""
    return None if wall_time is None else datetime.fromisoformat(wall_time).timestamp()


def row(e):
    """A final, but for its id."""
    return (e.start, e.end, e.label_id, e.score, e.decided_at, e.truncated, e.start_clipped)
