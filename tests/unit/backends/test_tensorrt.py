"""Engines of TensorRT-RTX, really built on this machine for cards that are not here; what they say of themselves."""

from __future__ import annotations

import json
import platform
import sys
from contextlib import suppress

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from typer.testing import CliRunner

from tal_engine.backends.cuda import CudaDevice
from tal_engine.backends.profile import describe, parse_profile, parse_range, profile_of
from tal_engine.backends.tensorrt.builder import build
from tal_engine.backends.tensorrt.edition import check_targets, load_flavour, make_logger
from tal_engine.backends.tensorrt.inspector import Io, check_io, count, read_builder
from tal_engine.backends.tensorrt.widen import widen_bytes
from tal_engine.cli import plan as plan_cli
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import BackendError, TALError, UsageError
from tal_engine.export.precision import to_half
from tal_engine.plan.archive import parse_plan, read_plan
from tal_engine.plan.fields import Graph, Tensor
from tal_engine.plan.manifest import SPEC

pytestmark = pytest.mark.skipif(
    sys.platform == "darwin" or platform.machine() not in ("x86_64", "AMD64"), reason="TensorRT-RTX is not made for it"
)
TARGETS = ["sm75", "sm80", "sm86", "sm89", "sm120", "sm121"]


@pytest.fixture(scope="module")
def rtx():
    return load_flavour("tensorrt-rtx")


@pytest.fixture(scope="module")
def demo():
    return read_plan(EMBEDDED_PLAN)


@pytest.fixture(scope="module")
def half(demo):
    return {g.member: to_half(demo.files[g.member], g.member)[0] for g in demo.manifest.graphs}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tal(*args):
    return CliRunner().invoke(plan_cli.app, [str(a) for a in args])


def refused(*args):
    """The error that a command ends with."""
    result = tal(*args)
    assert isinstance(result.exception, TALError), result.output
    return result.exception


