"""Plans at half precision: what is converted, what stays wide, and that segments stay where they are."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from torch import nn

from tal_engine import TALEngine
from tal_engine.backends import open_backend
from tal_engine.errors import ExportError, ParityError, UsageError
from tal_engine.export import bundle, gate
from tal_engine.export.encoder_graphs import tiny_encoders
from tal_engine.export.operators import unsupported
from tal_engine.export.precision import share_of, to_half
from tal_engine.export.to_onnx import to_onnx
from tal_engine.export.variant import make_variant
from tal_engine.lab.methods import METHODS, load_method
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.distributed import this_world
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.lab.training.training_state import Task, begin
from tal_engine.options import PyramidOptions
from tests.integration.test_cli import tal
from tests.learning import NAMES, small_config
from tests.unit.export.test_operators import refused

HALF, FULL = TensorProto.FLOAT16, TensorProto.FLOAT


def a_checkpoint(folder, text, method="pvlr"):
    """A network as it begins, kept and read again."""
    torch.manual_seed(0)
    chosen = load_method(method)
    task = Task(chosen, small_config(chosen), NAMES, TrainOptions(device="cpu"), {})
    world = this_world(task.options)
    checkpoint.save(folder, begin(task, text, world), task, world)
    return checkpoint.load(folder)


def segments(plan, streams, path):
    bundle.write_plan(path, plan)
    return TALEngine.load(path, "cpu").localize(streams, min_score=-np.inf, top_k=0)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_gives_the_same_segments(name, text, tmp_path):
    """All but a tenth of the segments are the same ones, of all methods on fresh features; TensorRT takes them."""
    found = a_checkpoint(tmp_path / "c", text, name)
    wide = bundle.make_plan(found, None, name="p")
    half = make_variant(wide, "fp16")
    assert (wide.manifest.precision, half.manifest.precision) == ("fp32", "fp16")
    assert wide.manifest.head == half.manifest.head  # same names, types and shapes: the runtime sees no difference
    for part in half.manifest.parity.values():
        assert part["tensor"] < 0.005
        assert part["tolerance"] == 1e-2
        assert part["fp16_bytes"] > 10 * part["fp32_bytes"]
        assert part["fp16_nodes"] > 0
    assert "fp16_bytes" not in wide.manifest.parity["head"]
    assert [(unsupported(c), refused(c)) for c in wide.files.values()] == [([], [])] * len(wide.files)
    rng = np.random.default_rng(5)
    streams = {s: rng.normal(size=(90, w)).astype(np.float32) for s, w in wide.manifest.streams.items()}
    a, b = (segments(p, streams, tmp_path / f"{p.manifest.precision}.plan") for p in (wide, half))
    # Borders are edges of snippets, or, of a pyramid, numbers of a tensor: those may differ as tensors do.
    apart = 0.05 if isinstance(wide.manifest.proposal, PyramidOptions) else 1e-6
    near = [any(x.label == y.label and abs(x.start - y.start) + abs(x.end - y.end) < apart for y in b) for x in a]
    assert np.mean(near) > 0.9


@pytest.mark.parametrize("name", ["cola", "pvlr"])
def test_half_arithmetic_is_good_enough(name, text, tmp_path):
    """ONNX Runtime on a CPU computes much of it in float32; onnx's own evaluator rounds after every node."""
    plan = bundle.make_plan(a_checkpoint(tmp_path / "c", text, name), None, name="p", precision="fp16")
    wide = bundle.make_plan(a_checkpoint(tmp_path / "d", text, name), None, name="p").files["head.onnx"]
    rng = np.random.default_rng(5)
    feeds = {s: rng.normal(size=(1, 12, w)).astype(np.float32) for s, w in plan.manifest.streams.items()}
    wanted = open_backend(wide, "head.onnx", "cpu").run(feeds)
    for value, found in zip(wanted.values(), ReferenceEvaluator(plan.files["head.onnx"]).run(None, feeds), strict=True):
        assert np.abs(value - found).max() < 5e-3 * (1 + np.abs(value).max())


def test_encoders_are_halved_and_give_the_same_features():
    encoders = tiny_encoders(("rgb", "flow", "clip"))
    for stream, wide in encoders.graphs.items():
        graph = encoders.specs[stream].graph
        half, share = to_half(wide, graph.member)
        both = (open_backend(x, graph.member, "cpu") for x in (wide, half))
        found = gate.check_tensors(*both, graph.member, gate.random_snippets(graph), gate.LIMITS["fp16"])
        assert len(half) < 0.53 * len(wide)
        assert found["tensor"] < 0.005
        assert share.wide_bytes < 0.01 * share.bytes
        model = onnx.load_from_string(half)
        before = onnx.load_from_string(wide)
        assert list(map(str, model.graph.input)) == list(map(str, before.graph.input))
        assert [o.type.tensor_type.elem_type for o in model.graph.output] == [FULL]


