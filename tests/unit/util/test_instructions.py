"""8-bit sums are exact whatever the processor; which instructions it has is found, said, and kept by the gate."""

from __future__ import annotations

import json
import logging

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from tal_engine import TALEngine
from tal_engine._util.instructions import Instructions, _by_linux, _by_numpy, instructions, named
from tal_engine.backends import RunOptions, open_backend, ort
from tal_engine.backends.ort import OrtBackend
from tal_engine.diagnostics.doctor import examine
from tal_engine.errors import ParityError
from tal_engine.export import bundle, gate, regate
from tal_engine.export.calibration import Calibration
from tal_engine.export.variant import make_variant
from tal_engine.plan.archive import with_members, write_plan
from tal_engine.plan.int8 import int8_notes
from tests.integration.test_cli import tal
from tests.makers import tiny_plan
from tests.unit.export.test_operators import graph
from tests.unit.export.test_precision import a_checkpoint
from tests.unit.export.test_variant import feature_files

F, I8 = TensorProto.FLOAT, TensorProto.INT8
HASWELL = "fpu sse4_1 sse4_2 avx f16c fma avx2 bmi2"


@pytest.mark.parametrize(
    ("processor", "flags", "found", "saturate"),
    [
        ("x86_64", HASWELL, "sse4.1, avx, avx2", True),
        ("x86_64", f"{HASWELL} avx512f avx512bw avx512vl", "sse4.1, avx, avx2, avx512", True),
        ("x86_64", f"{HASWELL} avx512f avx512bw avx512_vnni", "sse4.1, avx, avx2, avx512, avx512_vnni", False),
        ("x86_64", f"{HASWELL} avx_vnni", "sse4.1, avx, avx2, avx_vnni", False),
        ("x86_64", "SSE41 AVX AVX2 AVX512BW AVX512VNNI", "sse4.1, avx, avx2, avx512, avx512_vnni", False),
        ("x86_64", "", "unknown", True),
        ("aarch64", "fp asimd", "neon", False),
        ("aarch64", "fp asimd asimddp i8mm", "neon, dotprod, i8mm", False),
        ("riscv64", "", "unknown", False),
    ],
)
def test_instruction_sets(processor, flags, found, saturate):
    here = named(processor, set(flags.split()))
    assert str(here) == f"{processor}: {found}"
    assert here.saturate is saturate


def test_the_ways_to_find_them_agree():
    """NumPy, which is asked on Windows and macOS, names what Linux names; it knows no AVX-VNNI."""
    here = instructions()
    if not _by_linux():
        pytest.skip("no /proc/cpuinfo")
    known = set(here.found) - {"avx_vnni"}
    assert set(named(here.processor, _by_numpy()).found) - {"avx_vnni"} == known


def product():
    """A quantized product of 64 x 127 x 127, whose pairs do not fit 16 bits: [1, 64] -> [1, 32]."""
    one = [("one", F, 1.0), ("zero", I8, 0)]
    pair = [
        ("QuantizeLinear", ["x", "one", "zero"], ["xq"], {}), ("DequantizeLinear", ["xq", "one", "zero"], ["xd"], {}),
        ("DequantizeLinear", ["w", "one", "zero"], ["wd"], {}), ("MatMul", ["xd", "wd"], ["y"], {}),
    ]  # fmt: skip
    weights = ("w", I8, np.full((64, 32), 127))
    return graph(pair, [("x", F, [1, 64])], [("y", F, [1, 32])], [*one, weights])


def test_sums_are_exact_on_every_processor():
    x = {"x": np.full((1, 64), 127, np.float32)}
    exact = 64 * 127 * 127
    for backend in (open_backend(product(), "g", "cpu"), OrtBackend(product(), "g", RunOptions(), literal=True)):
        np.testing.assert_array_equal(backend.run(x)["y"], exact)


