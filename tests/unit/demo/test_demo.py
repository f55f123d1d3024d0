"""Procedural videos: exact truth, seeds that repeat, and no leak into pre-training."""

from __future__ import annotations

import json
from itertools import pairwise

import av
import numpy as np
import pytest
from mocap import CMU_ACTIONS, facing, read_recordings, views

from tal_engine.annotations import read_annotations
from tal_engine.demo import exercises, motions, programs
from tal_engine.demo.captions import captioned, vocabulary
from tal_engine.demo.demo_set import annotation, render_split, script_of, write_annotations
from tal_engine.demo.render import render, render_joints
from tal_engine.demo.script import PROP_OF, PROPS, write_script
from tal_engine.demo.skeleton import JOINT, JOINTS, POSE, Body, P, forward_kinematics
from tal_engine.errors import FeatureError, UsageError


def lengths(joints):
    pairs = [("hip_l", "knee_l"), ("knee_l", "ankle_l"), ("shoulder_r", "elbow_r"), ("elbow_r", "wrist_r")]
    return np.stack([np.linalg.norm(joints[:, JOINT[a]] - joints[:, JOINT[b]], axis=-1) for a, b in pairs])


def test_limbs_keep_their_length_and_feet_the_ground(rng):
    pose = rng.normal(0, 0.5, (50, len(POSE)))
    pose[:, P["lift"]] = 0.0
    joints = forward_kinematics(pose, Body())
    assert np.ptp(lengths(joints), axis=1).max() < 1e-9
    heel = 0.04 * 1.75
    lowest = np.minimum(
        joints[:, [JOINT["ankle_l"], JOINT["ankle_r"]], 1] - heel, joints[:, [JOINT["toe_l"], JOINT["toe_r"]], 1]
    )
    np.testing.assert_allclose(lowest.min(axis=1), 0, atol=1e-9)


def test_neutral_pose_stands_upright():
    joints = forward_kinematics(np.zeros((1, len(POSE))), Body())[0]
    height = joints[:, 1]
    order = ["head", "neck", "spine", "pelvis", "knee_l", "ankle_l", "toe_l"]
    assert all(height[JOINT[a]] > height[JOINT[b]] for a, b in pairwise(order))
    assert joints[JOINT["shoulder_l"], 0] > 0 > joints[JOINT["shoulder_r"], 0]


@pytest.mark.parametrize("name", list(exercises.ACTIONS))
def test_every_action_moves_and_returns(name, rng):
    """An exercise starts and ends near where it rests, and moves in between."""
    t = np.linspace(0, 6, 150)
    joints = forward_kinematics(motions.perform(exercises.ACTIONS[name], t, 6.0, rng), Body())
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(axis=1) * 25
    assert np.isfinite(joints).all()
    assert np.median(speed) > 0.2
    assert speed.max() < 25


def test_actions_are_twelve_and_all_have_a_prop():
    assert len(exercises.ACTIONS) >= 10
    assert list(exercises.ACTIONS) == sorted(exercises.ACTIONS)
    assert set(PROP_OF) == set(exercises.ACTIONS)


def test_programs_move_unlike_every_exercise():
    """Pre-training classes are checked against fresh performances, not those they were made with."""
    rng = np.random.default_rng(99)
    found = programs.programs(64)
    profiles = np.stack([p.profile() for p in found])
    known = np.stack([programs.action_profile(m, rng) for m in exercises.ACTIONS.values() for _ in range(20)])
    closeness = known @ profiles.T
    assert (closeness > 0.9).mean() == 0
    assert np.median(closeness.max(axis=0)) < 0.8
    assert len({p.profile().tobytes() for p in found}) == 64
    assert programs.programs(64) is found


