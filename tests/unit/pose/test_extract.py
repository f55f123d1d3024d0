"""``tal features extract --encoders pose`` of skeleton files."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from tal_engine import load_features
from tal_engine.cli import main
from tal_engine.errors import UsageError
from tal_engine.pose.features import DIM, pose_record
from tal_engine.pose.files import read_skeleton
from tal_engine.pose.windows import features_of
from tests.reference import skeletons as slow
from tests.unit.pose.test_files import tree_of


@pytest.fixture
def folder(tmp_path):
    """A folder with a BVH, an AMC's leftover ASF, a table of labels beside them, and one with arrays only."""
    bodies, arrays = tmp_path / "bodies", tmp_path / "arrays"
    bodies.mkdir(), arrays.mkdir()
    frames = np.random.default_rng(0).normal(scale=20, size=(30, 51))
    (bodies / "a.bvh").write_text(slow.bvh_text(tree_of("poser"), frames, 0.04))
    (bodies / "labels.csv").write_text("video,label\na,squat\n")
    np.savez(arrays / "b.npz", joints=np.random.default_rng(1).normal(size=(25, 33, 3)), fps=25.0)
    return tmp_path


def extract(*arguments):
    main._register()
    return CliRunner().invoke(main.app, ["features", "extract", *map(str, arguments), "--encoders", "pose"])


def test_skeletons_give_features_with_the_record_of_the_pose_encoder(folder):
    done = extract(folder / "bodies", folder / "arrays", "-o", folder / "out")
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (folder / "out").rglob("*.npz")) == ["a.npz", "b.npz"]  # labels.csv is none
    found = load_features(folder / "out" / "a.npz")
    assert found.streams["pose"].shape == (3, DIM)
    assert found.contract["encoders"]["pose"] == pose_record()
    assert (found.timeline.step, found.timeline.width, found.duration) == (0.48, 0.48, pytest.approx(1.2))
    wanted = features_of(read_skeleton(folder / "bodies" / "a.bvh"))
    np.testing.assert_array_equal(found.streams["pose"], wanted.streams["pose"])


def test_what_is_there_is_kept_and_one_broken_file_does_not_stop_the_others(folder):
    (folder / "bodies" / "broken.bvh").write_text("HIERARCHY")
    done = extract(folder / "bodies", "-o", folder / "out")
    assert done.exit_code != 0
    assert "broken.bvh: not a BVH file (it has no MOTION)" in done.output.replace("\n", " ")
    assert "1 made, 1 failed" in done.output
    again = extract(folder / "bodies" / "a.bvh", "-o", folder / "out")
    assert "0 made, 1 were there" in again.output


def test_the_layout_is_told_by_skeleton_settings_and_limits_hold(folder):
    path = folder / "arrays" / "c.npz"
    np.savez(path, joints=np.random.default_rng(1).normal(size=(25, 17, 2)))
    done = extract(path, "-o", folder / "out", "--skeleton", "layout=coco17", "--skeleton", "fps=10")
    assert done.exit_code == 0, done.output
    assert "points have no depth" in done.output.replace("\n", " ")
    for wrong in ("layout=coco18", "colour=red"):
        assert isinstance(extract(path, "-o", folder / "no", "--skeleton", wrong).exception, UsageError)
    few = extract(path, "-o", folder / "no", "--skeleton", "layout=coco17", "--skeleton", "fps=10", "--max-snippets", 2)
    assert "max_snippets is 2" in few.output.replace("\n", " ")
    assert not list((folder / "no").glob("*.npz"))
