"""people.plan from nothing, in small: it knows its classes, what its scores mean, and what it was trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tal_engine import TALEngine, read_plan
from tal_engine.errors import FeatureError
from tal_engine.export import people_plan
from tal_engine.export.encoder_graphs import open_encoders
from tal_engine.lab.people.actions import ACTIONS
from tal_engine.lab.people.material import Counts
from tests.reference import skeletons as slow
from tests.unit.pose.test_files import tree_of


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """A plan of a few dozen clips and steps, without the recordings."""
    folder = tmp_path_factory.mktemp("people")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people_plan, "people", lambda *_: [])
        patch.setattr(people_plan, "TRAINING", Counts(streams=4, clips=72))
        patch.setattr(people_plan, "VALIDATION", Counts(streams=4, clips=18))
        patch.setattr(people_plan, "OPTIONS", people_plan.OPTIONS | {"steps": 70, "batch": 8, "pairs": 2, "length": 24})
        people_plan.make(folder, folder, folder / "people.plan", seed=0, workers=1, encoders=open_encoders("pose"))
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
    assert "subset 'train', video-level labels" in manifest.provenance["data"]
    record = json.loads(plan.with_suffix(".json").read_text())
    assert record["plan_sha256"] == read_plan(plan).sha256
    assert record["validation"]["videos"] == 22
    assert record["validation"]["map_10_70"] > 0.02  # it learned something: 18 classes, 70 steps


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
