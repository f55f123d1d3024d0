"""On a real NVIDIA card: what it gives is what the CPU gives. Fakes stand in for it in the other tests."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from tal_engine import TALEngine
from tal_engine._util.hardware import cards
from tal_engine.options import DEVICE_PIXELS, StreamOptions
from tal_engine.records import Features
from tal_engine.streaming import StreamScheduler
from tal_engine.timeline import Timeline
from tal_engine.video import open_video
from tal_engine.video.flow_tvl1 import OnnxTvl1
from tests.makers import tiny_plan
from tests.unit.video.test_flow import error, pair

ALL = float("-inf")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not cards().gpus, reason="no NVIDIA card on this machine")]
on_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="onnxruntime-gpu is not installed"
)


def key(result):
    return sorted((s.label, round(s.start, 3), round(s.end, 3)) for s in result)


@on_cuda
def test_a_video_has_the_segments_of_the_cpu(clip):
    cpu, cuda = (TALEngine.load("demo", d, strict=True).localize(clip, min_score=ALL) for d in ("cpu", "cuda"))
    assert "CUDA" in TALEngine.load("demo", "cuda", strict=True).description
    np.testing.assert_allclose(cuda.activations.cas, cpu.activations.cas, atol=1e-4)
    assert key(cpu) == key(cuda)


@on_cuda
def test_features_that_stay_on_the_card_are_those_of_the_other_path(clip):
    plain, kept = (TALEngine.load("demo", "cuda", strict=True, on_card=k) for k in (False, True))
    a, b = (e.localize(clip, min_score=ALL) for e in (plain, kept))
    assert key(a) == key(b)
    np.testing.assert_allclose(b.activations.cas, a.activations.cas, atol=1e-4)
    for name, want in plain.features(clip).streams.items():
        np.testing.assert_allclose(kept.features(clip).streams[name], want, atol=1e-4)


@on_cuda
def test_streams_whose_features_stay_on_the_card_say_the_same(clip):
    options = StreamOptions(window=3.2, step=0.64, look_ahead=1.28)

    def events(kept):
        with TALEngine.load("demo", "cuda", strict=True, on_card=kept) as engine:
            scheduler = StreamScheduler(engine, [f"{n}={clip}" for n in "ab"], options, min_score=ALL)
            return sorted((e.source, e.label, round(e.start, 3), round(e.end, 3)) for e in scheduler.run())

    assert events(True) == events(False)


@on_cuda
def test_frames_that_are_converted_on_the_card_are_those_of_the_cpu(clip, tmp_path):
    plan = tiny_plan(tmp_path / "t.plan")
    cpu = TALEngine(plan, "cpu", convert_on_device=True).features(clip)
    card = TALEngine(plan, "cuda", strict=True, on_card=True, convert_on_device=True).features(clip)
    np.testing.assert_allclose(card.streams["rgb"], cpu.streams["rgb"], atol=0.05)
    assert card.contract["pixels"] == DEVICE_PIXELS


@on_cuda
def test_flow_of_graphs_on_the_card_is_that_of_the_cpu():
    before, after = pair(64, 80)
    assert error(OnnxTvl1("cuda").pairs(before, after), OnnxTvl1("cpu").pairs(before, after)).mean() < 0.03


def test_a_file_decoded_by_the_card_has_the_frames_of_ffmpeg(clip):
    pytest.importorskip("PyNvVideoCodec", exc_type=Exception)
    for a, b in zip(*(open_video(clip, decoder=d).frames for d in ("ffmpeg", "nvdec")), strict=True):
        assert a.pts_seconds == b.pts_seconds
        np.testing.assert_array_equal(a.image(), b.image())


@on_cuda
def test_a_batch_that_is_too_large_for_the_card_is_run_in_parts(caplog):
    """The arena is too small for 512 snippets and large enough for some of them."""
    from tal_engine.records import Snippets

    rng = np.random.default_rng(0)
    cpu, small = TALEngine.load("demo", "cpu"), TALEngine.load(None, "cuda", strict=True, batch=512, gpu_memory_mib=512)
    side, window = cpu.plan.manifest.snippet.crop, cpu.plan.manifest.snippet.window
    frames = rng.integers(0, 255, (512, window, side, side, 3), np.uint8)
    flow = rng.uniform(-20, 20, (512, window, side, side, 2)).astype(np.float32)
    snippets = Snippets(frames, flow, 0, Timeline(0.0, 0.64, 0.64), 400.0)
    for mine, theirs in zip(small._stages.encoders, cpu._stages.encoders, strict=True):
        few = Snippets(frames[:8], flow[:8], 0, snippets.timeline, 10.0)
        np.testing.assert_allclose(mine(snippets)[:8], theirs(few), atol=1e-3)
    assert "out of memory, going on in batches of" in caplog.text


_LOSE = """
import numpy as np, torch
from tal_engine import TALEngine
engine = TALEngine.load("demo", "cuda", strict=True)
features = {n: np.ones((20, d), np.float32) for n, d in engine.plan.manifest.streams.items()}
engine.localize(features)
try:
    torch.zeros(4, device="cuda")[torch.tensor([10**6], device="cuda")]
    torch.cuda.synchronize()