class TestBuild:
    def test_this_library_builds_for_these_targets(self, rtx):
        assert rtx.targets == TARGETS

    @pytest.mark.parametrize("target", TARGETS)
    def test_head_in_half_for_every_target(self, rtx, demo, half, target):
        graph = demo.manifest.head
        built = build(rtx, half["head.onnx"], graph, profile_of(graph, {"T": (1, 100, 2000)}), [target])
        record = built.record
        assert record.member == f"head.tensorrt-rtx.{target}.engine"
        assert record.targets == [target]
        assert record.profile == {"B": (1, 1, 8), "T": (1, 100, 2000)}
        assert record.layers["fp16"] > 0.8 * sum(record.layers.values()) > 8
        assert record.bytes == len(built.engine) > 1_000_000
        assert built.timing == b""

    @pytest.mark.parametrize("member", ["head.onnx", "encoder_rgb.onnx", "encoder_flow.onnx"])
    def test_whole_precision_is_not_half(self, rtx, demo, member):
        graph = next(g for g in demo.manifest.graphs if g.member == member)
        built = build(rtx, demo.files[member], graph, profile_of(graph, {}), ["sm89"])
        assert set(built.record.layers) == {"fp32"}

    def test_one_engine_for_all_targets(self, rtx, demo, half):
        graph = demo.manifest.head
        built = build(rtx, half["head.onnx"], graph, profile_of(graph, {}), TARGETS)
        assert built.record.targets == TARGETS
        assert built.record.member == "head.tensorrt-rtx.sm75-sm80-sm86-sm89-sm120-sm121.engine"

    def test_what_a_card_cannot_do_is_named(self, rtx, demo):
        graph = demo.manifest.head
        with pytest.raises(BackendError, match=r"head.onnx: .* for sm75 cannot build it with B=.*FP32 GEMM"):
            build(rtx, demo.files["head.onnx"], graph, profile_of(graph, {}), ["sm75"])

    def test_parser_errors_name_the_node(self, rtx):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 4])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 4])
        node = helper.make_node("Bernoulli", ["x"], ["y"], name="coin")
        model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 18)])
        tensors = [Tensor(name=n, dtype="float32", shape=["B", 4]) for n in "xy"]
        graph = Graph(member="coin.onnx", inputs=tensors[:1], outputs=tensors[1:])
        with pytest.raises(BackendError, match=r"coin.onnx: the parser refuses coin \(Bernoulli\)"):
            build(rtx, model.SerializeToString(), graph, {"B": (1, 1, 1)}, ["sm89"])

    def test_a_graph_that_is_cut_off(self, rtx, demo):
        graph = demo.manifest.head
        with pytest.raises(BackendError, match="is not an ONNX graph"):
            build(rtx, demo.files["head.onnx"][:1000], graph, profile_of(graph, {}), ["sm89"])

    @pytest.mark.parametrize("change", [{"name": "video"}, {"shape": ["B", 128]}, {"dtype": "float16"}])
    def test_engine_is_held_against_the_manifest(self, rtx, demo, change):
        head = demo.manifest.head
        wrong = head.model_copy(update={"inputs": [head.inputs[0].model_copy(update=change), head.inputs[1]]})
        with pytest.raises(BackendError, match=r"head.onnx: .*manifest says"):
            build(rtx, demo.files["head.onnx"], wrong, {"B": (1, 1, 1), "T": (1, 10, 20)}, ["sm89"])

    def test_targets(self, rtx):
        with pytest.raises(UsageError, match="target is 'sm90', must be one of sm75, sm80"):
            check_targets(rtx, ["sm90"], None)
        with pytest.raises(BackendError, match="the NVIDIA card at hand, and there is none"):
            check_targets(rtx, [], None)
        assert check_targets(rtx, [], "sm90") == ["sm90"]
        assert check_targets(rtx, ["sm89", "sm89"], None) == ["sm89"]

    def test_no_card_loads_no_engine(self, rtx, demo, half):
        """Why layers are read from what the builder lists: the library's own inspector needs a card."""
        with pytest.raises(BackendError, match="cuda:7: this machine has"):
            CudaDevice(7)
        try:
            CudaDevice(0)
        except BackendError:
            graph = demo.manifest.head
            engine = build(rtx, half["head.onnx"], graph, profile_of(graph, {}), ["sm89"]).engine
            logger = make_logger(rtx.module)
            assert rtx.module.Runtime(logger).deserialize_cuda_engine(engine) is None
            assert "CUDA" in logger.complaints()

    def test_unknown_flavour(self):
        with pytest.raises(UsageError, match="TensorRT flavour is 'trt', must be tensorrt or tensorrt-rtx"):
            load_flavour("trt")


class TestListing:
    def test_a_layer_has_its_narrowest_type(self):
        layers = [["Float", "Float"], ["Float", "Half"], ["Int8", "Half", "Float"], ["Int64"], [], ["BFloat16"]]
        assert count(layers) == {"int8": 1, "fp16": 1, "bf16": 1, "fp32": 1, "other": 1}

    def test_no_table(self):
        assert read_builder(["Layer fusion", "done"]) is None

    def test_another_profile_is_seen(self, demo):
        shapes = ((1, 1, 128), (1, 100, 128), (8, 200, 128))
        io = [Io(n, True, "float32", (-1, -1, 128), shapes) for n in ("rgb", "flow")]
        io += [Io("cas", False, "float32", (-1, -1, 13)), Io("attention", False, "float32", (-1, -1))]
        check_io(io, demo.manifest.head, {"B": (1, 1, 8), "T": (1, 100, 200)})
        with pytest.raises(BackendError, match="not the profile that was asked"):
            check_io(io, demo.manifest.head, {"B": (1, 1, 8), "T": (1, 100, 201)})


