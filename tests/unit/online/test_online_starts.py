"""When starts are told: the evidence and its weights, thresholds from the tail, and when training ends."""

from __future__ import annotations

import math

import numpy as np

from tal_engine import Segment
from tal_engine.annotations.tables import Table
from tal_engine.inference.start_evidence import Evidence
from tal_engine.lab.online import starts
from tal_engine.lab.online.network import OnlineConfig
from tal_engine.lab.online.starts import GIVEN, fit_evidence, fit_starts, lowest_threshold
from tal_engine.lab.online.stem import TeacherStem
from tal_engine.lab.online.targets import targets_of
from tal_engine.lab.online.training import OnlineTraining, train_online
from tal_engine.plan.online_fields import OnlineOptions, StartEvidence
from tal_engine.records import OnlineActivations
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary
from tests.makers import tiny_plan
from tests.unit.online.test_online_student import TIME, videos

WORDS = Vocabulary(["a", "b", "c"])
SECOND = Timeline(0.0, 1.0, 1.0)


def activations(now, cas=None):
    now = np.asarray(now, np.float32)
    cas = now if cas is None else np.asarray(cas, np.float32)
    flat = now.max(axis=1)
    return OnlineActivations(
        cas, flat, SECOND, float(len(now)), None, now=now, start=flat, end=flat, hazard=flat,
    )  # fmt: skip


def confused(count, seed):
    """Videos in which each action is of one class, and half of them look as much like another until they end."""
    rng, read, truth = np.random.default_rng(seed), {}, {}
    for v in range(count):
        now, segments = rng.uniform(0.0, 0.05, (80, 3)), []
        for begin in range(5, 75, 10):
            mine, other = rng.permutation(3)[:2]
            clear = rng.random() < 0.5
            now[begin : begin + 6, mine] = rng.uniform(0.8, 0.98, 6)
            now[begin : begin + 6, other] = rng.uniform(0.0, 0.1, 6) if clear else rng.uniform(0.8, 0.98, 6)
            segments.append(Segment(begin, begin + 6, WORDS.name(int(mine)), 1.0))
        read[f"v{v}"], truth[f"v{v}"] = activations(now), segments
    return read, Table.of_segments(truth, "truth", tuple(WORDS))


def test_what_weights_are_fitted_to_is_what_streams_compute():
    rng = np.random.default_rng(0)
    for ahead in (0, 1, 3):
        a = activations(rng.random((30, 3)), rng.random((30, 3)))
        truth = Table.of_segments({"v": [Segment(3.0, 9.0, "b", 1.0)]}, "truth", tuple(WORDS))
        rows, right = starts._rows("v", a, truth, WORDS, ahead)
        now, cas = (np.asarray(x, np.float64).round(3) for x in (a.now, a.cas))
        for k, name in enumerate(("now", "before", "seen", "rival")):
            one = Evidence(StartEvidence(**{"now": 0.0, name: 1.0}))
            every = np.array(
                [one.step(list(now[n]), list(cas[n - ahead] if n >= ahead else now[n])) for n in range(30)]
            )
            np.testing.assert_allclose(rows[:, k], np.log(every / (1 - every))[now >= 0.1], atol=1e-9)
        assert right.sum() == (now[1:4, 1] >= 0.1).sum()  # told from 2 s on, which is 1 s early, and before 5 s


def test_weights_learn_that_another_likely_class_and_a_long_wait_tell_against_a_start():
    read, truth = confused(12, 0)
    found = fit_evidence(read, truth, WORDS, 1)
    assert found.rival < -0.2
    assert found.now > 0.2
    assert found.seen < 0  # what was likely one snippet before has begun already
    nothing = activations(np.zeros((5, 3)))
    assert fit_evidence({"v0": nothing}, truth, WORDS, 1) == GIVEN
    few = fit_evidence({"v0": read["v0"]}, truth, WORDS, 1)
    assert abs(few.rival - GIVEN.rival) < abs(found.rival - GIVEN.rival)


def test_evidence_tells_more_starts_at_as_many_false_alarms():
    read, truth = confused(12, 0)
    options = OnlineOptions(look_ahead=0, start=(1.0,) * 3)
    made = fit_starts(read, truth, WORDS, options, 30.0)
    assert made.found.recall > 0.4
    assert made.found.false_alarms_per_hour <= 60.0
    assert made.options.start == (made.threshold,) * 3
    assert made.options.evidence is not None
    assert made.figures()["from_the_tail"] == (made.expected is not None)


def test_the_tail_says_what_too_few_hours_cannot_count():
    """Peaks of false alarms whose excess over 1 is exponential: half as many as asked are left, or up to twice."""
    left = []
    for seed in range(200):
        peaks = 1.0 + np.random.default_rng(seed).exponential(0.8, 60)
        counts = {float(z): int((peaks >= z).sum()) for z in np.arange(1.0, 9.0, 0.15)}
        z, expected = lowest_threshold(counts, 0.5)
        assert expected == 0.5
        left.append(60 * math.exp(-(z - 1.0) / 0.8))
    assert 0.25 < np.median(left) < 1.0
    assert np.quantile(left, 0.9) < 2.5


def test_what_can_be_counted_is_counted():
    counts = {0.0: 90, 0.5: 40, 1.0: 42, 1.5: 12}
    assert lowest_threshold(counts, 50) == (0.0 if counts[0.0] <= 50 else 0.5, None)
    assert lowest_threshold({0.0: 0, 0.5: 0}, 0.5) == (0.0, None)
    assert lowest_threshold({0.0: 1, 0.5: 0}, 2.0) == (0.0, None)


def lessons(count, seed, words):
    teacher_classes = Vocabulary(words)
    of = videos(count, seed)
    return {n: (x.features, targets_of(x.segments, teacher_classes, TIME, len(x.features), 2.0)) for n, x in of.items()}


def test_training_keeps_the_pass_that_agrees_best_and_ends_when_no_better_comes():
    plan = tiny_plan(encoders=False)
    words, stem = plan.manifest.vocabulary, TeacherStem(plan, 6, 1)
    taught, others = lessons(4, 0, words), lessons(2, 1, words)
    features, targets = {n: f for n, (f, _) in taught.items()}, {n: t for n, (_, t) in taught.items()}
    how, config = OnlineTraining(epochs=6, patience=6), OnlineConfig()
    made = train_online(features, targets, stem, config, how, held_out=others)
    losses = [loss for _, loss in made.curve]
    assert len(losses) == 6
    assert min(losses) < losses[0]
    # What is held out is wrong from beginning to end: the better the head learns, the less it agrees.
    against = {n: (f, targets_of([Segment(0.0, 19.2, words[0], 1.0)], Vocabulary(words), TIME, 60, 2.0))
               for n, (f, _) in others.items()}  # fmt: skip
    ended = train_online(features, targets, stem, config, OnlineTraining(epochs=30, patience=2), held_out=against)
    losses = [loss for _, loss in ended.curve]
    assert len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 3
    alone = train_online(features, targets, stem, config, OnlineTraining(epochs=2))
    assert [math.isnan(loss) for _, loss in alone.curve] == [True, True]
