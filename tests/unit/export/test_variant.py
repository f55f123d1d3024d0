"""Plans in other precisions from a float32 plan: what they hold, what the gate says, which data are refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import nn

from tal_engine import TALEngine
from tal_engine.backends import open_backend
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import ExportError, FeatureError, ParityError, UsageError
from tal_engine.export import bundle, gate, quantize
from tal_engine.export.bfloat import emulated, to_bfloat
from tal_engine.export.calibration import Calibration, Recorder
from tal_engine.export.eager import EagerBackend
from tal_engine.export.planar import to_planar
from tal_engine.export.quantize import to_int8
from tal_engine.export.to_onnx import to_onnx
from tal_engine.export.variant import make_variant, runnable
from tal_engine.features import save_features
from tal_engine.lab.nn.temporal import ConvBlock
from tal_engine.plan.archive import read_plan
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tests.makers import tiny_plan
from tests.unit.export.test_operators import graph
from tests.unit.export.test_precision import a_checkpoint


class Net(nn.Module):
    """Two convolutions over time and a small classifier, which stays wide."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([ConvBlock(32, 256, 3, 0.0), ConvBlock(256, 256, 1, 0.0)])
        self.last = nn.Linear(256, 2)

    def forward(self, x):
        y = x.transpose(1, 2)
        for layer in self.layers:
            y = layer(y)
        return self.last(y.transpose(1, 2)) * x.mean()


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def content(net):
    return to_onnx(net, {"x": torch.randn(1, 9, 32)}, {0: "B", 1: "T"}, "g.onnx")[0]


def inputs(count, length=40, seed=0):
    rng = np.random.default_rng(seed)
    return [{"x": rng.normal(size=(1, length, 32)).astype(np.float32)} for _ in range(count)]


def worst(a, b, feeds):
    return max(gate.difference(a.run(x), b.run(x)) for x in feeds)


def test_convolutions_over_time_become_planar(net, content):
    model = onnx.load_from_string(content)
    ranks = {len(i.dims) for i in model.graph.initializer if "conv.weight" in i.name}
    assert ranks == {4}
    # Between the two there is nothing but the activation: no way back and forth.
    assert [n.op_type for n in model.graph.node if "planar_axis" in n.input] == ["Unsqueeze", "Squeeze"]
    assert to_planar(model) is model
    assert worst(EagerBackend(net), open_backend(content, "g", "cpu"), inputs(3)) < 1e-5


def test_int8_runs_in_int8(net, content, tmp_path):
    """Not only the file is quantized: the runtime fuses every heavy operator, and leaves no unpacked weights."""
    narrow, share = to_int8(content, "g.onnx", inputs(4))
    assert (share.nodes, share.wide_nodes) == (2, 1)
    assert share.bytes == 32 * 256 * 3 + 256 * 256
    stored = onnx.load_from_string(narrow).graph.initializer
    zeros = [i for i in stored if i.data_type == TensorProto.INT8 and "zero_point" in i.name]
    assert len(zeros) > 2
    assert not any(onnx.numpy_helper.to_array(z).any() for z in zeros)
    assert TensorProto.INT32 not in {i.data_type for i in stored}
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "o.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(narrow, options, providers=["CPUExecutionProvider"])
    kinds = [n.op_type for n in onnx.load(tmp_path / "o.onnx").graph.node]
    assert kinds.count("QLinearConv") == 2
    assert not {"Conv", "FusedConv"} & set(kinds)
    assert 1e-4 < worst(EagerBackend(net), open_backend(narrow, "g", "cpu"), inputs(3, seed=9)) < 0.05