def test_what_is_found_is_what_the_runtime_does():
    """Without the option, sums saturate where `saturate` says so, and nowhere else."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(product(), options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.full((1, 64), 127, np.float32)})
    assert bool((y != 64 * 127 * 127).any()) is instructions().saturate


@pytest.fixture(scope="module")
def int8(tmp_path_factory):
    """An int8 plan with a trained-like random head and an evaluator, gated here; and a file of features."""
    import torch

    from tal_engine.lab.nn.tiny import TinyText

    torch.manual_seed(0)
    text = TinyText(["run", "jump", "sit", "down"]).eval().requires_grad_(False)
    folder = tmp_path_factory.mktemp("int8")
    plan = bundle.make_plan(a_checkpoint(folder / "c", text, "apn"), None, name="p")
    files = feature_files(folder, plan)
    return make_variant(plan, "int8", Calibration(files)), files[0]


def moved(plan, where):
    """The plan as if its gate had run on another processor; None: as plans were before that was kept."""
    parts = {n: {k: v for k, v in p.items() if k != "instructions"} for n, p in plan.manifest.parity.items()}
    if where is not None:
        parts = {n: {**p, "instructions": where} for n, p in parts.items()}
    return with_members(plan.manifest.model_copy(update={"parity": parts}), plan.files)


def test_the_gate_keeps_where_it_ran(int8):
    plan = int8[0]
    assert {p["instructions"] for p in plan.manifest.parity.values()} == {str(instructions())}
    assert regate.gated_elsewhere(plan) == []
    assert regate.gated_elsewhere(moved(plan, "x86_64: avx9")) == ["x86_64: avx9"]
    assert regate.gated_elsewhere(moved(plan, None)) == ["not recorded"]


def test_plans_from_elsewhere_are_gated_again(int8, tmp_path):
    write_plan(tmp_path / "a.plan", int8[0])
    here = tal("plan", "verify", str(tmp_path / "a.plan"))
    assert (here.returncode, "gate:" in here.stdout) == (0, False)
    write_plan(tmp_path / "b.plan", moved(int8[0], "x86_64: avx9"))
    there = tal("plan", "verify", str(tmp_path / "b.plan"))
    assert there.returncode == 0, there.stderr
    assert f"gate: ran on x86_64: avx9, this is {instructions()}: run again" in there.stdout


def test_a_plan_that_computes_otherwise_here_is_refused(int8, monkeypatch):
    """A runtime that saturates, or does anything else wrong, does not pass."""
    plan = int8[0]
    right = regate.gate_here(plan)
    assert set(right) == {"head", "evaluator"}
    assert all(part["tensor"] <= gate.LIMITS["int8"].tensor for part in right.values())

    class Clipped(OrtBackend):
        def run(self, feeds):
            return {n: np.minimum(a, np.quantile(a, 0.5)) for n, a in super().run(feeds).items()}

    monkeypatch.setattr(ort, "OrtBackend", Clipped)
    with pytest.raises(ParityError, match=r"head\.onnx: .*differ"):
        regate.gate_here(plan)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_other_precisions_are_gated_again_too(precision, text, tmp_path):
    plan = bundle.make_plan(a_checkpoint(tmp_path / "c", text, "pvlr"), None, name="p")
    plan = plan if precision == "fp32" else make_variant(plan, precision)
    assert regate.gate_here(plan)["head"]["segments"] > 0
    assert int8_notes(plan.manifest) == []


@pytest.mark.parametrize(
    ("here", "where", "said"),
    [
        ("x86_64 avx2", "x86_64: sse4.1, avx, avx2", ["int8 without VNNI (x86_64: sse4.1, avx, avx2): sums are kept"]),
        ("x86_64 avx2", "x86_64: avx9", ["int8 without VNNI", "was gated on x86_64: avx9, this is x86_64: sse4.1"]),
        ("x86_64 vnni", "x86_64: avx9", ["was gated on x86_64: avx9, this is x86_64: avx_vnni"]),
        ("x86_64 vnni", None, ["was gated on unknown instructions, this is"]),
        ("x86_64 vnni", "x86_64: avx_vnni", []),
    ],
)
def test_results_and_doctor_say_it(here, where, said, int8, monkeypatch, tmp_path):
    found = {"avx2": ("sse4.1", "avx", "avx2"), "vnni": ("avx_vnni",)}[here.split()[1]]
    monkeypatch.setattr("tal_engine.plan.int8.instructions", lambda: Instructions("x86_64", found))
    plan, features = moved(int8[0], where), int8[1]
    warnings = TALEngine(plan, "cpu").localize(features).info.warnings
    notes = [w for w in warnings if w.startswith("int8")]
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))
    write_plan(tmp_path / "p.plan", plan)
    doctor = examine(tmp_path / "p.plan", "cpu")
    told = [f for f in doctor.findings if f.what.startswith("int8")]
    assert [f.level for f in told] == ["note"] * len(said)
    assert [bool(f.fix) for f in told] == ["was gated" in part for part in said]
    assert doctor.status == 0
    assert json.loads(json.dumps(doctor.document))["machine"]["instructions"] == str(instructions())


def test_calibration_that_is_too_small_is_said(tmp_path, caplog):
    plan = tiny_plan(encoders=False)
    few, many = tmp_path / "few", tmp_path / "many"
    for folder, count in ((few, 1), (many, 12)):
        folder.mkdir()
        feature_files(folder, plan, count)
    for folder, said in ((few, True), (many, False)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "tal_engine"):
            made = make_variant(plan, "int8", Calibration(sorted(folder.glob("*.npz"))))
        assert ("calibration is small: 1 file, 50 snippets" in caplog.text) is said
        assert ("the gate sees the file that was calibrated on" in caplog.text) is said
        count = 1 if said else 12
        assert made.manifest.provenance["calibration"] == {
            "files": count, "snippets": 50 * count, "held_out": not said,
        }  # fmt: skip
