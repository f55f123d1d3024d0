"""tal plan doctor: what it says of sound, damaged and foreign plans, and of machines with and without cards."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tal_engine import backends
from tal_engine._util import hardware
from tal_engine._util.hardware import Cards, Gpu, cards, this_machine
from tal_engine.cli.plan_doctor import _print
from tal_engine.diagnostics.doctor import examine, incompatibilities
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import BackendError, MissingExtraError, PlanError, UsageError
from tal_engine.plan.archive import parse_plan, plan_bytes, with_engines, with_members, write_plan
from tal_engine.plan.fields import EngineRecord
from tal_engine.plan.graph_contents import contents
from tests.integration.test_cli import tal
from tests.makers import encoder_graph, head_graph, tiny_plan

ADA = Gpu(0, "NVIDIA RTX 4090", "sm89", 24564, 24000)


def record(plan, **changes):
    fields = {
        "member": "head.sm89.engine", "graph": "head.onnx",
        "graph_sha256": hashlib.sha256(plan.files["head.onnx"]).hexdigest(), "flavour": "tensorrt-rtx",
        "version": "1.7.1", "targets": ["sm89"], "platform": this_machine().platform,
        "profile": {"B": (1, 1, 8), "T": (1, 320, 4096)}, "layers": {"fp16": 12}, "bytes": 6,
        "sha256": hashlib.sha256(b"engine").hexdigest(), "build_seconds": 1.0,
    }  # fmt: skip
    return EngineRecord(**{**fields, **changes})


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Set what this machine has; the user's cache is empty."""
    monkeypatch.setenv("TAL_CACHE", str(tmp_path / "cache"))

    def have(gpus=(), **versions):
        base = this_machine()
        found = replace(base, cards=Cards(list(gpus), "580.1", "13.0"), versions={**base.versions, **versions})
        if "tensorrt_rtx" in versions:
            found.versions["tensorrt-rtx"] = found.versions.pop("tensorrt_rtx")
        else:
            found.versions.pop("tensorrt-rtx", None)
        monkeypatch.setattr("tal_engine.diagnostics.doctor.this_machine", lambda: found)
        return found

    return have


# -- whole plans -------------------------------------------------------------------------------


def test_a_sound_plan_runs(plan_path, machine):
    machine()
    found = examine(plan_path)
    assert (found.status, found.device, found.findings) == (0, "cpu", [])
    assert [(g.member, g.role) for g in found.graphs] == [
        ("head.onnx", "head"),
        ("encoder_rgb.onnx", "encoder of rgb"),
    ]
    for g in found.graphs:
        assert g.error == ""
        assert g.load_ms > 0
        assert g.run_ms > 0
    assert found.graphs[0].ran_on == {"rgb": [1, 32, 4]}
    assert found.graphs[0].precision == "fp32"


def test_the_embedded_plan_runs():
    assert examine(EMBEDDED_PLAN, "cpu").status == 0


def test_document_is_json_and_has_the_schema(plan_path, machine):
    machine([ADA], tensorrt_rtx="1.7.1")
    document = json.loads(json.dumps(examine(plan_path).document))
    assert document["schema"] == "tal.doctor/1"
    assert set(document) == {
        "schema", "path", "machine", "asked", "plan", "graphs", "devices", "engines", "device", "findings", "status",
    }  # fmt: skip
    assert document["machine"]["cards"]["gpus"][0]["target"] == "sm89"


