"""Plans whose head says at each moment what goes on and how long: decoding, plan, gate, engine and stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from tal_engine import TALEngine
from tal_engine.diagnostics.stream_check import verify
from tal_engine.errors import FeatureError, PlanError, UsageError
from tal_engine.export import gate, parity
from tal_engine.export.to_onnx import to_onnx
from tal_engine.inference import decoded, propose
from tal_engine.options import (
    NmsOptions,
    ProposalOptions,
    PyramidOptions,
    SegmentOptions,
    SnippetOptions,
    StreamOptions,
)
from tal_engine.plan.archive import parse_plan, plan_bytes, with_members
from tal_engine.plan.fields import Method
from tal_engine.plan.manifest import Manifest, parse_manifest
from tal_engine.records import Features, Pyramid
from tal_engine.timeline import Timeline
from tests.makers import encoder_graph, tiny_manifest
from tests.reference import actionformer as twin

OPTIONS = PyramidOptions(strides=(1, 2), top_k=50)
SOFT = NmsOptions(kind="gaussian", sigma=0.5, min_score=0.001)
WIDTH, CLASSES = 4, 2


class Moments(nn.Module):
    """Two levels: the columns of a stream are logits of classes and distances; the coarser level reads every other."""

    unproven_lengths = True

    def __init__(self, mixed=False):
        super().__init__()
        torch.manual_seed(5)
        self.mix = nn.Linear(WIDTH, WIDTH) if mixed else nn.Identity()

    def forward(self, rgb):
        rgb = self.mix(rgb)
        length = rgb.shape[1]
        more = (length + 1) // 2 * 2 - length
        x = functional.pad(rgb, (0, 0, 0, more))
        real = functional.pad(torch.ones_like(rgb[..., :1]), (0, 0, 0, more))
        x, real = (torch.cat([y, y[:, ::2]], 1) for y in (x, real))
        return {"score": x[..., :2].sigmoid() * real, "distance": x[..., 2:].relu()}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.sampled_from([(1,), (1, 2), (1, 2, 4, 8), (2, 6)]),
    st.sampled_from([0, 1, 7, 2000]),
    st.sampled_from([(0.5, 0.5, 0.0), (4 / 30, 16 / 30, 2.0)]),
)
def test_moments_are_decoded_as_the_textbook_has_it(seed, unit, strides, top_k, time):
    rng = np.random.default_rng(seed)
    rows = unit * sum(strides[-1] // s for s in strides)
    score = rng.permutation(rows * 3).reshape(rows, 3).astype(np.float32) / (rows * 3)  # none twice
    distance = (rng.random((rows, 2)) * rng.choice([0.02, 3.0], (rows, 1))).astype(np.float32)
    step, width, start = time
    line = Timeline(start, step, width)
    options = PyramidOptions(strides=strides, top_k=top_k, min_score=0.3)
    found = decoded(score, distance, options, line)
    wanted = twin.decode(score, distance, strides, 0.3, top_k, 0.05, step, width, start)
    mine = sorted(zip(line.left(found.start), line.right(found.end), found.score, found.label, strict=True))
    assert len(mine) == len(wanted)
    np.testing.assert_allclose(np.array(mine).reshape(-1, 4), np.array(sorted(wanted)).reshape(-1, 4), atol=1e-9)


def test_a_head_that_read_every_other_snippet():
    """Row i stands for snippet 2 i: its middle is where the middle of that snippet is."""
    score, distance = np.zeros((8, 1), np.float32), np.full((8, 2), 1.0, np.float32)
    score[3] = 0.9
    line = Timeline(0.0, 1.0, 1.0)
    found = decoded(score, distance, PyramidOptions(strides=(1,)), line, ratio=2.0)
    # As validation maps rows to seconds.
    assert (line.left(found.start * 2)[0], line.right(found.end * 2)[0]) == (4.5, 8.5)


def test_what_cannot_be_decoded_is_refused():
    score, distance = np.zeros((6, 1), np.float32), np.zeros((6, 2), np.float32)
    line = Timeline(0.0, 1.0, 1.0)
    assert len(decoded(score[:0], distance[:0], OPTIONS, line).start) == 0
    assert len(decoded(score, distance, OPTIONS, line).start) == 0
    with pytest.raises(UsageError, match=r"gave 4 moments, strides \(1, 2\) make a multiple of 3"):
        decoded(score[:4], distance[:4], OPTIONS, line)
    score[2] = np.nan
    with pytest.raises(FeatureError, match="scores or distances that are NaN"):
        decoded(score, distance, OPTIONS, line)
    with pytest.raises(UsageError, match="Pyramid, ProposalOptions and evaluator None do not make proposals"):
        propose(Pyramid(score, distance, line, 4.0), ProposalOptions())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strides": ()}, r"strides is \(\), must be rising numbers"),
        ({"strides": (2, 3)}, "each a divisor of the last"),
        ({"strides": (2, 1)}, "rising"),
        ({"min_score": 1.0}, r"min_score is 1.0, must be in \[0, 1\)"),
        ({"min_length": -1}, "min_length is -1, must be 0 or more"),
    ],
)
def test_bad_options_are_named(changes, words):
    with pytest.raises(UsageError, match=words):
        PyramidOptions(**changes)


@pytest.fixture(scope="module")
def head():
    return to_onnx(Moments(), {"rgb": torch.randn(1, 9, WIDTH)}, {0: "B", 1: "T"}, "head.onnx")


def manifest(head, **changes):
    stages = {"head": head[1], "proposal": OPTIONS, "nms": SOFT, "segment": SegmentOptions()}
    return Manifest(
        name="made", method=Method(name="made"), snippet=SnippetOptions(flow="none"), encoders=[],
        streams={"rgb": WIDTH}, **{"vocabulary": ["run", "jump"], **stages, **changes},
    )  # fmt: skip


def test_graph_describes_itself_and_passes_the_gate(head):
    content, graph = head
    assert [(t.name, t.shape) for t in graph.outputs] == [("score", ["B", "P", CLASSES]), ("distance", ["B", "P", 2])]
    found = parity.check_head(Moments(), content, graph, OPTIONS, SOFT, Timeline(0, 1, 1))
    assert found["segments"] > 50
    assert (found["segments_changed"], found["tensor"] < 1e-5) == (0, True)


def test_segments_may_move_as_far_as_distances_may_differ():
    out = {"distance": np.array([[[3.0, 1.0]]], np.float32)}
    stages = gate.Stages(OPTIONS, SOFT, Timeline(0, 0.5, 0.5))
    assert stages.with_moves(gate.FP32, out).move_s == pytest.approx(1e-4 * 4 * 2 * 0.5)
    assert gate.Stages(ProposalOptions(), SOFT, Timeline(0, 1, 1)).with_moves(gate.FP32, out) == gate.FP32
    assert stages.with_moves(gate.LIMITS["int8"], out).move_s is None


def engine_of(head):
    plan = parse_plan(plan_bytes(with_members(manifest(head), {"head.onnx": head[0]})))
    assert plan.manifest.proposal == OPTIONS
    return TALEngine(plan, "cpu")


def test_engine_runs_the_stage_that_the_plan_carries(head, tmp_path):
    x = np.full((11, WIDTH), -9, np.float32)
    x[5] = 9, -9, 1.5, 2.0  # run, from 1.5 snippets before to 2 after the middle of snippet 5
    line = Timeline(0.0, 0.5, 0.5)
    found = engine_of(head).localize(Features({"rgb": x}, line, 5.5))
    assert [(s.start, s.end, s.label) for s in found] == [(2.0, 3.75, "run")]
    assert isinstance(found.activations, Pyramid)
    found.plot(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 5000
    x[0], x[10] = (9, -9, 4, 0.2), (-9, 9, 0.2, 4)  # beyond both ends of the video
    found = engine_of(head).localize(Features({"rgb": x}, line, 5.5)).by_time()
    assert [(s.label, round(s.start, 3), round(s.end, 3)) for s in found if s.label == "jump"][-1][2] == 5.5
    assert min(s.start for s in found) == 0.0


def test_streams_keep_their_promises(clip):
    """However frames come, and a window over the whole video finds what the file has."""
    content, graph = to_onnx(Moments(mixed=True), {"rgb": torch.randn(1, 9, WIDTH)}, {0: "B", 1: "T"}, "head.onnx")
    made = tiny_manifest(head=graph, proposal=OPTIONS, nms=SOFT, vocabulary=["run", "jump"])
    engine = TALEngine(with_members(made, {"head.onnx": content, "encoder_rgb.onnx": encoder_graph()}), "cpu")
    found = verify(engine, clip, StreamOptions(window=2, step=0.64, look_ahead=0.64, gap=0.32), chunkings=2)
    assert found.ok
    assert found.whole.common


def test_videos_of_one_length_share_a_call(head):
    rng = np.random.default_rng(0)
    many = [Features({"rgb": rng.normal(0, 2, (13, WIDTH)).astype(np.float32)}, Timeline(0, 1, 1), 13.0) for _ in "abc"]
    engine = engine_of(head)
    together = [r for _, r in engine.localize_batch(many)]
    assert [list(r) for r in together] == [list(engine.localize(f)) for f in many]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": ["run"]}, "head.onnx gives 2 columns, vocabulary and background make 1"),
        ({"proposal": ProposalOptions()}, r"must give \['cas'\] first"),
    ],
)
def test_manifest_that_contradicts_itself_is_refused(head, changes, message):
    with pytest.raises(ValueError, match=message):
        manifest(head, **changes)


def test_faults_of_the_stage_are_named(head):
    text = manifest(head).to_json()
    with pytest.raises(PlanError, match=r"strides is \(2, 3\), must be rising numbers"):
        parse_manifest(text.replace('"strides": [\n   1,\n   2\n  ]', '"strides": [2, 3]'))
    with pytest.raises(PlanError, match=r"manifest field proposal\.magic: Unexpected"):
        parse_manifest(text.replace('"strides"', '"magic": 1, "strides"'))
    with pytest.raises(PlanError, match="the second free and not 'T'"):
        parse_manifest(text.replace('"P"', '"T"'))