def test_int8_weights_that_levels_share_are_apart(monkeypatch):
    """With AVX2 alone ONNX Runtime does not load a graph where two operators read the same int8 weights."""

    class Tower(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared = ConvBlock(32, 32, 3, 0.0)

        def forward(self, x):
            y = x.transpose(1, 2)
            return self.shared(self.shared(y)).transpose(1, 2)

    torch.manual_seed(0)
    tower = Tower().eval()
    wide = to_onnx(tower, {"x": torch.randn(1, 9, 32)}, {0: "B", 1: "T"}, "t.onnx")[0]
    narrow, share = to_int8(wide, "t.onnx", inputs(4))
    assert share.nodes == 2
    graph = onnx.load_from_string(narrow).graph
    weights = {i.name for i in graph.initializer if i.data_type == TensorProto.INT8 and len(i.dims) == 4}
    pairs = [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in weights]
    assert len({n.input[0] for n in pairs}) == len(pairs) == 2
    assert all(sum(pair.output[0] in n.input for n in graph.node) == 1 for pair in pairs)
    open_backend(narrow, "t", "cpu")
    monkeypatch.setattr(quantize, "_apart", lambda model: None)
    shared = to_int8(wide, "t.onnx", inputs(4))[0]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    as_written = [
        onnxruntime.InferenceSession(g, options, providers=["CPUExecutionProvider"]) for g in (shared, narrow)
    ]
    (before,), (after,) = (session.run(None, inputs(1, seed=9)[0]) for session in as_written)
    np.testing.assert_array_equal(before, after)  # the same function, with more room
    assert len(narrow) > len(shared)


def test_bf16_rounds_as_bfloat16_does(net, content):
    narrow, share = to_bfloat(content, "g.onnx")
    assert share.bytes > 100 * share.wide_bytes
    model = onnx.load_from_string(narrow)
    assert [t.type.tensor_type.elem_type for t in (*model.graph.input, *model.graph.output)] == [TensorProto.FLOAT] * 2
    assert TensorProto.FLOAT16 not in {i.data_type for i in model.graph.initializer}
    (weight,) = (i for i in model.graph.initializer if i.name.endswith("layers.1.conv.weight"))
    wanted = net.layers[1].conv.weight.detach().bfloat16().float().numpy()
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weight).astype(np.float32)[:, :, 0], wanted)
    rounded = open_backend(emulated(narrow), "g", "cpu")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        x = inputs(1)[0]
        reference = net(torch.from_numpy(x["x"])).float().numpy()
    away = gate.difference({"feature": reference}, rounded.run(x))
    assert away < 0.02
    assert 1e-4 < worst(EagerBackend(net), rounded, inputs(3)) < 0.02


@pytest.fixture
def plan(text, tmp_path):
    return bundle.make_plan(a_checkpoint(tmp_path / "c", text, "pvlr"), None, name="p")


def feature_files(folder, plan, count=5, **changes):
    rng = np.random.default_rng(0)
    for i in range(count):
        widths = {**plan.manifest.streams, **changes}
        streams = {n: np.abs(rng.normal(size=(50, w))).astype(np.float32) for n, w in widths.items()}
        save_features(folder / f"v{i}.npz", Features(streams, Timeline(0, 1, 1), 50.0))
    return sorted(folder.glob("v*.npz"))


