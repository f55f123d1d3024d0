"""tal bench: what is measured, that it adds up, and that nothing falls back in silence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.diagnostics import benchmark
from tal_engine.diagnostics.benchmark import Contender, Workload, bench, statistics
from tal_engine.diagnostics.cold_start import cold_start
from tal_engine.errors import BackendError, FeatureError, UsageError, VideoError
from tal_engine.features import save_features
from tal_engine.records import Segment
from tests.integration.test_cli import tal
from tests.makers import tiny_plan


@pytest.fixture
def stored(plan_path, clip, tmp_path):
    """Features of the clip, as a file."""
    path = tmp_path / "clip.npz"
    save_features(path, TALEngine.load(plan_path, "cpu").features(clip))
    return path


def test_statistics():
    found = statistics([4.0, 1.0, 3.0, 2.0], 10)
    assert found == {
        "n": 4, "p50": 25.0, "p90": pytest.approx(37.0), "p95": pytest.approx(38.5), "p99": pytest.approx(39.7),
        "mean": 25.0, "min": 10.0, "max": 40.0,
    }  # fmt: skip


def test_stages_of_a_video_are_there_and_add_up(plan_path, clip):
    (row,) = bench([Contender(plan_path, "cpu")], Workload([clip], runs=3), cold=False).rows
    assert list(row.stages) == ["decode", "snippets", "flow", "encode", "head", "proposals", "nms", "total"]
    for s in row.stages.values():
        assert s["n"] == 3
        assert 0 <= s["min"] <= s["p50"] <= s["p90"] <= s["p99"] <= s["max"]
    after = sum(row.stages[s]["mean"] for s in ("encode", "head", "proposals", "nms"))
    assert row.stages["total"]["mean"] >= after
    assert row.snippets == (13, 13)
    assert row.throughput["snippets_per_s"] == pytest.approx(13 * row.throughput["videos_per_s"])
    assert row.throughput["times_real_time"] == pytest.approx(4 * row.throughput["videos_per_s"], rel=0.01)
    assert row.throughput["videos_per_s"] == pytest.approx(1 / row.passes["p50"])
    assert row.runs_on["encoder_rgb.onnx"].endswith("(CPU)")
    assert (row.precision, row.weights["head.onnx"], row.cuda_graphs) == ("fp32", "fp32", False)


def test_features_do_not_load_encoders(plan_path, stored):
    (row,) = bench([Contender(plan_path, "cpu")], Workload([stored], runs=2), cold=False).rows
    assert row.runs_on["encoder_rgb.onnx"] == "not loaded yet"
    assert "decode" not in row.stages


def test_synthetic_batches_go_through_the_head_together(plan_path, monkeypatch):
    rows = []
    real = TALEngine.load(plan_path, "cpu")
    run = real._stages.head.run
    monkeypatch.setattr(real._stages.head, "run", lambda feeds: rows.append(feeds["rgb"].shape) or run(feeds))
    monkeypatch.setattr(benchmark.TALEngine, "load", lambda *a, **k: real)
    (row,) = bench([Contender(plan_path, "cpu")], Workload(synthetic=50, batch=3, runs=2), cold=False).rows
    assert set(rows) == {(3, 50, 4)}
    assert len(rows) >= 3  # the warm-up too
    assert row.snippets == (50, 50)
    assert row.stages["head"]["n"] == 6


def test_contenders_take_turns(plan_path, tmp_path, monkeypatch):
    other = tmp_path / "other.plan"
    tiny_plan(other, name="other")
    order = []
    real = benchmark._pass

    def noted(engine, *args, **kwargs):
        order.append(engine.plan.manifest.name)
        return real(engine, *args, **kwargs)

    monkeypatch.setattr(benchmark, "_warm_up", lambda *a: None)
    monkeypatch.setattr(benchmark, "_pass", noted)
    found = bench([Contender(plan_path, "cpu"), Contender(other, "cpu")], Workload(synthetic=8, runs=3), cold=False)
    assert order == ["tiny", "other", "other", "tiny", "tiny", "other"]
    assert [r.name for r in found.rows] == ["tiny on cpu", "other on cpu"]
    assert found.document["interleaved"] is True


def test_warm_up_lasts(monkeypatch):
    clock, passes = [0.0], []

    def one(*args):
        passes.append(1)
        clock[0] += 0.05

    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(benchmark, "_pass", one)
    benchmark._warm_up(None, [], 1)
    assert len(passes) == 4  # 200 ms


def test_accuracy_stands_beside_speed(plan_path, stored):
    found = list(TALEngine.load(plan_path, "cpu").localize(stored, min_score=-np.inf, top_k=0))
    best = [Segment(s.start, s.end, s.label, 1.0) for s in found[:1]]
    work = Workload([stored], runs=1, truth={"clip": best})
    (row,) = bench([Contender(plan_path, "cpu")], work, cold=False).rows
    assert row.accuracy["mean_ap"] == pytest.approx(1.0)
    assert row.accuracy["protocol"] == "activitynet"
    with pytest.raises(FeatureError, match=r"clip\.npz: the truth has no such video"):
        bench([Contender(plan_path, "cpu")], Workload([stored], runs=1, truth={"x": best}), cold=False)


def test_a_device_that_is_not_here_is_no_contender(plan_path):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        assert bench([Contender(plan_path, "cuda")], Workload(synthetic=8, runs=1), cold=False).rows[0].device == "cuda"
        return
    with pytest.raises(BackendError, match="no CUDA"):
        bench([Contender(plan_path, "cuda")], Workload(synthetic=8, runs=1), cold=False)


def test_a_source_that_cannot_be_used_stops_it(plan_path, tmp_path):
    (tmp_path / "x.mp4").write_text("no video")
    with pytest.raises(VideoError):
        bench([Contender(plan_path, "cpu")], Workload([tmp_path / "x.mp4"], runs=1), cold=False)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"synthetic": 8, "runs": 0}, "runs is 0"),
        ({"synthetic": 8, "batch": 0}, "batch is 0"),
        ({"synthetic": -1}, "synthetic is -1"),
        ({}, "input is 'missing'"),
        ({"synthetic": 8, "sources": [Path("v.npz")]}, "input is 'files and synthetic features', must be either"),
        ({"synthetic": 8, "truth": {}}, "left out of synthetic runs"),
    ],
)
def test_work_that_makes_no_sense(fields, words):
    with pytest.raises(UsageError, match=words):
        Workload(**fields)


# -- fresh processes ---------------------------------------------------------------------------


def asked(plan, **changes):
    return {"plan": str(plan), "device": "cpu", "source": None, "snippets": 20, "threads": 1, **changes}


def test_a_cold_start_is_measured_in_a_fresh_process(plan_path):
    found = cold_start(asked(plan_path), cached=False, repeats=1)["cold"]
    assert found["total_s"] == pytest.approx(found["import_s"] + found["load_s"] + found["first_call_s"])
    assert 0 < found["import_s"] < found["total_s"] < found["process_s"]
    assert 20 < found["peak_mib"] < 2000


def test_the_peak_is_that_of_the_process_alone():
    """A process that was forked from a large one does not count what that had."""
    code = "from tal_engine.diagnostics.cold_start import _peak_mib; print(_peak_mib())"
    large = np.ones(80 << 20, np.float32)  # 320 MiB
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5 < float(done.stdout) < 200 < large.nbytes >> 20


def test_caches_are_measured_without_and_with(monkeypatch):
    """Devices that compile get an empty cache first, then the one that this has filled."""
    folders, seconds = [], iter([9.0, 3.0, 1.0, 2.0])

    def start(command, env, **_):
        folders.append(env["TAL_CACHE"])
        times = {"import_s": 0.0, "load_s": next(seconds), "first_call_s": 0.0, "gpu_free_mib": None}
        return subprocess.CompletedProcess(command, 0, "chatter\n" + json.dumps(times) + "\n", "")

    monkeypatch.setattr("tal_engine.diagnostics.cold_start.subprocess.run", start)
    found = cold_start(asked("x.plan"), cached=True)
    assert found["without_cache"]["total_s"] == 9.0
    assert found["with_cache"]["total_s"] == 2.0  # the median
    assert len(folders) == 4
    assert len(set(folders)) == 1


def test_a_process_that_does_not_start_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"no\.plan: no such plan"):
        cold_start(asked(tmp_path / "no.plan"), cached=False, repeats=1)


# -- the command -------------------------------------------------------------------------------


def test_command_writes_figures_and_prints_a_table(plan_path, stored, tmp_path):
    out = tmp_path / "b.json"
    done = tal("bench", plan_path, "--features", stored, "--runs", 2, "--compare", "cpu,auto", "-o", out)
    assert done.returncode == 0, done.stderr
    for words in ("x real time", "p99", "end to end", "transfers included", "CUDA graphs: none", "measured in turns"):
        assert words in done.stdout
    document = json.loads(out.read_text())
    assert document["schema"] == "tal.bench/1"
    assert document["machine"]["versions"]["onnxruntime"]
    assert [r["device"] for r in document["rows"]] == ["cpu", "auto"]
    assert set(document["rows"][0]["cold_start"]) == {"cold"}
    assert document["workload"]["sources"] == [str(stored)]


def test_command_exit_statuses(plan_path, clip):
    assert tal("bench", plan_path).returncode == 2
    assert tal("bench", plan_path, "--video", clip, "--synthetic", 5).returncode == 2
    assert tal("bench", plan_path, "--synthetic", 5, "--compare", "cpu,abacus").returncode == 2