class Norm(nn.Module):
    """x / |x|, through weights; an all-zero row is divided by a number that half precision does not have."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 32, bias=False)

    def forward(self, x):
        return nn.functional.normalize(self.linear(x), dim=-1, eps=1e-12)


def converted(net, places=(), **inputs):
    content, _ = to_onnx(net.eval(), inputs, {0: "T"}, "g.onnx")
    half, share = to_half(content, "g.onnx", places)
    return (
        open_backend(content, "g.onnx", "cpu"),
        open_backend(half, "g.onnx", "cpu"),
        onnx.load_from_string(half),
        share,
    )


def test_an_epsilon_survives():
    torch.manual_seed(0)
    wide, half, model, share = converted(Norm(), x=torch.randn(5, 8))
    x = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    x[2] = 0
    a, b = (g.run({"x": x})["feature"] for g in (wide, half))
    assert np.isfinite(b).all()
    assert 0 < np.abs(a - b).max() < 2e-3
    assert b[2].tolist() == [0] * 32
    assert (share.bytes, share.wide_bytes) == (2 * 8 * 32, 4)
    assert share == share_of(model)
    # From the norm to the output all is float32: widened once, and once by name only.
    assert [n.attribute[0].i for n in model.graph.node if n.op_type == "Cast"].count(FULL) == 2


class Places(nn.Module):
    """Weighs neighbours of a place by how near they are."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x, positions):
        left = positions.floor()
        near = self.linear(x)[left.long().clamp(0, x.shape[0] - 1)]
        return near * (positions - left)[:, None]


def test_places_in_long_videos_stay_exact():
    """Half precision knows every other number from 2048 on, and none between them."""
    torch.manual_seed(0)
    wide, half, _, share = converted(Places(), ("positions",), x=torch.randn(5, 8), positions=torch.rand(5))
    rng = np.random.default_rng(0)
    feeds = {"x": rng.normal(size=(9000, 8)), "positions": rng.random(9000) * 8999}
    a, b = (g.run({k: v.astype(np.float32) for k, v in feeds.items()})["feature"] for g in (wide, half))
    assert np.abs(a - b).max() < 5e-3
    assert share.nodes >= 2


class Large(nn.Module):
    """Adds a mask of -1e9 before a softmax, and has weights that half precision cannot hold."""

    def __init__(self, scale):
        super().__init__()
        self.linear, self.scale = nn.Linear(8, 4), scale
        self.linear.weight.data[0, 0] = scale
        self.register_buffer("mask", torch.tensor([0.0, -1e9, 0.0, 0.0]))

    def forward(self, x):
        return torch.softmax(self.linear(x) + self.mask, -1)


def test_masks_stay_wide():
    wide, half, model, share = converted(Large(1.0), x=torch.randn(5, 8))
    x = np.ones((3, 8), np.float32)
    np.testing.assert_allclose(half.run({"x": x})["feature"], wide.run({"x": x})["feature"], atol=2e-3)
    assert share.wide_bytes == 4 * 4
    assert {i.data_type for i in model.graph.initializer if i.dims == [4, 8] or i.dims == [8, 4]} == {HALF}


def test_what_cannot_be_converted_is_refused():
    content, _ = to_onnx(Large(1e6).eval(), {"x": torch.randn(5, 8)}, {0: "T"}, "g.onnx")
    with pytest.raises(ExportError, match=r"g\.onnx: fp16 was asked for, but only \d+ bytes .* 160 stay fp32"):
        to_half(content, "g.onnx")
    with pytest.raises(ExportError, match=r"g\.onnx: cannot be converted to fp16 \("):
        to_half(b"no graph", "g.onnx")
    broken = onnx.load_from_string(content)
    broken.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ExportError, match=r"g\.onnx: cannot be converted to fp16 .*NoSuchOperator"):
        to_half(broken.SerializeToString(), "g.onnx")


def test_the_gate_refuses_and_nothing_is_written(text, tmp_path, monkeypatch):
    found = a_checkpoint(tmp_path / "c", text)
    monkeypatch.setitem(gate.LIMITS, "fp16", gate.LIMITS["fp32"])
    with pytest.raises(ParityError, match=r"head\.onnx: differs by .*, allowed is 0\.0001"):
        bundle.export(found, None, tmp_path / "p.plan", name="p", precision="fp16")
    assert not (tmp_path / "p.plan").exists()


def test_unknown_precision(text, tmp_path):
    with pytest.raises(UsageError, match="precision is 'int3', must be fp32, fp16 or bf16"):
        bundle.make_plan(a_checkpoint(tmp_path / "c", text), None, name="p", precision="int3")


def test_the_command(text, tmp_path):
    a_checkpoint(tmp_path / "c", text)
    done = tal("export", tmp_path / "c", "-o", tmp_path / "p.plan", "--encoders", "none", "--precision", "fp16")
    assert done.returncode == 0, done.stderr
    assert "fp16, " in done.stderr
    shown = tal("plan", "inspect", tmp_path / "p.plan").stdout
    assert "fp16" in shown
    done = tal("export", tmp_path / "c", "-o", tmp_path / "q.plan", "--precision", "int3")
    assert done.returncode == 2
    assert "fp32" in done.stderr


def test_stream_options_are_the_plans(text, tmp_path):
    a_checkpoint(tmp_path / "c", text)
    how = ("export", tmp_path / "c", "-o", tmp_path / "p.plan", "--encoders", "none")
    done = tal(*how, "--stream-options", "window=30", "--stream-options", "look_ahead=4")
    assert done.returncode == 0, done.stderr
    engine = TALEngine.load(tmp_path / "p.plan", "cpu")
    assert (engine.plan.manifest.stream.window, engine.plan.manifest.stream.look_ahead) == (30.0, 4.0)
    promised = f"finals at most {engine.open_stream().declared_latency_s:.2f} s after the end"
    shown = " ".join(tal("plan", "inspect", tmp_path / "p.plan").stdout.split())
    assert promised in shown
    done = tal(*how, "--stream-options", "window=1")
    assert done.returncode == 2
    assert "step is 2.0, must be in (0, window (1.0)]" in done.stderr