def test_calls_are_kept_of_all_of_a_long_video():
    """Encoders are called a hundred times a video: what is kept of each is as much, and not its beginning."""

    class Echo:
        description = "echo"

        def run(self, feeds):
            return dict(feeds)

    kept = []
    recorder = Recorder(Echo(), kept)
    for first, calls in ((0, 100), (1000, 2), (2000, 100)):
        recorder.next_file()
        for i in range(calls):
            assert recorder.run({"x": np.array([first + i])})["x"] == first + i
    values = [int(x["x"][0]) for x in kept]
    files = [[v for v in values if v // 1000 == i] for i in range(3)]
    assert [len(set(f)) for f in files] == [4, 2, 4]
    assert max(files[0]) > 20
    assert max(files[2]) > 2020
    recorder.join()
    assert [len(x["x"]) for x in kept] == [1] * 6 + [4]


def test_int8_plan(text, tmp_path):
    """A head with an evaluator: both are calibrated, checked on files that calibration has not seen, and labelled."""
    plan = bundle.make_plan(a_checkpoint(tmp_path / "c", text, "apn"), None, name="p")
    files = feature_files(tmp_path, plan)
    made = make_variant(plan, "int8", Calibration(files))
    assert made.manifest.precision == "int8"
    assert made.manifest.head == plan.manifest.head
    for part in made.manifest.parity.values():
        assert part["against"] == "fp32"
        assert part["int8_bytes"] > 0
        assert 0 < part["tensor"] < gate.LIMITS["int8"].tensor
    for member in ("head.onnx", "evaluator.onnx"):
        props = {p.key: p.value for p in onnx.load_from_string(made.files[member]).metadata_props}
        assert props["precision"] == "int8"
        assert props["names"] == '["run", "jump", "sit down"]'
        assert (props["plan"], props["method"]) == ("p", "apn")
    assert list(TALEngine(made, "cpu").localize(files[0], min_score=-np.inf))


def test_bare_graphs_keep_their_labels(plan):
    graph = onnxruntime.InferenceSession(plan.files["head.onnx"], providers=["CPUExecutionProvider"])
    found = graph.get_modelmeta().custom_metadata_map
    assert found["names"] == '["run", "jump", "sit down"]'
    assert (found["precision"], found["plan"], found["method"]) == ("fp32", "p", "pvlr")


def test_bf16_plans_are_emulated_where_they_cannot_run(plan):
    made = make_variant(plan, "bf16")
    assert made.manifest.parity["head"]["bf16_nodes"] > 10
    assert runnable(plan) is plan
    rng = np.random.default_rng(0)
    streams = {n: rng.normal(size=(30, w)).astype(np.float32) for n, w in plan.manifest.streams.items()}
    assert list(TALEngine(runnable(made), "cpu").localize(streams, min_score=-np.inf))


def test_the_gate_refuses(plan, tmp_path, monkeypatch):
    monkeypatch.setitem(gate.LIMITS, "int8", gate.FP32)
    with pytest.raises(ParityError, match=r"head\.onnx: differs by .* allowed is 0\.0001") as e:
        make_variant(plan, "int8", Calibration(feature_files(tmp_path, plan)))
    assert e.value.exit_code == 3


def test_precision_that_is_not_obtained():
    with pytest.raises(ExportError, match=r"g\.onnx: cannot be quantized to int8"):
        to_int8(b"no graph", "g.onnx", inputs(1))
    full = TensorProto.FLOAT
    head = graph(
        [("MatMul", ["x", "w"], ["y"], {}), ("Add", ["y", "c"], ["z"], {})], [("x", full, [1, 5, 4])],
        [("z", full, [30, 5, 4])], [("w", full, np.ones((4, 4))), ("c", full, np.ones((30, 1, 4)))],
    )  # fmt: skip
    with pytest.raises(ExportError, match=r"h\.onnx: int8 was asked for, but only 16 bytes .* stay fp32"):
        to_int8(head, "h.onnx", [{"x": np.ones((1, 5, 4), np.float32)}])


def test_calibration_data_that_cannot_be_used(plan, tmp_path):
    good = feature_files(tmp_path, plan, 1)[0]
    with pytest.raises(UsageError, match=r"calibration is .*, must be at least one feature file or video"):
        Calibration([])
    with pytest.raises(UsageError, match="int8 needs calibration data"):
        make_variant(plan, "int8")
    with pytest.raises(UsageError, match="fp16 takes no calibration"):
        make_variant(plan, "fp16", Calibration([good]))
    with pytest.raises(UsageError, match="precision is 'int4'"):
        make_variant(plan, "int4")
    with pytest.raises(UsageError, match="precision of plan p is 'fp16', must be 'fp32'"):
        make_variant(make_variant(plan, "fp16"), "bf16")
    with pytest.raises(FeatureError, match=r"no\.npz: no such feature file"):
        make_variant(plan, "int8", Calibration([tmp_path / "no.npz"]))
    with pytest.raises(UsageError, match=r"a\.mp4: plan p has no encoders"):
        make_variant(plan, "int8", Calibration([tmp_path / "a.mp4"]))
    (tmp_path / "w").mkdir()
    wide = feature_files(tmp_path / "w", plan, 1, rgb=5)
    with pytest.raises(FeatureError, match=r"v0\.npz: stream 'rgb' is 5 wide, the head reads 8"):
        make_variant(plan, "int8", Calibration(wide))
    arrays = dict(np.load(good))
    arrays["rgb"][3, 2] = np.nan
    np.savez(good, **arrays)
    with pytest.raises(FeatureError, match=r"v0\.npz: stream 'rgb': feature 3 is NaN"):
        make_variant(plan, "int8", Calibration([good]))
    arrays = {n: a[:0] if a.ndim else a for n, a in arrays.items()}
    np.savez(good, **arrays)
    with pytest.raises(FeatureError, match=r"v0\.npz: it has no values"):
        make_variant(plan, "int8", Calibration([good]))


def test_encoders_are_calibrated_on_videos(clip, tmp_path):
    """Features alone cannot calibrate what made them."""
    plan = tiny_plan()
    features = TALEngine(plan, "cpu").features(clip)
    save_features(tmp_path / "v.npz", features)
    with pytest.raises(UsageError, match="encoder test-rgb of stream 'rgb' is calibrated on videos"):
        make_variant(plan, "int8", Calibration([tmp_path / "v.npz"]))
    embedded = read_plan(EMBEDDED_PLAN)
    made = make_variant(embedded, "int8", Calibration([clip]))
    assert made.manifest.parity["encoder rgb"]["int8_nodes"] >= 5
    assert made.manifest.parity["encoder flow"]["int8_bytes"] > 4e5
    assert len(made.files["encoder_rgb.onnx"]) < 0.4 * len(embedded.files["encoder_rgb.onnx"])


def test_no_torch_is_needed():
    code = (
        "import sys; from tal_engine.engine import EMBEDDED_PLAN; from tal_engine.plan.archive import read_plan;"
        "from tal_engine.export import diff, operators; from tal_engine.export.variant import make_variant;"
        "make_variant(read_plan(EMBEDDED_PLAN), 'fp16'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
