"""Published numbers come out of published detections, to the last printed digit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tal_engine import ops
from tal_engine.annotations import align_names, read_annotations, read_detections
from tal_engine.metrics import PROTOCOLS, WTAL_TIOUS, average_recall, evaluate_tables
from tal_engine.options import ProposalOptions, SourceOptions, linspace
from tests.reference import proposals as slow_proposals

ANET = PROTOCOLS["activitynet"]


def percent(evaluation):
    return [f"{100 * m:.2f}" for m in evaluation.mean_ap]


def load(shared, truth, subset, detections):
    found = read_annotations(shared / truth, allow_pickle=True)
    d, _ = align_names(read_detections(shared / "detections" / detections), tuple(found.subset(subset)))
    return found.table(subset), d


def test_stpn(shared):
    t, d = load(shared, "detections/stpn_thumos14/gt.json", "test", "stpn_thumos14/results.json")
    assert (len(d), len(d.videos), len(t), len(t.videos)) == (9151, 209, 3311, 210)
    rules = replace(ANET.with_tious(linspace(0.1, 0.9, 9)), ties="argsort")
    wanted = ["52.12", "44.20", "34.70", "26.06", "17.70", "10.09", "4.99", "1.34", "0.10"]
    assert percent(evaluate_tables(t, d, rules)) == wanted
    # Under an order that is defined the same detections are worth a little more: ties decide that much.
    assert percent(evaluate_tables(t, d, replace(rules, ties="total")))[:2] == ["52.17", "44.24"]


def test_stpn_text_and_json_forms_agree(shared):
    a, b = (read_detections(shared / f"detections/stpn_thumos14/results.{form}") for form in ("json", "txt"))
    assert len(a) == len(b)
    assert set(a.videos) == set(b.videos)
    t = read_annotations(shared / "detections/stpn_thumos14/gt.json").table("test")
    np.testing.assert_allclose(evaluate_tables(t, a, ANET).ap, evaluate_tables(t, b, ANET).ap, atol=2e-3)


def test_pmil(shared):
    t, d = load(shared, "thumos14/points/gt.json", "test", "pmil_co2net_proposals/detection_result_base_test.json")
    assert (len(d), len(d.videos)) == (31587, 212)
    e = evaluate_tables(t, d, replace(ANET.with_tious(WTAL_TIOUS), ties="argsort"))
    assert percent(e) == ["69.09", "63.13", "54.24", "44.59", "33.94", "23.28", "12.47"]
    assert f"{100 * e.average:.2f}" == "42.96"
    assert e.counts.foreign_detections == 198  # 2 videos that this truth does not list


def test_activitynet_toolkit_sample(shared):
    t, d = load(
        shared, "activitynet/v1.3/anet_anno_action.json", "validation",
        "anet_evaluation/sample_detection_prediction.json",
    )  # fmt: skip
    assert (len(d), len(d.videos), len(t.videos)) == (7654, 4926, 4728)
    rules = replace(ANET, ties="listed", nan_hit=True)
    assert {f"{m:.4f}" for m in evaluate_tables(t, d, rules).mean_ap} == {"0.9774"}
    blocked = {
        f"v_{name}" for name in json.loads((shared / "activitynet/v1.3/api_action_get_blocked.json").read_text())
    }
    kept = tuple(v for v in t.videos if v not in blocked)
    assert len(kept) == 4674
    # The toolkit takes blocked videos from the truth and not from the detections, which then count as wrong.
    e = evaluate_tables(t.renamed(kept, t.labels)[0], d, rules)
    assert {f"{m:.6f}"[:6] for m in e.mean_ap} == {"0.9694"}
    # Left out on both sides, as `exclude` does, they cost nothing.
    assert evaluate_tables(t, d, replace(rules, exclude=tuple(blocked))).average > 0.999


def test_thumos14_counts(shared):
    official = read_annotations(shared / "thumos14/official")
    test = official.subset("test")
    assert len(test) == 213
    assert sum(len(v.instances) for v in test.values()) == 3358
    assert sum(len(v.ambiguous) for v in test.values()) == 99
    reduced = read_annotations(shared / "thumos14/reduced_npy", allow_pickle=True)
    assert len(reduced.subset("test")) == 212
    assert official.table("test").labels == reduced.table("test").labels


@pytest.mark.parametrize(
    "name", ["thumos14-official", "thumos14-evalkit", "wtal-snippet", "wtal-seconds", "opentad", "actionformer"]
)
def test_every_protocol_on_real_detections(shared, name):
    found = read_annotations(shared / "thumos14/official")
    d = read_detections(shared / "detections/pmil_co2net_proposals/detection_result_base_test.json")
    ambiguous = {v.name: v.ambiguous for v in found.subset("test").values() if v.ambiguous}
    e = evaluate_tables(found.table("test"), d, PROTOCOLS[name], ambiguous=ambiguous, threads=2)
    counts = {
        "thumos14-official": (213, 3358, 37),
        "thumos14-evalkit": (213, 3358, 37),
        "wtal-snippet": (212, 3358, 0),
        "wtal-seconds": (210, 3311, 0),
        "opentad": (213, 3358, 0),
        "actionformer": (213, 3358, 0),
    }[name]
    assert (e.counts.videos, e.counts.instances) == counts[:2]
    assert 0.05 < e.average < 0.6


def test_recall_of_the_toolkit_sample(shared):
    t, d = load(
        shared, "activitynet/v1.3/anet_anno_action.json", "validation",
        "anet_evaluation/sample_detection_prediction.json",
    )  # fmt: skip
    curve = average_recall(t, d, max_average=0)
    assert (np.diff(curve.average) >= 0).all()
    assert curve.average[-1] > 0.97


def test_proposals_from_real_frame_activations(shared):
    loadmat = pytest.importorskip("scipy.io").loadmat
    accuracy = []
    for split in (1, 2, 3):
        data = loadmat(shared / f"detections/gtea_tcn_frame_predictions/video_ED-TCN_L2_C25/{split}.mat")
        scores, predicted, truth = (np.ravel(data[k]) for k in "SPY")
        right = frames = 0
        for s, p, y in zip(scores, predicted, truth, strict=True):
            s = s if s.shape[1] == 11 else s.T
            assert (s.argmax(1) == p.ravel()).all()
            right, frames = right + int((p.ravel() == y.ravel()).sum()), frames + p.size
            check_segments(np.asarray(s, np.float32))
        accuracy.append(f"{right / frames:.4f}")
    assert accuracy == ["0.6258", "0.6004", "0.6761"]


def check_segments(cas):
    """Groups of a real class sequence above one threshold are the runs that one sees, in every class."""
    options = ProposalOptions(
        sources=(SourceOptions(of="cas", thresholds=(0.25, 0.5, 0.75)),), class_threshold=0.0, background=False
    )
    found = ops.propose(cas, options=options)
    slow = slow_proposals.propose(cas, None, options)
    assert [tuple(r) for r in zip(found.start, found.end, found.label, strict=True)] == [
        (s, e, c) for s, e, _, c in slow
    ]
    np.testing.assert_allclose(found.score, [r[2] for r in slow], atol=1e-9)