except Exception as e:
    print("lost by", type(e).__name__)
for _ in range(2):
    try:
        engine.localize(features)
    except Exception as e:
        print(type(e).__name__, e)
"""


@on_cuda
def test_a_card_that_is_lost_to_the_process_is_named():
    """An access beyond an array takes the card from the process that made it, and from no other."""
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", _LOSE], capture_output=True, text=True, timeout=120, check=False)
    said = done.stdout.splitlines()
    assert said[0].startswith("lost by"), done.stderr
    assert len([line for line in said if line.startswith("BackendError") and "is lost to this process" in line]) == 2
    assert len(TALEngine.load("demo", "cuda", strict=True).plan.manifest.streams) > 0


@on_cuda
def test_a_head_on_long_features_and_on_many(rng):
    cpu, cuda = (TALEngine.load("demo", d, strict=True) for d in ("cpu", "cuda"))
    for count in (1, 7, 300, 4000):
        streams = {n: rng.normal(0, 1, (count, d)).astype(np.float32) for n, d in cpu.plan.manifest.streams.items()}
        f = Features(streams, Timeline(0.0, 0.64, 0.64), 0.64 * count, cpu.contract)
        a, b = (e.localize(f, min_score=ALL) for e in (cpu, cuda))
        np.testing.assert_allclose(b.activations.cas, a.activations.cas, atol=1e-4)
        np.testing.assert_allclose(b.activations.attention, a.activations.attention, atol=1e-4)


@on_cuda
def test_a_stream_on_a_card_keeps_its_promise(clip):
    from tal_engine.diagnostics.stream_check import verify

    engine = TALEngine.load("demo", "cuda", strict=True)
    report = verify(engine, clip, StreamOptions(window=3.2, step=0.64, look_ahead=1.28), chunkings=3)
    assert report.late_events == 0
    assert not report.whole.appeared
    assert not report.whole.vanished


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training_runs_on_a_card(tmp_path, precision):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this torch sees no card")
    from tal_engine.lab.data.dataset import open_dataset
    from tal_engine.lab.data.synthetic import SimulatorOptions
    from tal_engine.lab.data.write_public import write_simulation
    from tal_engine.lab.methods import load_method
    from tal_engine.lab.training.recipe import fitted, recipe
    from tal_engine.lab.training.runs import train_head
    from tal_engine.lab.training.training_options import TrainOptions

    write_simulation(tmp_path / "sim", SimulatorOptions())
    data = open_dataset(tmp_path / "sim" / "data.yaml")
    method = load_method("co2")
    chosen = recipe(method, "simulator")
    found = data.widths(("rgb", "flow", "clip"))
    config = fitted(
        method.Config(**chosen.config), {"rgb": found["rgb"], "flow": found["flow"], "joint": found["clip"]}
    )
    amp = {} if precision == "fp32" else {"amp": precision}
    options = TrainOptions(**{**chosen.train, "steps": 300, "seed": 0, "device": "cuda", **amp})
    run = train_head(method, config, options, data, tmp_path / "c")
    assert run.rows[0].figures["0.1:0.7"].mean > 0.3
