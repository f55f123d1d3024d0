"""people.plan from nothing, in small: it knows its classes, what its scores mean, and what it was trained on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from tal_engine import TALEngine, read_plan
from tal_engine.cli import main
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import FeatureError, PlanError
from tal_engine.export import people_plan as maker
from tal_engine.export.encoder_graphs import open_encoders
from tal_engine.inference.operating_point import overlap
from tal_engine.lab.people.actions import ACTIONS
from tal_engine.lab.people.material import Counts
from tal_engine.lab.people.streams import FPS, write_stream
from tal_engine.pose.plans import people_plan, with_pose
from tal_engine.pose.skeleton import Poses, canonical
from tal_engine.pose.windows import features_of
from tests.reference import skeletons as slow
from tests.unit.pose.test_files import tree_of


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """A plan of a few dozen clips and steps, without the recordings."""
    folder = tmp_path_factory.mktemp("people")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maker, "people", lambda *_: [])
        patch.setattr(maker, "TRAINING", Counts(streams=4, clips=72))
        patch.setattr(maker, "VALIDATION", Counts(streams=4, clips=18))
        patch.setattr(maker, "FOREIGN", 4)
        patch.setattr(maker, "CONFIG", maker.CONFIG | {"width": 32, "levels": 3, "dropout": 0.0})
        small = {"steps": 80, "warmup": 5, "batch": 8, "length": 24, "ema": 0.9, "learning_rate": 3e-3}
        patch.setattr(maker, "OPTIONS", maker.OPTIONS | small)
        maker.make(folder, folder, folder / "people.plan", seed=0, workers=1, encoders=open_encoders("pose"))
    return folder / "people.plan"


def test_the_plan_has_what_a_deployed_plan_needs(plan):
    manifest = read_plan(plan).manifest
    assert manifest.vocabulary == list(ACTIONS)
    assert manifest.streams == {"pose": 242}
    assert [e.reads for e in manifest.encoders] == ["pose"]  # it takes videos too
    assert manifest.snippet.fps == 12.5
    assert manifest.calibration is not None
    assert manifest.thresholds is not None
    assert manifest.domain is not None
    assert "subset 'train', segments" in manifest.provenance["data"]
    record = json.loads(plan.with_suffix(".json").read_text())
    assert record["plan_sha256"] == read_plan(plan).sha256
    assert record["validation"]["videos"] == 22
    assert "raised on 12 clips of movements without a name" in manifest.thresholds.fitted_on
    assert record["thresholds"]["foreign_named"] <= record["thresholds_for_false_alarms"]["foreign_named"]
    assert record["validation"]["map_10_70"] > 0.02  # it learned something: 18 classes, 70 steps


def test_a_head_is_taken_from_a_plan_without_training(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(maker, "people", lambda *_: [])
    monkeypatch.setattr(maker, "TRAINING", Counts(streams=4, clips=72))
    monkeypatch.setattr(maker, "VALIDATION", Counts(streams=4, clips=18))
    monkeypatch.setattr(maker, "FOREIGN", 4)
    given = read_plan(plan)
    again = maker.make(tmp_path, tmp_path, tmp_path / "b.plan", seed=0, workers=1, head=given)
    assert again.manifest == given.manifest
    assert again.files == given.files
    assert not (tmp_path / "checkpoint").exists()


@pytest.fixture(scope="module")
def shipped():
    return TALEngine(people_plan(), "cpu")


def localized(engine, stream, share=1.0, **wanted):
    joints, visible = canonical(stream.joints, layout="figure18")
    poses = Poses(joints, visible * np.float32(share), (np.arange(len(joints)) + 0.5) / FPS)
    return engine.localize(features_of(poses, duration=stream.duration), **wanted)


@pytest.mark.parametrize("label", ["jog", "side bend", "squat", "twist"])
def test_the_plan_that_ships_knows_its_actions_and_when_they_are(shipped, label):
    stream = write_stream("a", [31, 7], actions=1, classes=[label])
    (true,) = stream.instances
    best = localized(shipped, stream, min_score=0.0)[0]
    assert best.label == label
    assert overlap(best, true) > 0.5


def test_it_names_nothing_where_nobody_is_or_nobody_does_anything(shipped):
    stream = write_stream("a", [31, 7], actions=1, classes=["squat"])
    assert len(localized(shipped, stream, share=0.1)) == 0
    still = replace(stream, joints=np.repeat(stream.joints[:1], 300, axis=0))
    assert len(localized(shipped, still)) == 0


def test_graphs_of_poses_go_to_plans_of_poses_only(shipped, plan):
    assert [e.reads for e in shipped.plan.manifest.encoders] == ["pose"]
    assert shipped.plan.manifest.calibration is not None
    full = with_pose(read_plan(plan), "full")
    assert full.manifest.encoders[0].poses.startswith("full")
    with pytest.raises(PlanError, match="plan demo reads"):
        with_pose(read_plan(EMBEDDED_PLAN))


def test_motion_capture_is_localized_directly(plan, tmp_path):
    path = tmp_path / "a.bvh"
    path.write_text(slow.bvh_text(tree_of("mixamo"), np.random.default_rng(0).normal(scale=20, size=(90, 51)), 0.04))
    engine = TALEngine.load(plan, "cpu")
    found = engine.localize(path, min_score=0.0, top_k=0)
    assert found.info.duration == pytest.approx(3.6)
    assert len(found) > 0
    assert found.info.out_of_domain  # a body of chance limbs and angles
    with pytest.raises(FeatureError, match=r"broken\.bvh: no such BVH file"):
        engine.localize(tmp_path / "broken.bvh")
    again = engine.localize(str(path), min_score=0.0, top_k=0)
    assert again.segments == found.segments


def test_the_command_writes_a_plan_that_takes_videos(tmp_path):
    app = main.app
    if not app.registered_commands:
        main._register()
    path = tmp_path / "people.plan"
    done = CliRunner().invoke(app, ["plan", "people", "-o", str(path)])
    assert done.exit_code == 0, done.output
    manifest = read_plan(path).manifest
    assert ([e.stream for e in manifest.encoders], len(manifest.vocabulary)) == (["pose"], 18)
    refused = CliRunner().invoke(app, ["plan", "people", "-o", str(path)])
    assert "--overwrite replaces it" in str(refused.exception)