@pytest.mark.parametrize(
    ("damage", "status", "words", "fix"),
    [
        (lambda b: b[: len(b) // 2] + bytes([b[len(b) // 2] ^ 1]) + b[len(b) // 2 + 1 :], 1, "damaged|changed", "copy"),
        (lambda b: b[:-100], 1, "zip structure is broken", "copy the plan again"),
        (lambda b: b"not a plan at all", 1, "not a plan", "copy the plan again"),
    ],
)
def test_damage_is_said_in_words(plan_path, tmp_path, machine, damage, status, words, fix):
    machine()
    bad = tmp_path / "bad.plan"
    bad.write_bytes(damage(plan_path.read_bytes()))
    found = examine(bad)
    (finding,) = found.findings
    assert found.status == status
    assert found.device == ""
    assert finding.level == "error"
    assert any(w in finding.what for w in words.split("|"))
    assert fix in finding.fix


@given(at=st.integers(0, 2**20), bit=st.integers(0, 7))
def test_a_plan_edited_by_one_bit_is_told_or_is_the_same(at, bit):
    plan = tiny_plan()
    data = bytearray(plan_bytes(plan))
    at %= len(data)
    data[at] ^= 1 << bit
    try:
        found = parse_plan(bytes(data))
    except PlanError:  # and no other error
        return
    # A date or a flag of the zip that nothing reads.
    assert found.files == plan.files
    assert found.document == plan.document


def test_a_missing_plan_and_a_newer_one(tmp_path, machine):
    machine()
    assert examine(tmp_path / "no.plan").status == 5
    plan = tiny_plan()
    newer = plan.manifest.model_copy(update={"schema_": plan.manifest.schema_.model_copy(update={"spec": 99})})
    write_plan(tmp_path / "new.plan", with_members(newer, plan.files))
    found = examine(tmp_path / "new.plan")
    assert found.status == 4
    assert "schema.spec is 99" in found.findings[0].what
    assert found.findings[0].fix == "pip install --upgrade tal-engine"


def test_a_graph_that_does_not_load(tmp_path, machine):
    machine()
    plan = tiny_plan()
    write_plan(tmp_path / "x.plan", with_members(plan.manifest, {**plan.files, "encoder_rgb.onnx": b"junk"}))
    found = examine(tmp_path / "x.plan")
    assert (found.status, found.device) == (4, "")
    assert "encoder_rgb.onnx" in found.findings[0].what
    assert [bool(g.error) for g in found.graphs] == [False, True]


def test_a_graph_that_gives_nan(tmp_path, machine, monkeypatch):
    machine()
    monkeypatch.setattr("tests.makers.HEAD", np.full((4, 4), np.nan, np.float32))
    plan = tiny_plan()
    write_plan(tmp_path / "x.plan", plan)
    found = examine(tmp_path / "x.plan")
    assert found.status == 4
    assert "gives cas that is NaN or infinite" in found.findings[0].what


def test_no_runtime_at_all(plan_path, machine, monkeypatch):
    def none(module):
        raise MissingExtraError("onnxruntime is not installed: pip install 'tal-engine[cpu]'")

    machine()
    monkeypatch.setattr(backends.select, "need", none)
    found = examine(plan_path)
    assert (found.status, found.device) == (4, "")
    assert found.findings[0].what == "onnxruntime is not installed"
    assert found.findings[0].fix == "pip install 'tal-engine[cpu]'"
    assert not any(d.installed for d in found.devices if not d.device.startswith("tensorrt"))
    assert [d.device for d in found.devices if d.experimental] == ["tensorrt", "tensorrt-rtx", "ort-tensorrt"]
    assert [g.precision for g in found.graphs] == ["fp32", "fp32"]  # what is inside is told anyhow


def test_what_it_falls_back_to(plan_path, machine, monkeypatch):
    """Asked for by name it is an error; auto only tells."""

    def without_cuda(graph, name, device, options, spec, engines):
        if device.kind == "cuda":
            raise BackendError("cuda: a library is missing: pip install nvidia-cudnn")
        return real(graph, name, device, options, spec, engines)

    real = backends.select._open
    machine()
    monkeypatch.setattr(backends.select, "why_not", lambda d: None if d.kind in ("cuda", "cpu") else "not here")
    monkeypatch.setattr(backends.select, "_open", without_cuda)
    for asked, status, level in (("auto", 0, "warning"), ("cuda", 4, "error")):
        found = examine(plan_path, asked)
        (finding,) = found.findings
        assert (found.status, found.device, finding.level) == (status, "cpu", level)
        assert finding.what == "cuda: a library is missing; falls back to cpu"
        assert finding.fix == "pip install nvidia-cudnn"


def test_unknown_device_is_usage(plan_path):
    with pytest.raises(UsageError, match="'tpu'"):
        examine(plan_path, "tpu")


def test_a_card_that_nothing_uses(plan_path, machine, monkeypatch):
    monkeypatch.setattr(backends.select, "why_not", lambda d: None if d.kind == "cpu" else "not here")
    monkeypatch.setattr("tal_engine.diagnostics.doctor.why_not", lambda d: None if d.kind == "cpu" else "not here")
    machine([ADA])
    (finding,) = examine(plan_path).findings
    assert finding.level == "warning"
    assert "RTX 4090 is not used" in finding.what
    assert "tal-engine[gpu]" in finding.fix


def test_stated_precision_is_held_against_the_weights(tmp_path, machine):
    machine()
    write_plan(tmp_path / "x.plan", tiny_plan(precision="fp16"))
    (finding,) = examine(tmp_path / "x.plan").findings
    assert finding.level == "note"
    assert "states fp16" in finding.what
    assert "head.onnx is fp32" in finding.what


# -- engines -----------------------------------------------------------------------------------


def with_engine(path, **changes):
    plan = tiny_plan()
    made = record(plan, **changes)
    manifest = plan.manifest.model_copy(update={"engines": [made]})
    write_plan(path, with_members(manifest, {**plan.files, made.member: b"engine"}))
    return path


@pytest.mark.parametrize(
    ("changes", "gpus", "version", "words", "fix"),
    [
        ({}, [ADA], "1.7.1", None, ""),
        ({"version": "1.5.0"}, [ADA], "1.7.1", "1.5.0, installed is 1.7.1", "--backend tensorrt-rtx --sm 89"),
        ({"targets": ["sm120"]}, [ADA], "1.7.1", "for sm120, the card is sm89", "--backend tensorrt-rtx --sm 89"),
        ({"platform": "windows-x86_64"}, [ADA], "1.7.1", "built for windows-x86_64", "tal plan build"),
        ({"graph_sha256": "0" * 64}, [ADA], "1.7.1", "built from another head.onnx", "tal plan build"),
        ({}, [], "1.7.1", "no NVIDIA card", "--device cpu"),
        ({}, [ADA], None, "tensorrt-rtx is not installed", "pip install tensorrt-rtx==1.7.1"),
        ({"flavour": "tensorrt"}, [ADA], "1.7.1", "tensorrt is not installed", "pip install tensorrt==1.7.1"),
    ],
)
def test_why_an_engine_does_not_fit(tmp_path, machine, changes, gpus, version, words, fix):
    machine(gpus, **({"tensorrt_rtx": version} if version else {}))
    (engine,) = examine(with_engine(tmp_path / "x.plan", **changes), "cpu").engines
    assert engine.where == "plan"
    assert engine.fits == (words is None)
    assert any(words in w for w in engine.why_not) if words else engine.why_not == []
    assert fix in engine.fix


def test_every_reason_is_given():
    here = replace(this_machine(), cards=Cards([ADA]), versions={"tensorrt-rtx": "2.0"}, platform="linux-aarch64")
    assert len(incompatibilities(record(tiny_plan(), targets=["sm75"]), here)) == 3


def test_engines_of_the_cache_are_found_and_broken_records_skipped(plan_path, machine, tmp_path):
    machine([ADA], tensorrt_rtx="1.7.1")
    folder = tmp_path / "cache" / "engines"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(record(tiny_plan()).model_dump_json())
    (folder / "b.json").write_text(record(tiny_plan(), graph_sha256="1" * 64).model_dump_json())  # another plan's
    (folder / "c.json").write_text("{")
    (engine,) = examine(plan_path, "cpu").engines
    assert (engine.where, engine.fits) == ("cache", True)


def test_an_engine_of_the_plan_is_not_told_again_as_the_cache_s(machine, tmp_path):
    """`tal plan build --embed` leaves what it built in both places."""
    machine([ADA], tensorrt_rtx="1.7.1")
    plan = tiny_plan()
    folder = tmp_path / "cache" / "engines"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(record(plan).model_dump_json())
    other = record(plan, targets=["sm120"], sha256="2" * 64)
    (folder / "b.json").write_text(other.model_dump_json())
    write_plan(tmp_path / "x.plan", with_engines(plan, [(record(plan), b"engine")]))
    found = examine(tmp_path / "x.plan", "cpu").engines
    assert [(e.where, e.targets, e.fits) for e in found] == [("plan", ["sm89"], True), ("cache", ["sm120"], False)]


def test_it_tries_a_size_that_the_engine_takes(machine, tmp_path):
    """Or a plan for long videos would be told not to run."""
    machine()
    plan = tiny_plan()
    of_long_videos = record(plan, profile={"B": (2, 2, 8), "T": (100, 320, 4096)})
    write_plan(tmp_path / "x.plan", with_engines(plan, [(of_long_videos, b"engine")]))
    found = examine(tmp_path / "x.plan", "cpu")
    assert found.graphs[0].ran_on == {"rgb": [2, 100, 4]}
    assert found.status == 0


def test_without_a_card_another_device_helps(plan_path, machine, monkeypatch):
    def without_card(graph, name, device, options, spec, engines):
        if device.kind != "cpu":
            raise BackendError(f"{device} was asked for: no card")
        return real(graph, name, device, options, spec, engines)

    real = backends.select._open
    machine()
    monkeypatch.setattr(backends.select, "_open", without_card)
    assert {f.fix for f in examine(plan_path, "tensorrt-rtx").findings} == {"there is no card here: --device cpu"}


# -- what is in a graph ------------------------------------------------------------------------


def counted(model):
    """The same by the onnx package."""
    from onnx import numpy_helper

    kinds = {"float32": "fp32", "float16": "fp16", "int8": "int8", "int64": "index"}
    numbers = {}
    for t in model.graph.initializer:
        array = numpy_helper.to_array(t)
        numbers[kinds[str(array.dtype)]] = numbers.get(kinds[str(array.dtype)], 0) + array.size
    return numbers


@pytest.mark.parametrize("graph", [head_graph, encoder_graph])
def test_contents_equal_onnx(graph):
    import onnx

    found = contents(graph())
    assert found.numbers == counted(onnx.load_from_string(graph()))


def test_contents_of_the_embedded_plan_equal_onnx():
    import onnx

    plan = parse_plan(EMBEDDED_PLAN.read_bytes())
    for content in (c for name, c in plan.files.items() if name.endswith(".onnx")):
        found = contents(content)
        assert found.numbers == counted(onnx.load_from_string(content))
        assert found.precision == "fp32"


def test_contents_see_half_precision_constants_and_branches():
    from onnx import TensorProto, helper, numpy_helper

    def constant(name, value):
        return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))

    branches = {}
    for k, kind in (("then_branch", np.float16), ("else_branch", np.int8)):
        out = helper.make_tensor_value_info("o", TensorProto.FLOAT16, None)
        branches[k] = helper.make_graph([constant("o", np.zeros((3, 5), kind))], k, [], [out])
    node = helper.make_node("If", ["c"], ["y"], **branches)
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info("c", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, None)],
        [helper.make_tensor("w", TensorProto.BFLOAT16, [2, 20], np.zeros(40))],
    )  # fmt: skip
    found = contents(helper.make_model(graph).SerializeToString())
    assert found.numbers == {"bf16": 40, "fp16": 15, "int8": 15}
    assert found.precision == "bf16"