def test_scripts_hold_what_was_asked():
    counts = set()
    for i in range(40):
        script = write_script("v", [7, i])
        assert 40 <= script.duration <= 120
        found = script.instances()
        counts.add(len(found))
        assert 3 <= len(found) <= 12
        assert 1 <= len({label for *_, label in found}) <= 3
        assert all(0 < s < e < script.duration for s, e, _ in found)
        assert all(a[1] < b[0] for a, b in pairwise(found))
        played = script.performances
        assert played[0].start == 0
        assert played[-1].end == script.duration
        assert all(a.end == b.start for a, b in pairwise(played))
        assert set(script.props) <= set(PROPS)
    assert len(counts) > 5


def test_props_hint_but_do_not_prove():
    hits = misses = 0
    for i in range(150):
        script = write_script("v", [11, i])
        labels = {label for *_, label in script.instances()}
        for label, prop in PROP_OF.items():
            hits += label in labels and prop in script.props
            misses += label not in labels and prop in script.props
    assert hits > 60
    assert misses > 30


def test_a_seed_gives_the_same_bytes(tmp_path):
    paths = []
    for name in ("a", "b"):
        entries = {f"v{i}": annotation(script_of("test", 3, i), "test", 3) for i in range(3)}
        path = tmp_path / name / "annotations.json"
        write_annotations(path, entries)
        paths.append(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    other = annotation(script_of("test", 4, 0), "test", 3)
    assert other != annotation(script_of("test", 3, 0), "test", 3)
    assert script_of("train", 3, 0) != script_of("test", 3, 0)


def test_rendering_is_the_same_every_time_and_shows_motion():
    script = script_of("clips", 0, 5)
    first, again = (np.stack(list(render(script))) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (64, 240, 320, 3)
    assert np.abs(np.diff(first[:, 60:200, 100:220].astype(int), axis=0)).mean() > 0.5


def test_render_split_writes_videos_and_merges_annotations(tmp_path):
    for split, count in (("clips", 3), ("test", 1)):
        path = render_split(tmp_path, split, count, seed=1, workers=1)
    document = json.loads(path.read_text())
    assert document["classes"] == list(exercises.ACTIONS)
    assert sorted(v["subset"] for v in document["database"].values()) == ["clips"] * 3 + ["test"]
    video = read_annotations(path).videos["test_00000"]
    with av.open(str(tmp_path / "videos" / "test_00000.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height, stream.average_rate) == (320, 240, 25)
        assert float(stream.duration * stream.time_base) == pytest.approx(video.duration, abs=0.05)
    with pytest.raises(UsageError, match="split is 'dev'"):
        render_split(tmp_path, "dev", 1)
    with pytest.raises(UsageError, match="count is 0"):
        render_split(tmp_path, "test", 0)


def test_captions_use_known_words():
    words = set(vocabulary())
    pairs = list(captioned(30, 0, 112))
    assert len(pairs) == 30
    assert all(picture.shape == (112, 112, 3) for picture, _ in pairs)
    assert all(set(text.split()) <= words for _, text in pairs)
    assert len({text for _, text in pairs}) > 10


def test_real_motion_is_read_and_drawn(shared):
    recordings = read_recordings(shared / "motion" / "cmu_subject13.npz")
    assert [r.name for r in recordings] == ["13_29", "13_30", "13_31"]
    assert {label for r in recordings for *_, label in r.instances} <= set(exercises.ACTIONS)
    assert set(CMU_ACTIONS.values()) <= set(exercises.ACTIONS)
    r = recordings[0]
    assert r.joints.shape[1:] == (len(JOINTS), 3)
    assert 1.5 < r.person_m < 1.95
    assert abs(facing(r.joints)) < 0.3
    view = views(r, 1, 0)[0]
    few = r.joints[:60:20]
    frames = list(render_joints(few, view=view, person_m=r.person_m, girth=1.0, props=(), seed=1, fps=30.0))
    assert len(frames) == 3


def test_motion_file_of_another_kind_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with pytest.raises(FeatureError, match="not a motion file"):
        read_recordings(tmp_path / "x.npz")
