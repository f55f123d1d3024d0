"""The flow of an OpenCV has a name: recorded with features, compared with the plan's, and true of the installed one."""

from __future__ import annotations

import logging

import cv2
import flow_versions
import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import FeatureError
from tal_engine.features import check_contract, contract_of
from tal_engine.lab.training.runs import _alike, _record
from tal_engine.options import SnippetOptions
from tal_engine.plan.archive import read_plan, with_members
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tal_engine.video.flow import dis_pairs
from tal_engine.video.flow_rules import flow_rules


@pytest.mark.parametrize(
    ("version", "dis"),
    [
        ("4.9.0", "dis, revision 1"), ("4.10.0", "dis, revision 2"), ("4.14.0-dev", "dis, revision 2"),
        ("5.0.0", "dis, revision 3"), ("5.1.0", "dis of OpenCV 5.1, not measured"),
        ("4.15.0", "dis of OpenCV 4.15, not measured"), ("4.8.1", "dis of OpenCV 4.8, not measured"),
    ],
)  # fmt: skip
def test_names(version, dis):
    assert flow_rules("dis", version) == dis
    assert flow_rules("none", version) == ""


#: Mean |x| and |y| of DIS between the two pictures of `pair`, by revision; benchmarks/flow_versions.py prints them.
MEANS = {1: (0.797755, 0.590749), 2: (0.795090, 0.584169), 3: (0.792946, 0.592999)}


def pair():
    """A pattern, and the same moved and turned a little: no randomness, integers only."""
    y, x = np.mgrid[:112, :112]
    wave = 127 + 60 * np.sin(x / 5) + 60 * np.sin(y / 7 + x / 23)
    turned = 127 + 60 * np.sin((x - 2 + y / 40) / 5) + 60 * np.sin((y + 1) / 7 + (x - 2) / 23)
    return wave.astype(np.uint8), turned.astype(np.uint8)


def test_the_table_is_true_of_the_installed_opencv():
    """The nearest of the measured revisions is the one that the version is said to have."""
    name = flow_rules("dis")
    if "not measured" in name:
        pytest.skip(f"OpenCV {cv2.__version__} was not measured")
    a, b = pair()
    found = np.abs(dis_pairs()(a[None], b[None])[0]).mean((0, 1))
    away = {number: np.abs(found - known).max() for number, known in MEANS.items()}
    assert f"dis, revision {min(away, key=away.get)}" == name
    assert min(away.values()) < 1e-4


def trained_on(plan, flow):
    """The plan with this flow on record; None: none."""
    contract = dict(plan.manifest.provenance["contract"])
    contract |= {} if flow is None else {"flow": flow}
    provenance = {**plan.manifest.provenance, "contract": contract, "note": "not the embedded plan's hash"}
    return with_members(plan.manifest.model_copy(update={"provenance": provenance}), plan.files)


@pytest.fixture(scope="module")
def embedded():
    return read_plan(EMBEDDED_PLAN)


@pytest.mark.parametrize("flow", [None, "here", "dis, revision 0", "dis, revision 0 and here"])
def test_a_plan_that_was_trained_on_another_flow_is_said(flow, embedded, clip, caplog):
    here = flow_rules("dis")
    plan = trained_on(embedded, flow and flow.replace("here", here))
    engine = TALEngine(plan, "cpu")
    result = engine.localize(clip)
    said = [w for w in result.info.warnings if "was trained on flow" in w]
    assert len(said) == (flow == "dis, revision 0")
    if said:
        assert f"'dis, revision 0', the installed OpenCV computes {here!r}" in said[0]
        with caplog.at_level(logging.WARNING, "tal_engine"):
            localizer = engine.open_stream("s")
            for k in range(40):
                list(localizer.push(np.zeros((112, 112, 3), np.uint8), k / 25))
        assert caplog.text.count("was trained on flow") == 1


def test_the_embedded_plan_knows_its_flow(embedded):
    """It is older than the record, and keeps its hash."""
    stages = TALEngine(embedded, "cpu")._stages
    assert stages.flow == embedded.manifest.provenance["contract"].get("flow", "dis, revision 3")
    assert (stages.flow_note == "") is (flow_rules("dis") == "dis, revision 3")


def test_features_carry_it_and_differences_are_warnings(embedded, clip):
    engine = TALEngine(embedded, "cpu")
    features = engine.features(clip)
    assert features.contract["flow"] == flow_rules("dis")
    wanted = contract_of(embedded.manifest.snippet, embedded.manifest.encoders, flow="dis, revision 0")
    (warning,) = check_contract(features.contract, wanted, "v.npz")
    assert warning.startswith(f"v.npz: flow is {flow_rules('dis')!r}, the head was trained on 'dis, revision 0'")
    older = {k: v for k, v in features.contract.items() if k != "flow"}
    assert check_contract(older, wanted, "v.npz") == []
    with pytest.raises(FeatureError, match=r"v\.npz: pixels is 'other'"):
        check_contract({**features.contract, "pixels": "other"}, wanted, "v.npz")


def test_records_of_training_join_flows(embedded):
    class Data:
        name, contract = "d", {}

    base = contract_of(SnippetOptions(), embedded.manifest.encoders)
    array = {"rgb": np.zeros((2, 128), np.float32), "flow": np.zeros((2, 128), np.float32)}
    timeline = Timeline(0, 1, 1)
    features = {
        f"v{i}": Features(array, timeline, 2.0, {**base, "flow": flow})
        for i, flow in enumerate(("dis, revision 3", "dis, revision 2", "dis, revision 3"))
    }
    assert _record(Data, features, ["rgb", "flow"])["flow"] == "dis, revision 2 and dis, revision 3"
    assert "flow" not in _alike(Data, features, ["rgb"])


def test_a_segment_is_matched_once_by_one_of_its_class():
    newest = {"v": [(0.0, 4.0, "a"), (10.0, 14.0, "b")]}
    assert flow_versions.unmatched(newest, newest) == 0
    assert flow_versions.unmatched({"v": [(0.0, 4.0, "a"), (0.0, 4.0, "a")]}, newest) == 1
    assert flow_versions.unmatched({"v": [(0.0, 4.0, "b"), (10.0, 12.0, "b"), (10.0, 11.9, "b")]}, newest) == 2
    assert flow_versions.unmatched({"v": []}, newest) == 0