class TestWideBytes:
    """`widen_bytes` against onnx and ONNX Runtime."""

    def test_same_values(self, demo, rng):
        member = "encoder_rgb.onnx"
        changed = widen_bytes(demo.files[member])
        onnx.checker.check_model(onnx.load_from_string(changed), full_check=True)
        frames = rng.integers(0, 256, (3, 16, 112, 112, 3), dtype=np.uint8)
        before, after = (
            ort.InferenceSession(g).run(None, {"frames": frames})[0] for g in (demo.files[member], changed)
        )
        assert np.array_equal(before, after)

    def test_nothing_to_do(self, demo):
        assert widen_bytes(demo.files["head.onnx"]) is demo.files["head.onnx"]

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.sampled_from([TensorProto.UINT8, TensorProto.FLOAT]), min_size=1, max_size=4),
        st.integers(1, 400),
    )
    def test_as_onnx_would(self, kinds, width):
        """Against the same edit by the onnx package."""
        names = [f"x{i}" * (1 + i * 50) for i in range(len(kinds))]
        inputs = [helper.make_tensor_value_info(n, k, [2, width]) for n, k in zip(names, kinds, strict=True)]
        nodes = [helper.make_node("Cast", [n], [f"y{i}"], to=TensorProto.FLOAT) for i, n in enumerate(names)]
        outputs = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [2, width]) for i in range(len(names))]
        model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs))
        got = onnx.load_from_string(widen_bytes(model.SerializeToString()))
        bytes_in = [n for n, k in zip(names, kinds, strict=True) if k == TensorProto.UINT8]
        for node in model.graph.node:
            node.input[0] += "_wide" if node.input[0] in bytes_in else ""
        casts = [helper.make_node("Cast", [n], [f"{n}_wide"], name=f"{n}_wide", to=TensorProto.FLOAT) for n in bytes_in]
        nodes = [*casts, *model.graph.node]
        assert list(got.graph.node) == nodes
        assert list(got.graph.input) == inputs

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=60))
    def test_any_bytes(self, data):
        with suppress(ValueError):
            assert widen_bytes(data) == data


class TestProfile:
    def test_range(self):
        assert parse_range("1:320:4096", "T") == (1, 320, 4096)
        assert parse_range("7", "T") == (7, 7, 7)

    @pytest.mark.parametrize("text", ["", "0:1:2", "3:2:4", "1:2", "a", "1:2:3:4", "-1:2:3", "1:5:4"])
    def test_range_that_is_none(self, text):
        with pytest.raises(UsageError, match="must be LEAST:BEST:LARGEST"):
            parse_range(text, "T")

    def test_names(self, demo):
        asked = parse_profile(["T=1:2:3,P=4", "B=1:8:16"])
        assert asked == {"T": (1, 2, 3), "P": (4, 4, 4), "B": (1, 8, 16)}
        assert describe(profile_of(demo.manifest.head, asked)) == "B=1:8:16,T=1:2:3"

    @pytest.mark.parametrize("texts", [["T"], ["Q=1"], ["T=1", "T=2"], ["B=1,B=2"]])
    def test_names_that_are_wrong(self, texts):
        with pytest.raises(UsageError, match="profile is"):
            parse_profile(texts)


