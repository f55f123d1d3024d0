"""The training set for people: streams with exact truth, filmed in many ways, the same from the same seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tal_engine.demo.programs import action_profile
from tal_engine.errors import DataError
from tal_engine.lab.people import recordings
from tal_engine.lab.people.actions import ACTIONS
from tal_engine.lab.people.cameras import Noise, filmed
from tal_engine.lab.people.material import Counts, figures, people
from tal_engine.lab.people.streams import FPS, strangers, write_clip, write_stream
from tal_engine.pose.skeleton import JOINTS, LAYOUTS, J, canonical


def hips_above_feet(stream):
    joints, _ = canonical(stream.joints, layout="figure18")
    return joints[:, [J["ankle_l"], J["ankle_r"]], 1].max(axis=1) - joints[:, J["pelvis"], 1]


def test_streams_are_drawn_from_their_seed_alone_and_their_truth_is_in_order():
    for seed in range(12):
        one, same, other = (write_stream("a", [seed, k]) for k in (0, 0, 1))
        np.testing.assert_array_equal(one.joints, same.joints)
        assert one.instances == same.instances
        assert one.joints.shape[1:] == (18, 3)
        assert one.joints.shape != other.joints.shape or not np.array_equal(one.joints, other.joints)
        assert all(a.end <= b.start + 1e-9 for a, b in pairwise(one.instances))
        assert one.instances[0].start > 0
        assert one.instances[-1].end <= one.duration + 1e-6
        assert np.isfinite(one.joints).all()
    assert not write_stream("a", [0], actions=0).instances


def test_who_sits_down_sits_and_who_stands_up_sat():
    for seed in range(8):
        stream = write_stream("a", [seed], actions=4, classes=["sit down", "stand up", "wave"])
        high = hips_above_feet(stream)
        tall = np.median(
            [high[int(s.start * FPS)] for s in stream.instances if s.label in ("sit down", "wave")] or [1.0]
        )
        for s in stream.instances:
            begin, end = high[int(s.start * FPS)], high[min(int(s.end * FPS), len(high) - 1)]
            if s.label == "sit down":
                assert end < 0.8 * begin
            elif s.label == "stand up":
                assert begin < 0.8 * end
            else:
                assert begin > 0.8 * tall


def test_truth_is_where_the_motion_is():
    clip = write_clip("a", [3], "squat")
    high = hips_above_feet(clip)
    (squat,) = clip.instances
    inside = slice(int(squat.start * FPS), int(squat.end * FPS))
    assert high[inside].min() < 0.75 * high.max()
    assert np.median(np.delete(high, np.r_[inside])) > 0.75 * high.max()


def test_strangers_move_like_no_action():
    rng = np.random.default_rng(99)
    known = [action_profile(m, rng) for n, m in ACTIONS.items() if n not in ("sit down", "stand up") for _ in range(3)]
    mine = [action_profile(m, rng) for m in strangers()]
    assert len(mine) > 60
    assert np.median((np.array(mine) @ np.array(known).T).max(axis=1)) < 0.75


def test_a_filmed_person_is_another_one_in_another_picture_but_takes_as_long():
    stream = write_stream("a", [1])
    joints, visible = canonical(stream.joints, layout="figure18")
    rates = set()
    for seed in range(12):
        poses = filmed(joints, visible, FPS, np.random.default_rng(seed))
        again = filmed(joints, visible, FPS, np.random.default_rng(seed))
        np.testing.assert_array_equal(poses.joints, again.joints)
        assert poses.times[0] == 0
        step = poses.times[1]
        rates.add(round(1 / step))
        assert 5 <= round(1 / step) <= 60
        assert abs(poses.times[-1] + step - stream.duration) < 0.25
        assert poses.visibility.shape == (len(poses), len(JOINTS))
    assert len(rates) > 4
    still = np.repeat(joints[:1], 60, axis=0)
    none = filmed(still, visible[:60], FPS, np.random.default_rng(0), Noise(0.0, 0.0, 1.0, 1.0))
    assert np.abs(np.diff(none.joints, axis=0)).max() < 1e-6  # without noise nothing moves


def test_examples_have_labels_of_videos_and_subsets_differ():
    made = figures("train", 0, Counts(streams=8, clips=22, sessions=1))
    assert [e.video.labels for e in made[:18]] == [(name,) for name in ACTIONS]
    assert [e.video.background for e in made[18:]] == [True] * 4 + [False] * 5 + [True] + [False] * 3
    assert len(made[-1].video.labels) > 4
    other = figures("validation", 0, Counts(streams=0, clips=2))
    assert not np.array_equal(other[0].features.streams["pose"], made[0].features.streams["pose"])
    assert {e.features.streams["pose"].shape[1] for e in made} == {242}


def test_trials_of_real_people_carry_labels_of_whole_trials(shared):
    path = shared / "motion" / "cmu_subjects_01_03" / "joints_mm_30fps.npz"
    trials = recordings.read_trials(path)
    assert {t.person for t in trials} == {"02", "03"}
    assert {label for t in trials for label in t.labels} <= set(ACTIONS)
    walk = next(t for t in trials if t.name == "02_01")
    assert 1.2 < (walk.joints[:, J["ankle_l"], 1] - walk.joints[:, J["head"], 1]).mean() < 1.9  # metres, upright
    examples = list(people(path, "train", 0, persons=("03",)))
    assert {e.video.labels for e in examples} == {("walk",)}
    assert len(examples) == 4 * 5


def test_another_motion_file_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, joint_names=np.array(LAYOUTS["cmu31"].names[::-1]))
    with pytest.raises(DataError, match="are not CMU's 31"):
        recordings.read_trials(path)
    np.savez(path, joints=np.zeros(3))
    with pytest.raises(DataError, match="'joint_names' is missing"):
        recordings.read_trials(path)
