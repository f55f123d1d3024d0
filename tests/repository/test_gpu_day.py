"""The script for a card: its rehearsal on the CPU, deadlines, crashes, and what a bare machine can do."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import gpu_common
import gpu_day
import gpu_section
import pytest
import rooms
import stale
from gpu_common import Day
from gpu_parts import PARTS, Part
from gpu_pass import drawn_lengths
from gpu_targets import LONGEST, SNIPPETS, VIDEOS

ROOT = Path(__file__).parents[2]
#: What a machine with Python, torch and numpy alone does not have.
BARE = ["onnxruntime", "onnx", "onnxscript", "av", "cv2", "pydantic", "typer", "psutil", "open_clip", "safetensors",
        "pytest", "tal_engine._core"]  # fmt: skip


def call(*args, timeout=1800):
    command = [sys.executable, "benchmarks/gpu_day.py", *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.slow
def test_everything_is_rehearsed(tmp_path):
    done = call("--rehearse", "--work", tmp_path / "day", "--also", tmp_path / "copy.json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["parts"] == dict.fromkeys(PARTS, "done"), done.stderr
    document = json.loads((tmp_path / "copy.json").read_text())
    rows = {f"{name}: {row}" for name, p in document["parts"].items() for row in p["figures"]}
    for row in (
        "card: onnxruntime", "head: pvlr B=1 T=20", "pass: engine fp32, 8 threads",
        "encoders: demonstration rgb, onnxruntime", "flow: torch, 1 pairs at a time",
        "training: one process of NCCL", "training: losses as on the CPU",
        "parity: clips", "checks: pytest -m gpu", "heads: apn B=1 T=20", "end_to_end: rendered clips on cpu",
        "streams: 1 streams",
    ):  # fmt: skip
        assert row in rows, document["parts"]
    assert document["parts"]["training"]["figures"]["losses as on the CPU"]["agree"]
    assert document["parts"]["parity"]["figures"]["clips"]["exit_status"] == 0
    assert document["parts"]["checks"]["figures"]["pytest -m gpu"]["exit_status"] == 0
    assert document["parts"]["head"]["figures"]["pvlr B=1 T=20"]["onnxruntime fp32"]["p50_ms"] > 0
    # Nothing was left out but what the CPU cannot do.
    reasons = {f"{name}: {row}" for name, p in document["parts"].items() for row in p["skipped"]}
    assert reasons <= {
        "card: driver", "encoders: pose", "encoders: I3D rgb, onnxruntime", "encoders: I3D flow, onnxruntime",
        "encoders: CLIP ViT-B/16, onnxruntime", "encoders: demonstration clip, onnxruntime",
        "pass: engine bf16, 1 thread", "pass: engine bf16, 8 threads", "parity: clips, features kept on the card",
        "end_to_end: real clips", "flow: OpenCV on the processor", "flow: torch against OpenCV",
        "streams: 1 streams, features kept on the card",
    }, {n: p["skipped"] for n, p in document["parts"].items()}  # fmt: skip
    page = gpu_section.section(document)
    assert "No card was at hand" in page
    assert "| training |" in page
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "day" / "parts").iterdir()}
    assert call("--rehearse", "--work", tmp_path / "day").returncode == 0
    assert {p: p.stat().st_mtime_ns for p in written} == written, "all is done: nothing is run"


@pytest.mark.slow
def test_a_bare_machine_runs_what_torch_alone_can(tmp_path):
    parts = ["card", "pass", "flow", "checks", "streams"]
    done = call("--rehearse", "--work", tmp_path, "--parts", *parts, "--without", *BARE)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "gpu_day.json").read_text())["parts"]
    assert {n: p["status"] for n, p in document.items()} == {**dict.fromkeys(parts, "done"), "streams": "skipped"}
    assert "onnxruntime" in document["streams"]["why"]
    assert document["pass"]["figures"]["torch eager fp32, head alone"]["seconds"] > 0
    assert document["pass"]["skipped"]["graphs"].startswith("not installed: onnx, onnxscript, onnxruntime")
    assert document["flow"]["figures"]["torch, 1 pairs at a time"]["ms_a_frame"] > 0
    assert document["card"]["figures"]["torch"]["difference_of_a_product"] < 1e-3


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A day of parts that are written here, each by what its process does; gives its document by part."""
    import common

    monkeypatch.setattr(common, "this_run", lambda: {"date": "", "command": "", "machine": {}})

    def make(parts, minutes=1.0, again=False):
        known = {n: Part(n, "", "", seconds, ()) for n, (seconds, _) in parts.items()}
        monkeypatch.setattr(gpu_day, "PARTS", known)

        def popen(command, *more, **how):
            if "--child" not in command:
                return real(command, *more, **how)  # git, for the record of the code
            name, path = command[command.index("--child") + 1], tmp_path / "parts"
            script = f"from pathlib import Path; F = Path({str(path / (name + '.json'))!r})\n{parts[name][1]}"
            return real([sys.executable, "-c", script], **how)

        real = subprocess.Popen
        with monkeypatch.context() as m:
            m.setattr(gpu_day.subprocess, "Popen", popen)
            args = argparse.Namespace(
                work=tmp_path, minutes=minutes, again=again, rehearse=False, parts=list(parts), without=[], also=None
            )
            return gpu_day.day(args)["parts"]

    return make


