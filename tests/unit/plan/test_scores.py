"""Calibration and thresholds of plans: what they do to segments, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine import TALEngine
from tal_engine.errors import PlanError, PlanFault, UsageError
from tal_engine.options import SegmentOptions
from tal_engine.plan.archive import parse_plan, plan_bytes, with_calibration
from tal_engine.plan.manifest import parse_manifest
from tal_engine.plan.score_fields import Knots, Logistic, ScoreCalibration, ScoreThresholds, least_raw
from tests.makers import tiny_plan

NAMES = ("jump", "run", "sit")
CALIBRATION = ScoreCalibration(
    method="isotonic",
    classes={
        "jump": Knots(raw=[0.0, 1.0, 3.0], calibrated=[0.1, 0.2, 0.9]),
        "run": Logistic(slope=2.0, offset=-1.0),
        "sit": Knots(raw=[-1.0, 4.0], calibrated=[0.05, 0.4]),
    },
    videos=12,
    segments=300,
    ece=0.031,
)
THRESHOLDS = ScoreThresholds(classes={"jump": 0.3, "run": 0.6, "sit": 0.1}, chosen_for="f1", videos=12)


def features(seed=3, count=80):
    return {"rgb": np.random.default_rng(seed).normal(0, 1, (count, 4)).astype(np.float32)}


def engine(plan):
    return TALEngine(plan, "cpu", threads=1)


def keys(result):
    return [(s.start, s.end, s.label) for s in result]


@pytest.fixture(scope="module")
def calibrated():
    return engine(with_calibration(tiny_plan(), calibration=CALIBRATION))


def test_scores_are_mapped_after_suppression_and_sorted_again(calibrated):
    raw = engine(tiny_plan()).localize(features())
    found = calibrated.localize(features())
    assert len(raw) == len(found) > 20
    expected = {(s.start, s.end, s.label): float(CALIBRATION.classes[s.label](np.array([s.score]))[0]) for s in raw}
    assert {(s.start, s.end, s.label): s.score for s in found} == expected
    scores = [s.score for s in found]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= min(scores) < max(scores) <= 1
    assert keys(raw) != keys(found)  # between classes the order changes
    for name in NAMES:  # within one it does not
        assert [k for k in keys(raw) if k[2] == name] == [k for k in keys(found) if k[2] == name]
    assert (raw.info.calibrated, found.info.calibrated) == (False, True)
    assert found.to_dict()["info"]["calibrated"] is True


def test_raw_scores_on_request(calibrated):
    plain, found = engine(tiny_plan()).localize(features()), calibrated.localize(features(), calibrated=False)
    assert found.segments == plain.segments
    assert not found.info.calibrated


@pytest.mark.parametrize("least", [-0.5, 0.4, 1.1])
def test_an_operating_point_is_carried_over(least):
    plan = tiny_plan(segment=SegmentOptions(min_score=least))
    plain = engine(plan).localize(features())
    found = engine(with_calibration(plan, calibration=CALIBRATION))
    assert 0 < len(plain) < len(engine(tiny_plan()).localize(features()))
    assert set(keys(found.localize(features()))) == set(keys(plain))
    assert found.localize(features(), calibrated=False).segments == plain.segments


def test_thresholds_are_of_each_class():
    plan = with_calibration(tiny_plan(), calibration=CALIBRATION, thresholds=THRESHOLDS)
    every = engine(plan).localize(features(), min_score=0.0)
    found = engine(plan).localize(features())
    assert found.segments == tuple(s for s in every if s.score >= THRESHOLDS.classes[s.label])
    assert len({s.label for s in every}) > 1
    assert 0 < len(found) < len(every)
    raw = engine(plan).localize(features(), calibrated=False)
    assert set(keys(raw)) == set(keys(found))


def test_thresholds_of_raw_scores():
    plan = with_calibration(tiny_plan(), thresholds=replace_classes(THRESHOLDS, {"jump": 1.5, "sit": -1.0}))
    every, found = engine(tiny_plan()).localize(features()), engine(plan).localize(features())
    least = {"jump": 1.5, "sit": -1.0, "run": float("-inf")}
    assert found.segments == tuple(s for s in every if s.score >= least[s.label])
    assert len(found) < len(every)


def replace_classes(thresholds, classes):
    return thresholds.model_copy(update={"classes": classes})


def test_min_score_and_top_k_are_of_what_is_shown(calibrated):
    every = calibrated.localize(features())
    assert calibrated.localize(features(), min_score=0.35).segments == tuple(s for s in every if s.score >= 0.35)
    assert calibrated.localize(features(), top_k=3).segments == every.segments[:3]
    with pytest.raises(UsageError, match=r"min_score is 1\.5.*--raw-scores"):
        calibrated.localize(features(), min_score=1.5)
    assert len(calibrated.localize(features(), min_score=1.5, calibrated=False)) > 0


@pytest.mark.parametrize("with_thresholds", [False, True])
def test_finals_of_a_stream_that_covers_the_video_are_those_of_the_file(with_thresholds):
    plan = with_calibration(
        tiny_plan(segment=SegmentOptions(min_score=0.4)),
        calibration=CALIBRATION,
        thresholds=THRESHOLDS if with_thresholds else None,
    )
    made, x = engine(plan), features()
    for raw in (False, True):
        stream = made.open_stream("s", replace(plan.manifest.stream, window=300, look_ahead=300), calibrated=not raw)
        told = [e for row in x["rgb"] for e in stream.push_features({"rgb": row})] + stream.flush()
        file = made.localize(x, calibrated=not raw)
        assert {(e.label, round(e.score, 9)) for e in told} == {(s.label, round(s.score, 9)) for s in file}
        assert len(told) == len(file) > 0


def test_a_snapshot_of_raw_scores_is_not_one_of_calibrated_ones(calibrated, tmp_path):
    from tal_engine.errors import SnapshotError

    stream = calibrated.open_stream("s")
    stream.push_features({"rgb": np.ones(4, np.float32)})
    stream.snapshot(tmp_path / "s.npz")
    calibrated.open_stream("s").restore(tmp_path / "s.npz")
    with pytest.raises(SnapshotError):
        calibrated.open_stream("s", calibrated=False, min_score=0.2).restore(tmp_path / "s.npz")


def test_graphs_stay_and_hashes_follow():
    plan = tiny_plan()
    changed = parse_plan(plan_bytes(with_calibration(plan, calibration=CALIBRATION, thresholds=THRESHOLDS)))
    assert changed.files == plan.files
    assert changed.sha256 != plan.sha256
    assert changed.manifest.calibration == CALIBRATION
    assert changed.manifest.thresholds == THRESHOLDS
    kept = {"calibration", "thresholds", "segment", "schema_"}
    assert changed.manifest.model_dump(exclude=kept) == plan.manifest.model_dump(exclude=kept)


DOCUMENT = json.loads(with_calibration(tiny_plan(), calibration=CALIBRATION, thresholds=THRESHOLDS).document)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("calibration", "classes", "jump", "raw"), [0.0, 2.0, 1.0], "raw goes from 2.0 to 1.0"),
        (("calibration", "classes", "jump", "calibrated"), [0.1, 0.3, 0.2], "calibrated goes from 0.3 to 0.2"),
        (("calibration", "classes", "jump", "calibrated"), [0.1, 0.3, 1.2], "calibration.classes.jump"),
        (("calibration", "classes", "jump", "calibrated"), [0.1, 0.3, float("nan")], "calibration.classes.jump"),
        (("calibration", "classes", "jump", "raw"), [0.1, 0.3, float("inf")], "calibration.classes.jump"),
        (("calibration", "classes", "jump", "raw"), [0.1, 0.3], "2 raw scores and 3 calibrated ones"),
        (("calibration", "classes", "run", "slope"), -1.0, "calibration.classes.run"),
        (("calibration", "classes", "run", "slope"), 0.0, "calibration.classes.run"),
        (("calibration", "classes", "run", "offset"), float("nan"), "calibration.classes.run"),
        (("calibration", "classes", "swim"), {"slope": 1.0, "offset": 0.0}, "class 'swim' is not in the vocabulary"),
        (("calibration", "classes"), {"run": {"slope": 1.0}}, "class 'jump' has no map"),
        (("calibration", "method"), "guess", "calibration.method"),
        (("calibration", "ece"), 1.5, "calibration.ece"),
        (("calibration", "tiou"), 0.0, "calibration.tiou"),
        (("thresholds", "classes", "swim"), 0.5, "class 'swim' is not in the vocabulary"),
        (("thresholds", "classes", "jump"), 1.2, "'jump' has 1.2, must be in [0, 1]"),
        (("thresholds", "classes", "jump"), float("nan"), "thresholds.classes.jump"),
        (("thresholds", "chosen_for"), "luck", "thresholds.chosen_for"),
        (("thresholds", "chosen_for"), "false_alarms_per_hour", "false_alarms_per_hour None"),
        (("segment", "min_score"), 1.5, "segment.min_score is 1.5"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(path, value, says):
    document = json.loads(json.dumps(DOCUMENT))
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    with pytest.raises(PlanError) as e:
        parse_manifest(json.dumps(document), "x.plan")
    assert e.value.fault is PlanFault.BAD_VALUE
    assert says in str(e.value)


def test_an_unknown_class_is_refused_before_anything_is_written():
    unknown = replace_classes(THRESHOLDS, {"swim": 0.5})
    with pytest.raises(PlanError, match="'swim' is not in the vocabulary"):
        with_calibration(tiny_plan(), calibration=CALIBRATION, thresholds=unknown)


NUMBERS = st.integers(-(10**8), 10**8).map(lambda n: n / 64)


@st.composite
def maps(draw):
    if draw(st.booleans()):
        return Logistic(slope=draw(st.floats(1e-3, 1e3)), offset=draw(st.floats(-50, 50)))
    count = draw(st.integers(2, 6))
    raw = sorted(draw(st.lists(NUMBERS, min_size=count, max_size=count, unique=True)))
    share = sorted(draw(st.lists(st.floats(0, 1), min_size=count, max_size=count)))
    return Knots(raw=raw, calibrated=share)


@settings(max_examples=60, deadline=None)
@given(maps(), st.lists(NUMBERS, min_size=1, max_size=20), st.floats(0.001, 0.999))
def test_maps_rise_stay_within_bounds_and_can_be_inverted(score_map, raws, share):
    x = np.array(sorted([*raws, *getattr(score_map, "raw", [])]))
    y = score_map(x)
    assert np.all(np.diff(y) >= 0)
    assert 0 <= y.min() <= y.max() <= 1
    least = least_raw(score_map, share)
    if np.isfinite(least):
        assert score_map(np.array([least]))[0] >= share
        assert score_map(np.array([np.nextafter(least, -np.inf)]))[0] < share or least <= -1e12


def test_scores_where_the_map_is_level_keep_their_order():
    knots = Knots(raw=[1.0, 2.0], calibrated=[0.2, 0.8])
    y = knots(np.array([-50.0, -3.0, 0.0, 1.0, 1.5, 2.0, 2.1, 9.0, 80.0]))
    assert np.all(np.diff(y) > 0)
    assert 0 < y[0] < y[-1] < 1
    np.testing.assert_allclose(y, [0.2, 0.2, 0.2, 0.2, 0.5, 0.8, 0.8, 0.8, 0.8], atol=1.01e-4)
    assert np.isnan(knots(np.array([np.nan]))[0])