class TestCommand:
    def test_embed_and_unpack(self, plan_path, tmp_path, cache):
        out = tmp_path / "with.plan"
        args = ["--backend", "tensorrt-rtx", "--sm", "8.9,sm120", "--profile", "T=1:50:500", "--profile", "B=2:4:8"]
        result = tal("build", plan_path, *args, "--embed", "-o", out)
        assert result.exit_code == 0, result.output
        plan = parse_plan(out.read_bytes())
        assert {t for r, _ in plan.engines for t in r.targets} == {"sm89", "sm120"}
        assert {r.graph for r, _ in plan.engines} == {g.member for g in plan.manifest.graphs}
        assert all(r.profile["B"] == (2, 4, 8) for r, _ in plan.engines)
        assert plan.manifest.schema_.spec == SPEC
        assert tal("unpack", out, "-o", tmp_path / "files").exit_code == 0
        for record, engine in plan.engines:
            assert (tmp_path / "files" / record.member).read_bytes() == engine
        # A second build takes them from the cache, and a plan's engines are replaced, not doubled.
        kept = {p.name: p.stat().st_mtime_ns for p in (cache / "engines").glob("*.engine")}
        assert tal("build", out, *args, "--embed").exit_code == 0
        assert {p.name: p.stat().st_mtime_ns for p in (cache / "engines").glob("*.engine")} == kept
        assert len(read_plan(out).engines) == len(plan.engines)

    def test_folder(self, plan_path, tmp_path):
        args = ["--backend", "tensorrt-rtx", "--sm", "89", "-o", tmp_path / "engines"]
        assert tal("build", plan_path, *args).exit_code == 0
        record = json.loads((tmp_path / "engines" / "head.tensorrt-rtx.sm89.engine.json").read_text())
        assert record["bytes"] == (tmp_path / "engines" / "head.tensorrt-rtx.sm89.engine").stat().st_size

    @pytest.mark.parametrize(
        ("args", "status", "message"),
        [
            (["--sm", "90"], 2, "target is 'sm90'"),
            (["--sm", "x"], 2, "--sm is 'x'"),
            (["--sm", "89", "--profile", "H=1:2:3"], 2, "profile of H: no graph of the plan has"),
            (["--sm", "89", "--timing-cache", "t"], 2, "--timing-cache: TensorRT-RTX .* has none"),
            (["--sm", "75"], 4, "FP32 GEMM"),
            (["--sm", "89", "--precision", "int8"], 2, "--calibration belongs to --precision int8"),
            (["--sm", "89", "--calibration", "x.npz"], 2, "--calibration belongs to --precision int8"),
        ],
    )
    def test_what_it_refuses(self, plan_path, tmp_path, args, status, message):
        error = refused("build", plan_path, "--backend", "tensorrt-rtx", *args, "-o", tmp_path / "x")
        assert error.exit_code == status
        with pytest.raises(type(error), match=message):
            raise error
        assert not (tmp_path / "x").exists()

    def test_onnxruntime_builds_no_engines(self, plan_path, tmp_path):
        with pytest.raises(UsageError, match="--sm is for engines"):
            raise refused("build", plan_path, "--backend", "onnxruntime", "--sm", "89", "-o", tmp_path / "x.plan")
        with pytest.raises(UsageError, match="needs --output"):
            raise refused("build", plan_path, "--backend", "onnxruntime")

    def test_onnxruntimes_own_engines_need_a_card(self, plan_path, tmp_path):
        error = refused("build", plan_path, "--backend", "ort-trt")
        assert error.exit_code == 4
        assert "ort-tensorrt" in str(error)
        with pytest.raises(UsageError, match="--profile is for engines that we build"):
            raise refused("build", plan_path, "--backend", "ort-trt", "--profile", "T=1:8:16")
        with pytest.raises(UsageError, match="write it with --backend onnxruntime"):
            raise refused("build", plan_path, "--backend", "ort-trt", "--precision", "fp16")

    def test_the_packages_own_plan_is_not_changed(self):
        with pytest.raises(UsageError, match="would change the plan that ships"):
            raise refused("build", "--backend", "tensorrt-rtx", "--sm", "89", "--embed")

    def test_a_folder_it_is_not(self, plan_path, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="is not a folder; with --embed a plan is written"):
            raise refused("build", plan_path, "--backend", "tensorrt-rtx", "--sm", "89", "-o", tmp_path / "file")

    def test_work_that_nothing_keeps_is_an_error(self, plan_path, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("not a folder")
        monkeypatch.setenv("TAL_CACHE", str(tmp_path / "file"))
        args = ("build", plan_path, "--backend", "tensorrt-rtx", "--sm", "89", "--profile", "T=1:8:16")
        assert "cannot keep head.tensorrt-rtx.sm89.engine" in str(tal(*args).exception)
        assert tal(*args, "-o", tmp_path / "engines").exit_code == 0

    def test_embedded_engine_that_was_changed(self, plan_path, tmp_path):
        out = tmp_path / "with.plan"
        tal("build", plan_path, "--backend", "tensorrt-rtx", "--sm", "89", "--embed", "-o", out)
        engine = read_plan(out).engines[0][1]
        data = bytearray(out.read_bytes())
        data[data.index(engine[:64]) + 5000] ^= 1
        with pytest.raises(TALError, match=r"engine' is damaged|engine' was changed"):
            parse_plan(bytes(data))