def leaves(status, **figures):
    document = {"status": status, "seconds": 1, "figures": figures, "skipped": {}}
    return f"F.write_text({json.dumps(document)!r})"


OK = leaves("done", row=1)
HANGS = leaves("cut", first=1) + "; import time; time.sleep(600); " + leaves("cut", first=1, second=2)


def test_a_part_that_hangs_or_crashes_costs_itself_alone(run, monkeypatch):
    monkeypatch.setattr(gpu_day, "LEAST_S", 1.0)
    found = run({"a": (30, HANGS), "b": (20, "import os; os.abort()"), "c": (30, OK), "d": (20, "raise SystemExit(3)")})
    assert {n: p["status"] for n, p in found.items()} == {"a": "cut", "b": "failed", "c": "done", "d": "failed"}
    assert found["a"]["figures"] == {"first": 1}, "it was not ended at its deadline"
    assert "signal 6" in found["b"]["why"]
    assert "exit status 3" in found["d"]["why"]


def test_each_part_says_what_code_it_measured(run):
    parts = run({"a": (300, OK)})
    assert parts["a"]["code"]["rooms"].keys() == dict.fromkeys(rooms.rooms_of("gpu_day", None)).keys()
    (state,) = stale.states({"gpu_day": {"benchmark": "gpu_day", "parts": parts}})
    assert (state.state, state.part) == ("current", "a")


def test_a_second_call_does_what_is_not_done(run, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_day, "LEAST_S", 0.5)
    run({"a": (100, OK), "b": (100, "raise SystemExit(1)")})
    fails = "raise SystemExit(9)"
    found = run({"a": (100, fails), "b": (100, OK)})
    assert {n: p["status"] for n, p in found.items()} == {"a": "done", "b": "done"}
    assert run({"a": (100, fails), "b": (100, OK)}, again=True)["a"]["status"] == "failed"


def test_no_part_is_begun_when_the_time_is_over(run):
    found = run({"a": (600, OK), "b": (1, OK)}, minutes=0.1)
    assert found["a"]["status"] == "cut"
    assert "s were left" in found["a"]["why"]


def test_rows_are_kept_as_they_are_known(tmp_path):
    day = Day(tmp_path / "p.json", 60, True, {"old": 1})
    assert day.row("old", lambda: 1 / 0) == 1  # of a run that was cut
    day.row("new", lambda: 2)
    day.row("bad", lambda: 1 / 0)
    day.row("absent", lambda: 3, ["no_such_package"])
    found = json.loads((tmp_path / "p.json").read_text())
    assert (found["status"], found["figures"]) == ("cut", {"old": 1, "new": 2})
    assert found["skipped"] == {
        "bad": "ZeroDivisionError: division by zero",
        "absent": "not installed: no_such_package",
    }
    late = Day(tmp_path / "q.json", 0.5, True)
    late.row("row", lambda: 1, least=2.0)
    assert late.skipped["row"].startswith("no time")


def test_packages_can_be_looked_for_as_if_absent(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [gpu_common.Absent(["onnx", "tal_engine.nothing"]), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "onnx", raising=False)
    assert gpu_common.missing(["onnx", "tal_engine.nothing", "json"]) == ["onnx", "tal_engine.nothing"]


def test_lengths_that_are_drawn_are_those_of_the_test_set():
    lengths = drawn_lengths()
    assert (len(lengths), sum(lengths), max(lengths)) == (VIDEOS, SNIPPETS, LONGEST)
    assert min(lengths) > 0


def test_targets_of_a_day():
    figures = {
        "pass": {"figures": {"engine fp16, 8 threads": {"seconds": 0.3}, "torch eager": {"seconds": 0.1}}},
        "flow": {"figures": {"torch, 64 pairs at a time": {"times_real_time": 0.5}}},
        "training": {"figures": {"fp32": {"steps_a_second": 8.0}, "bf16": {"steps_a_second": 16.0}}},
    }
    found = gpu_section.targets({"rehearsal": False, "parts": figures})
    assert found["pass_s"] == {"value": 0.3, "aim": 0.5, "reached": True}
    assert found["tvl1_times_real_time"]["reached"] is False
    assert found["training_times_two_cores"]["reached"] is True
    assert gpu_section.targets({"rehearsal": True, "parts": figures}) == {}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"card_busy": 0.95}, "the card"),
        ({"cores_used": 15.0}, "the processor's cores"),
        ({"engine_s": {"flow": 9.0, "encode": 2.0}}, "the engine's thread, most of it flow"),
        ({}, "nothing: all have a reserve"),
        ({"sustained": False}, "not known: nothing was used up"),
    ],
)
def test_what_limits_the_streams(row, said):
    from gpu_streams import limit

    base = {"card_busy": 0.1, "cores_used": 2.0, "cores_used_by_others": 0.0, "cores": 16, "wall_s": 12.0}
    assert limit({**base, "engine_s": {"flow": 1.0}, "sustained": True, **row}) == said
