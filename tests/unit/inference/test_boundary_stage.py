"""Plans that pair boundaries and score the pairs with a graph of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tal_engine import TALEngine, ops
from tal_engine.errors import FeatureError, ParityError, PlanError, UsageError
from tal_engine.export import parity
from tal_engine.export.bundle import EVALUATOR, evaluator_to_onnx
from tal_engine.export.to_onnx import to_onnx
from tal_engine.inference import paired, propose
from tal_engine.lab.training.validation import evaluator_of
from tal_engine.options import BoundaryOptions, NmsOptions, ProposalOptions, SegmentOptions, SnippetOptions
from tal_engine.plan.archive import parse_plan, plan_bytes, with_members
from tal_engine.plan.fields import Method
from tal_engine.plan.manifest import Manifest, parse_manifest
from tal_engine.records import Activations, Boundaries, Features
from tal_engine.timeline import Timeline

TIME = Timeline(0.0, 0.5, 0.5)
OPTIONS = BoundaryOptions(top_k=20, points=5, margin=0.1)
HARD = NmsOptions(kind="hard", threshold=0.5)
WIDTH, CLASSES = 4, 2


class Borders(nn.Module):
    """The first columns of a stream are logits of start and end, all of them the embedding."""

    def forward(self, rgb):
        return {"start": rgb[..., 0].sigmoid(), "end": rgb[..., 1].sigmoid(), "embedding": rgb * 1.0}


class Scores(nn.Module):
    """The mean of two columns over the places of a proposal, which lie between snippets."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, embedding, positions):
        last = embedding.shape[0] - 1
        at = positions.clamp(min=0).minimum(torch.ones_like(positions) * last)
        low = at.floor().long()
        share = (at - low)[..., None]
        high = (low + 1).minimum(torch.ones_like(low) * last)
        read = embedding[low] * (1 - share) + embedding[high] * share
        return {"score": (read[..., 2:] * self.gain).mean(1).sigmoid()}


def slow(start, end, embedding, options):
    """Every pair, every class, one after the other."""
    out = []
    firsts, lasts, likely = ops.boundary_pairs(
        start, end, peak_share=options.peak_share, d_min=options.d_min, d_max=options.d_max, top_k=options.top_k
    )
    for first, last, both in zip(firsts, lasts, likely, strict=True):
        low = first - options.margin * (last - first)
        step = (1 + 2 * options.margin) * (last - first) / (options.points - 1)
        total = np.zeros(CLASSES)
        for k in range(options.points):
            at = min(max(low + k * step, 0.0), len(start) - 1.0)
            i = int(at)
            j = min(i + 1, len(start) - 1)
            total += embedding[i, 2:] * (1 - (at - i)) + embedding[j, 2:] * (at - i)
        for label in range(CLASSES):
            score = 1 / (1 + np.exp(-total[label] / options.points))
            if score >= options.min_score:
                out.append((first, last, label, score * both))
    return out


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.sampled_from([0.001, 0.47, 0.9]), st.booleans())
def test_pairs_are_scored_as_the_textbook_has_it(length, seed, min_score, tied):
    x = np.random.default_rng(seed).normal(0, 2, (length, WIDTH)).astype(np.float32)
    if tied:
        x = np.round(x)
    start, end = (1 / (1 + np.exp(-x[:, i])) for i in (0, 1))
    options = BoundaryOptions(top_k=20, points=5, margin=0.1, min_score=min_score)
    found = paired(start, end, x, options, evaluator_of(Scores()))
    wanted = slow(start, end, x, options)
    assert len(found.start) == len(wanted)
    for row, (first, last, label, score) in enumerate(wanted):
        assert (found.start[row], found.end[row], found.label[row]) == (first, last, label)
        assert found.score[row] == pytest.approx(score, rel=1e-4)


def boundaries(x):
    start, end = (1 / (1 + np.exp(-x[:, i])) for i in (0, 1))
    return Boundaries(start, end, x, TIME, float(TIME.right(len(x))))


def test_a_pair_becomes_the_segment_between_its_borders():
    x = np.full((10, WIDTH), -9, np.float32)
    x[3, 0] = x[7, 1] = x[3:8, 2] = 9
    found = propose(boundaries(x), OPTIONS, evaluator_of(Scores())).data
    best = found[found["score"].argmax()]
    assert (best["start"], best["end"], best["label"]) == (1.5, 3.5, 0)


def test_one_snippet_has_no_pair():
    assert len(propose(boundaries(np.zeros((1, WIDTH), np.float32)), OPTIONS, evaluator_of(Scores()))) == 0


