"""Two plans, or two detection files, side by side: what is the same segment, and what is said of the others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations import read_detections
from tal_engine.errors import UsageError
from tal_engine.export import gate
from tal_engine.export.diff import compare_detections, compare_plans, compare_segments
from tal_engine.export.matching import match
from tal_engine.features import save_features
from tal_engine.plan.archive import with_members, write_plan
from tal_engine.plan.fields import Method
from tal_engine.records import PROPOSAL, Features, Segment
from tal_engine.timeline import Timeline
from tests.integration.test_cli import tal
from tests.makers import HEAD, tiny_plan
from tests.reference import matching as reference

SEGMENTS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(1, 5), st.sampled_from([0.25, 0.5, 1.0]), st.integers(0, 1)), max_size=9
).map(lambda rows: [(float(s), float(s + n), score, label) for s, n, score, label in rows])


@settings(deadline=None, max_examples=300)
@given(a=SEGMENTS, b=SEGMENTS, least=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_matching_is_the_textbook_one(a, b, least):
    found = match(np.array(a, PROPOSAL), np.array(b, PROPOSAL), least)
    wanted = reference.match(a, b, least)
    assert [tuple(p) for p in found.pairs.tolist()] == wanted
    assert found.only_a.tolist() == [i for i in range(len(a)) if i not in dict(wanted)]
    assert found.only_b.tolist() == [j for j in range(len(b)) if j not in {j for _, j in wanted}]


@settings(deadline=None, max_examples=50)
@given(a=SEGMENTS)
def test_the_same_segments_in_another_order_are_no_change(a):
    x = np.array(a, PROPOSAL)
    assert gate.changed_segments(x, x[::-1], gate.FP32) == 0


def test_each_kind_of_change():
    a = [Segment(0, 4, "run", 1.0), Segment(10, 12, "run", 0.5), Segment(20, 24, "sit", 0.4)]
    b = [Segment(0, 4, "run", 1.5), Segment(10.25, 12, "run", 0.5), Segment(20, 24, "jump", 0.4)]
    found = compare_segments(a, b, gate.FP32)
    assert (found.vanished, found.appeared) == ([a[2]], [b[2]])
    assert found.moved == [(a[1], b[1], 0.25)]
    assert found.rescored == [(a[0], b[0], 0.5)]
    assert (found.total, found.changed) == (6, 6)
    assert compare_segments(a, b, gate.LIMITS["int8"]).changed == 4  # a quarter of a second is no change at int8


def other_head():
    """The tiny plan with one weight changed."""
    plan = tiny_plan(encoders=False)
    content = plan.files["head.onnx"]
    assert content.count(HEAD.tobytes()) == 1
    changed = HEAD.copy()
    changed[0, 1] += 0.75
    return with_members(plan.manifest, {"head.onnx": content.replace(HEAD.tobytes(), changed.tobytes())})


def test_plans():
    plan = tiny_plan(encoders=False)
    same = compare_plans(plan, plan)
    assert {t.worst for t in same.tensors.values()} == {0.0}
    assert (same.fields, sum(s.changed for s in same.segments.values())) == ({}, 0)
    assert len(same.segments) == len(gate.LENGTHS)
    found = compare_plans(plan, other_head())
    assert found.tensors["cas"].worst > found.tensors["cas"].mean > 1e-3
    assert found.tensors["attention"].worst == 0  # read from another column
    assert sum(s.changed for s in found.segments.values()) > 0
    renamed = tiny_plan(encoders=False, method=Method(name="other", config={"a": 1}))
    assert compare_plans(plan, renamed).fields["method.name"] == ("test", "other")


def test_plans_that_cannot_be_compared():
    plan = tiny_plan(encoders=False)
    wider = plan.manifest.model_copy(update={"streams": {"rgb": 5}})
    with pytest.raises(UsageError, match=r"read other streams: \{'rgb': 4\} and \{'rgb': 5\}"):
        compare_plans(plan, with_members(wider, plan.files))


@pytest.fixture
def folder(tmp_path):
    write_plan(tmp_path / "a.plan", tiny_plan(encoders=False))
    write_plan(tmp_path / "b.plan", other_head())
    rng = np.random.default_rng(0)
    save_features(
        tmp_path / "v.npz", Features({"rgb": rng.normal(size=(60, 4)).astype(np.float32)}, Timeline(0, 1, 1), 60)
    )
    truth = {"v": {"subset": "test", "duration": 60, "annotations": [{"label": "run", "segment": [3, 9]}]}}
    (tmp_path / "truth.json").write_text(json.dumps({"version": "x", "database": truth}))
    return tmp_path


def test_the_command(folder):
    args = ("diff", folder / "a.plan", folder / "b.plan", "--on", folder / "v.npz", "--truth", folder / "truth.json")
    done = tal(*args, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["segments"]["v"]["changed"] > 0
    assert len(found["mean_ap"]["0.5"]) == 2
    done = tal(*args, "--gate")
    assert done.returncode == 3
    assert "differs by" in done.stderr
    assert "mAP@0.5: " in done.stdout
    assert "vanished" in done.stdout


def test_plans_that_ship_are_compared_by_name(folder):
    done = tal("diff", "demo", "demo", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert {s["changed"] for s in json.loads(done.stdout)["segments"].values()} == {0}
    assert tal("diff", "demo", folder / "v.npz", cwd=folder).returncode == 2


@pytest.mark.parametrize("precision", gate.LIMITS)
def test_json_of_every_precision(folder, precision):
    """Limits are in it too, and some precisions set none on how far a segment moves."""
    plan = tiny_plan(encoders=False)
    write_plan(folder / "c.plan", with_members(plan.manifest.model_copy(update={"precision": precision}), plan.files))
    done = tal("diff", folder / "a.plan", folder / "c.plan", "--on", folder, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == "tal.diff/1"
    assert found["limits"]["changed_share"] == gate.LIMITS[precision].changed_share
    assert list(found["segments"]) == ["v"]
    assert found["segments"]["v"]["changed"] == 0


def test_detection_files(folder):
    rows = [{"label": "run", "segment": [0, 5], "score": 0.5}, {"label": "run", "segment": [8, 9], "score": 0.25}]
    for name, found in (("x.json", rows), ("y.json", rows[:1])):
        (folder / name).write_text(json.dumps({"version": "x", "results": {"v": found}, "external_data": {}}))
    found = compare_detections(*(read_detections(folder / n) for n in ("x.json", "y.json")))
    assert found.segments["v"].vanished == [Segment(8, 9, "run", 0.25)]
    assert tal("diff", folder / "x.json", folder / "x.json", "--gate").returncode == 0
    assert tal("diff", folder / "x.json", folder / "y.json", "--gate").returncode == 3
    mixed = tal("diff", folder / "x.json", folder / "a.plan")
    assert mixed.returncode == 2
    assert "a plan is compared with a plan" in mixed.stderr
