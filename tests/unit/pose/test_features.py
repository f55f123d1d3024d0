"""Pose features: exact against the slow twin, blind to place, size and direction, and never NaN."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tal_engine.demo.script import write_script
from tal_engine.errors import FeatureError, VideoError
from tal_engine.limits import Limits
from tal_engine.options import SnippetOptions
from tal_engine.pose.features import DIM, GROUPS, MIRRORED, REST, snippet_features
from tal_engine.pose.skeleton import MIRROR, Poses, canonical
from tal_engine.pose.windows import features_of, on_grid, snippets_of
from tal_engine.video.grid import SnippetGrid
from tests.reference import pose as slow

FPS = 12.5


@pytest.fixture(scope="module")
def windows():
    """Snippets of a figure that exercises: joints [20, 6, 15, 3] and visibility with holes."""
    script = write_script("a", 3)
    joints, _ = canonical(script.joints()[::2], layout="figure18")
    rng = np.random.default_rng(0)
    joints = joints[: 20 * 6].reshape(20, 6, 15, 3)
    visibility = np.where(rng.random((20, 6, 15)) < 0.2, rng.random((20, 6, 15)) * 0.3, 0.9)
    visibility[3, :, :3] = visibility[4, :, 0] = visibility[5, :, 4] = 0  # neither; no pelvis; no elbow
    visibility[6], visibility[7, 2] = 0.1, 0.0  # nobody; nobody for a moment
    return joints, visibility.astype(np.float32)


def test_the_features_are_those_of_the_slow_twin(windows):
    joints, visibility = windows
    found = snippet_features(joints, visibility, FPS)
    wanted = np.stack([slow.snippet(j.astype(float), v, FPS) for j, v in zip(joints, visibility, strict=True)])
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert found.shape == (20, DIM)
    assert found.dtype == np.float32
    assert (found[[3, 6], :-16] == 0).all()
    assert found[6, -1] == 0
    for width in (1, 2, 7):  # snippets of any length
        short = snippet_features(joints[:4, [0] * width], visibility[:4, [0] * width], FPS)
        twin = [slow.snippet(joints[i, [0] * width].astype(float), visibility[i, [0] * width], FPS) for i in range(4)]
        np.testing.assert_allclose(short, np.stack(twin), atol=2e-6)


@pytest.mark.parametrize("what", ["moved", "scaled", "turned"])
def test_place_size_and_direction_change_nothing(windows, what):
    joints, visibility = windows
    c, s = np.cos(1.9), np.sin(1.9)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    other = {"moved": joints + np.array([5.0, -2.0, 9.0]), "scaled": joints * 250.0, "turned": joints @ turn.T}[what]
    same = snippet_features(joints.astype(float), visibility, FPS)
    np.testing.assert_allclose(snippet_features(other, visibility, FPS), same, atol=2e-5)


def test_a_mirrored_person_has_the_features_of_the_other_side(windows):
    joints, visibility = windows
    mirrored = joints[:, :, MIRROR] * np.array([-1, 1, 1])
    index, sign = MIRRORED
    plain = snippet_features(joints, visibility, FPS)
    np.testing.assert_allclose(
        snippet_features(mirrored, visibility[:, :, MIRROR], FPS), plain[:, index] * sign, atol=2e-6
    )
    assert np.abs(plain - plain[:, index] * sign).max() > 0.1


@pytest.mark.parametrize(("fps", "share"), [(5.0, 0.2), (10.0, 0.06), (30.0, 0.02), (60.0, 0.02)])
def test_five_to_sixty_frames_a_second_give_nearly_the_same(fps, share):
    script = write_script("a", 4, duration=(20.0, 21.0))
    found = {}
    for rate in (25.0, fps):
        joints, visible = canonical(dataclasses.replace(script, fps=rate).joints(), layout="figure18")
        poses = Poses(joints, visible, (np.arange(len(joints)) + 0.5) / rate)
        found[rate] = features_of(poses, duration=script.duration).streams["pose"][1:-1]
    spread = np.abs(found[25.0] - found[25.0].mean(axis=0)).mean()
    assert np.abs(found[25.0] - found[fps]).mean() < share * spread


def test_hostile_joints_never_give_nan_and_broken_ones_are_refused():
    rng = np.random.default_rng(1)
    joints = rng.normal(size=(50, 6, 15, 3)) * 10.0 ** rng.integers(-30, 18, size=(50, 1, 1, 1))
    visibility = rng.choice([0.0, 1.0, np.nan], size=(50, 6, 15))
    joints[0], joints[1], visibility[:2] = 0.0, 1e-300, 1.0
    with np.errstate(all="raise", under="ignore"):
        found = snippet_features(joints, visibility, 5.0)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 5.5
    joints[2, 0, 3, 1], visibility[2] = np.inf, 1.0
    with pytest.raises(FeatureError, match="NaN or infinite"):
        snippet_features(joints, visibility, 5.0)
    visibility[2, 0, 3] = 0.0  # it was not seen: it is not read
    assert np.isfinite(snippet_features(joints, visibility, 5.0)).all()
    with pytest.raises(FeatureError, match=r"must be \[N, W, 15, 3\]"):
        snippet_features(joints[..., :2], visibility, 5.0)


def test_somebody_who_stands_still_is_all_zeros_where_the_rest_pose_is():
    found = snippet_features(np.tile(REST, (1, 6, 1, 1)), np.ones((1, 6, 15)), FPS)[0]
    begins = np.cumsum([0, *GROUPS.values()])
    parts = dict(zip(GROUPS, np.split(found, begins[1:-1]), strict=True))
    for name in ("position", "spread", "speed", "rate", "root"):
        assert np.abs(parts[name]).max() < 1e-6
    assert (parts["presence"] == 1).all()


def test_poses_are_interpolated_over_short_gaps_and_missing_in_long_ones():
    times = np.array([0.0, 0.2, 2.0, 2.2])
    joints = np.zeros((4, 15, 3), np.float32) + np.array([0, 2, 20, 22], np.float32)[:, None, None]
    visible = np.ones((4, 15), np.float32)
    visible[1, 4] = 0.0
    options = SnippetOptions(fps=10, window=5, stride=5, resize=0, crop=0, flow="none")
    found, seen = on_grid(Poses(joints, visible, times), np.arange(24), options)
    np.testing.assert_allclose(found[:2, 0, 0], [0.5, 1.5], rtol=1e-5)
    assert (found[:2, 4, 0] == 0).all()  # only the first shows it
    assert seen[1, 4] == pytest.approx(0.25)
    np.testing.assert_array_equal(np.flatnonzero(seen[:, 0] == 0), np.arange(3, 19))


def test_snippets_are_counted_as_those_of_a_video_and_too_many_are_refused():
    for window, stride, tail in ((6, 6, "pad"), (6, 3, "pad"), (4, 6, "pad"), (6, 6, "drop"), (6, 4, "drop")):
        options = SnippetOptions(fps=10, window=window, stride=stride, resize=0, crop=0, flow="none", tail=tail)
        for frames in range(1, 40):
            grid = SnippetGrid(options, lambda make: make())
            pushed = [s for k in range(frames) for s in grid.push(k / 10, lambda: np.zeros((2, 2, 3), np.uint8))]
            assert snippets_of(frames / 10, options) == len(pushed + grid.finish(frames / 10))
    poses = Poses(np.zeros((2, 15, 3), np.float32), np.ones((2, 15), np.float32), np.array([0.0, 1e9]))
    with pytest.raises(VideoError, match="max_snippets is 1000"):
        features_of(poses, limits=Limits(max_snippets=1000), name="my.bvh")
    empty = Poses(np.zeros((0, 15, 3), np.float32), np.ones((0, 15), np.float32), np.zeros(0))
    with pytest.raises(FeatureError, match=r"my\.bvh: has no poses"):
        features_of(empty, name="my.bvh")