def test_what_does_not_fit_together_is_refused():
    x = np.zeros((5, WIDTH), np.float32)
    cas = Activations(x, None, TIME, 2.5)
    ours = evaluator_of(Scores())
    unfit = ((boundaries(x), ProposalOptions(), None), (boundaries(x), OPTIONS, None), (cas, OPTIONS, ours))
    for given_, options, evaluator in unfit:
        with pytest.raises(UsageError, match="do not make proposals together"):
            propose(given_, options, evaluator)
    x[2, 0] = np.nan
    with pytest.raises(FeatureError, match="start is not finite at place 2"):
        propose(boundaries(x), OPTIONS, evaluator_of(Scores()))


@pytest.fixture(scope="module")
def graphs():
    head = to_onnx(Borders(), {"rgb": torch.randn(1, 9, WIDTH)}, {0: "B", 1: "T"}, "head.onnx")
    return head, evaluator_to_onnx(Scores().eval(), head[1], OPTIONS)


def manifest(graphs, **changes):
    (_, head), (_, evaluator) = graphs
    stages = {"head": head, "evaluator": evaluator, "proposal": OPTIONS, "nms": HARD, "segment": SegmentOptions()}
    return Manifest(
        name="made",
        method=Method(name="made"),
        snippet=SnippetOptions(flow="none"),
        encoders=[],
        streams={"rgb": WIDTH},
        **{"vocabulary": ["run", "jump"], **stages, **changes},
    )


def test_graph_describes_itself_and_passes_the_gate(graphs):
    (content, head), (its_content, evaluator) = graphs
    assert [(t.name, t.shape) for t in evaluator.inputs] == [("embedding", ["T", WIDTH]), ("positions", ["P", 5])]
    assert [(t.name, t.shape) for t in evaluator.outputs] == [("score", ["P", CLASSES])]
    assert [(t.name, t.shape) for t in head.outputs][2] == ("embedding", ["B", "T", WIDTH])
    assert parity.check_evaluator(Scores(), its_content, evaluator)["tensor"] < 1e-5
    made = (Scores(), its_content, evaluator)
    found = parity.check_head(Borders(), content, head, OPTIONS, HARD, TIME, made)
    assert found["segments"] > 5
    assert found["tensor"] < 1e-5


def test_gate_refuses_another_evaluator(graphs):
    (content, head), (its_content, evaluator) = graphs
    other = Scores()
    nn.init.constant_(other.gain, 1.1)
    with pytest.raises(ParityError, match=EVALUATOR):
        parity.check_evaluator(other, its_content, evaluator)
    with pytest.raises(ParityError, match="segments differ"):
        parity.check_head(Borders(), content, head, OPTIONS, HARD, TIME, (other, its_content, evaluator))


def test_engine_runs_the_stage_that_the_plan_carries(graphs, tmp_path):
    files = {"head.onnx": graphs[0][0], EVALUATOR: graphs[1][0]}
    plan = parse_plan(plan_bytes(with_members(manifest(graphs), files)))
    assert plan.manifest.proposal == OPTIONS
    engine = TALEngine(plan, "cpu")
    x = np.random.default_rng(0).normal(0, 2, (40, WIDTH)).astype(np.float32)
    found = engine.localize(Features({"rgb": x}, TIME, 20.0))
    wanted = propose(boundaries(x), OPTIONS, evaluator_of(Scores()))
    assert len(found) > 3
    assert found[0].score == pytest.approx(wanted.data["score"].max(), rel=1e-4)
    assert isinstance(found.activations, Boundaries)
    found.plot(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluator": None}, "an evaluator belongs to a proposal stage that pairs boundaries"),
        ({"vocabulary": ["run"]}, "evaluator.onnx gives 2 columns, vocabulary and background make 1"),
        ({"proposal": ProposalOptions()}, r"must give \['cas'\] first, then \['attention', 'video'\]"),
    ],
)
def test_manifest_that_contradicts_itself_is_refused(graphs, changes, message):
    with pytest.raises(ValueError, match=message):
        manifest(graphs, **changes)


def test_unknown_field_of_the_stage_is_named(graphs):
    text = manifest(graphs).to_json()
    with pytest.raises(PlanError, match=r"peak_share is 7\.5, must be in \[0, 1\]"):
        parse_manifest(text.replace('"peak_share": 0.5', '"peak_share": 7.5'))
    with pytest.raises(PlanError, match=r"manifest field proposal\.magic: Unexpected"):
        parse_manifest(text.replace('"peak_share": 0.5', '"peak_share": 0.5, "magic": 1'))
