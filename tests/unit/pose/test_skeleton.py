"""The canonical skeleton: what every layout gives, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tal_engine.demo.exercises import ACTIONS
from tal_engine.demo.motions import perform
from tal_engine.demo.skeleton import JOINTS as FIGURE
from tal_engine.demo.skeleton import Body, forward_kinematics
from tal_engine.errors import FeatureError, UsageError
from tal_engine.pose.skeleton import BONES, JOINTS, LAYOUTS, MIRROR, J, Poses, canonical, turned


def figure():
    """A figure that walks on the spot: [20, 18, 3]."""
    pose = perform(ACTIONS["squat"], np.linspace(0, 2, 20), 2.0, np.random.default_rng(0))
    return forward_kinematics(pose, Body())


def test_a_figure_that_faces_the_camera_has_its_left_side_on_the_right_and_stands_upright():
    joints, visibility = canonical(figure(), layout="figure18")
    assert (joints[:, J["shoulder_l"], 0] > joints[:, J["shoulder_r"], 0]).all()
    assert (joints[:, J["head"], 1] < joints[:, J["pelvis"], 1]).all()  # y points down
    assert (joints[:, J["knee_l"], 2] <= joints[:, J["hip_l"], 2]).all()  # knees bend towards the camera
    assert (visibility == 1).all()


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_every_layout_gives_every_joint_on_the_right_side(name):
    layout = LAYOUTS[name]
    assert set(layout.where) == set(JOINTS)
    for ours, alternatives in layout.where.items():
        for choice in alternatives:
            assert set(choice) <= set(layout.names)
            if ours[-2:] in ("_l", "_r"):
                (theirs,) = choice
                assert (theirs[0] if name == "cmu31" else theirs[-1]) == ours[-1]
    points = np.random.default_rng(0).normal(size=(4, len(layout.names), 3))
    joints, visibility = canonical(points, layout=name)
    back = turned(points, layout.axes)
    wrist = layout.names.index(layout.where["wrist_r"][0][0])
    np.testing.assert_array_equal(joints[:, J["wrist_r"]], back[:, wrist])
    assert visibility.min() == 1


def test_the_head_is_between_the_ears_or_else_the_nose_and_what_was_not_seen_says_so():
    points = np.random.default_rng(1).normal(size=(3, 17, 2))
    seen = np.full((3, 17), 0.9)
    seen[1, 3] = 0  # an ear
    points[2, 11] = np.nan  # a hip
    joints, visibility = canonical(points, seen, "coco17")
    np.testing.assert_allclose(joints[0, J["head"], :2], points[0, 3:5].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(joints[1, J["head"], :2], points[1, 0], rtol=1e-6)
    assert visibility[2, J["hip_l"]] == visibility[2, J["pelvis"]] == 0 < visibility[2, J["hip_r"]]
    assert np.isfinite(joints).all()
    assert (joints[..., 2] == 0).all()


def test_a_mirrored_person_has_the_sides_swapped_and_twice_mirrored_is_the_same():
    joints, visibility = canonical(figure(), layout="figure18")
    poses = Poses(joints, visibility, np.arange(20) / 10)
    once = poses.mirrored()
    assert (once.joints[:, J["wrist_l"], 0] == -poses.joints[:, J["wrist_r"], 0]).all()
    np.testing.assert_array_equal(once.mirrored().joints, poses.joints)
    assert tuple(np.array(MIRROR)[list(MIRROR)]) == tuple(range(len(JOINTS)))
    assert {n for pair in BONES for n in pair} == set(JOINTS)
    assert len(FIGURE) == len(LAYOUTS["figure18"].names)


def test_malformed_poses_are_refused():
    joints, seen, times = np.zeros((2, 15, 3), np.float32), np.ones((2, 15), np.float32), np.array([0.0, 1.0])
    with pytest.raises(FeatureError, match=r"must be \[T, 15, 3\]"):
        Poses(joints[:, :14], seen, times)
    with pytest.raises(FeatureError, match="pose 1 is NaN"):
        Poses(np.where(np.arange(2)[:, None, None] == 1, np.nan, joints).astype(np.float32), seen, times)
    with pytest.raises(FeatureError, match=r"outside of \[0, 1\]"):
        Poses(joints, seen * 2, times)
    with pytest.raises(FeatureError, match="increase"):
        Poses(joints, seen, times[::-1].copy())
    with pytest.raises(FeatureError, match=r"needs \[T, 17, 2 or 3\]"):
        canonical(joints, layout="coco17")
    with pytest.raises(UsageError, match="layout is 'coco18'"):
        canonical(joints, layout="coco18")
    for axes in ("+x+y-z", "+x+x+z", "x y z", ""):
        with pytest.raises(UsageError, match="keep left and right apart"):
            turned(joints, axes)