@given(st.binary(max_size=200))
def test_bytes_that_are_no_graph_are_refused_or_counted(data):
    try:
        found = contents(data)
    except ValueError:  # and no other error
        return
    assert all(n >= 0 for n in found.numbers.values())


# -- the machine -------------------------------------------------------------------------------


def test_this_machine_is_described():
    found = this_machine()
    assert found.cpu
    assert found.cores >= 1
    assert found.memory_mib > 100
    assert found.platform == found.platform.lower()
    assert {"tal-engine", "numpy", "onnxruntime"} <= set(found.versions)


SMI = """#!/bin/sh
case "$1" in
  --query-gpu=*) echo '0, 8.9, 24564, 24000, 580.1, NVIDIA RTX 4090'
                 echo '1, 12.0, [N/A], [N/A], 580.1, NVIDIA GB10, big' ;;
  *) echo '| NVIDIA-SMI 580.1   Driver Version: 580.1   CUDA Version: 13.0  |' ;;
esac
"""


def test_cards_by_nvidia_smi(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # not installed
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert cards() == Cards() or cards().gpus  # whatever the machine has
    script = tmp_path / "nvidia-smi"
    script.write_text(SMI)
    script.chmod(0o755)
    found = cards()
    assert found.gpus == [ADA, Gpu(1, "NVIDIA GB10, big", "sm120", 0, 0)]
    assert (found.driver, found.cuda) == ("580.1", "13.0")


def test_cards_by_the_library(monkeypatch):
    nvml = SimpleNamespace(
        nvmlInit=lambda: None, nvmlShutdown=lambda: None, nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda i: i, nvmlDeviceGetName=lambda h: b"NVIDIA RTX 4090",
        nvmlDeviceGetMemoryInfo=lambda h: SimpleNamespace(total=24564 << 20, free=24000 << 20),
        nvmlDeviceGetCudaComputeCapability=lambda h: (8, 9), nvmlSystemGetDriverVersion=lambda: "580.1",
        nvmlSystemGetCudaDriverVersion_v2=lambda: 13000,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert cards() == Cards([ADA], "580.1", "13.0")

    def no_driver():
        raise RuntimeError("NVML: Driver Not Loaded")

    nvml.nvmlInit = no_driver
    assert cards() == Cards()


def test_a_driver_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\nexit 9\n")
    script.chmod(0o755)
    monkeypatch.setattr(hardware.shutil, "which", lambda name: str(script))
    assert cards() == Cards()


# -- the command -------------------------------------------------------------------------------


def test_command_and_exit_statuses(plan_path, tmp_path):
    done = tal("plan", "doctor", plan_path)
    assert done.returncode == 0, done.stderr
    assert "runs here on cpu" in done.stdout
    done = tal("plan", "doctor", plan_path, "--json", "--device", "cpu")
    assert json.loads(done.stdout)["status"] == 0
    bad = tmp_path / "bad.plan"
    data = bytearray(plan_path.read_bytes())
    data[-len(data) // 2] ^= 1
    bad.write_bytes(data)
    done = tal("plan", "doctor", bad)
    assert done.returncode == 1
    assert "cannot be used, here or elsewhere" in done.stdout
    assert tal("plan", "doctor", plan_path, "--device", "abacus").returncode == 2


def test_tables_name_card_and_engine(tmp_path, machine, capsys):
    machine([ADA], tensorrt_rtx="1.7.1")
    _print(examine(with_engine(tmp_path / "x.plan", targets=["sm75"]), "cpu"))
    out = capsys.readouterr().out
    for words in ("RTX 4090 (sm89)", "driver", "CUDA 13.0", "T=1:320:4096", "it is for sm75, the card is sm89"):
        assert words in out
