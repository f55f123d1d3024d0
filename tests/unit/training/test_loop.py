"""What the loop can do besides stepping: accumulation, averaged weights, precision, processes, selection, curves."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tal_engine.errors import CheckpointError, TrainingError, UsageError
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.methods import load_method
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.distributed import World
from tal_engine.lab.training.ema import Ema
from tal_engine.lab.training.loop import fit
from tal_engine.lab.training.training_state import Task, begin
from tests.learning import NAMES, OPTIONS, WIDTH, quiet_config, run_fit, sampler, small_config, weights

EVERYTHING = replace(OPTIONS, accumulate=2, ema=0.5, clip_norm=0.5, eval_every=2, amp="bf16", select="validation")


class Parts:
    """One batch of six videos, whole or in parts of two, in turn."""

    def __init__(self, parts):
        rng = np.random.default_rng(0)
        streams = {s: torch.from_numpy(rng.normal(size=(6, 12, WIDTH)).astype(np.float32)) for s in ("rgb", "flow")}
        labels = torch.eye(3).repeat(2, 1)
        rows = torch.arange(6).chunk(parts)
        self.batches = [Batch({k: v[r] for k, v in streams.items()}, labels[r]) for r in rows]
        self.drawn = 0

    def draw(self, rng):
        self.drawn += 1
        return self.batches[(self.drawn - 1) % len(self.batches)]


def fading():
    """Scores that depend on the weights, so that a wrong order of evaluation and averaging shows."""

    def evaluate(net):
        value = float(next(net.parameters()).detach().abs().mean())
        score = {"average": value, "averages": {}, "map": {"0.5": value}, "miou": {}}
        return {"test": score, "validation": score}

    return evaluate


def test_accumulated_parts_step_as_one_batch(tmp_path):
    """A head whose loss is a mean over videos: three parts of two videos give the gradient of six."""
    co2 = load_method("co2")
    config = replace(quiet_config(co2), coactivity_weight=0.0, norm_weight=0.0, guide_weight=0.0, mutual_weight=0.0)
    one = replace(OPTIONS, steps=3, pairs=0)
    whole = fit(co2, config, NAMES, None, Parts(1), one, tmp_path / "a", provenance={})
    parts = fit(co2, config, NAMES, None, Parts(3), replace(one, accumulate=3, batch=2), tmp_path / "b", provenance={})
    for a, b in zip(whole.net.parameters(), parts.net.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_reported_terms_are_means_over_the_parts(tmp_path):
    co2, seen = load_method("co2"), []
    for parts in (1, 3):
        fit(
            co2, quiet_config(co2), NAMES, None, Parts(parts), replace(OPTIONS, steps=1, accumulate=parts),
            tmp_path / str(parts), provenance={}, report=lambda step, steps, terms: seen.append(terms["cls"]),
        )  # fmt: skip
    assert seen[0] == pytest.approx(seen[1], rel=1e-5)


def test_averaged_weights_follow_their_formula():
    net = nn.Linear(2, 1)
    first = net.weight.detach().clone()
    ema = Ema(net, 0.9)
    nn.init.ones_(net.weight)
    ema.update()
    nn.init.zeros_(net.weight)
    ema.update()
    wanted = 0.9 * (0.9 * first + 0.1)
    torch.testing.assert_close(ema.average["weight"], wanted)
    with ema.applied():
        torch.testing.assert_close(net.weight.detach(), wanted)
    assert torch.equal(net.weight.detach(), torch.zeros(1, 2))
    with pytest.raises(CheckpointError, match="lack 'weight'"):
        ema.load({})


def test_averaged_weights_are_saved_beside_and_are_the_result(tmp_path, text):
    state = run_fit(tmp_path / "a", text, replace(OPTIONS, ema=0.5))
    found = checkpoint.load(tmp_path / "a")
    assert found.result == "weights_ema"
    own, averaged = weights(tmp_path / "a"), weights(tmp_path / "a", "weights_ema")
    assert own.keys() == averaged.keys()
    assert not torch.equal(own["mean.weight"], averaged["mean.weight"])
    assert not torch.equal(own["folded_text"], averaged["folded_text"])
    assert torch.equal(state.net.mean.weight, averaged["mean.weight"])
    assert torch.equal(found.network().mean.weight, averaged["mean.weight"])


def test_resume_with_everything_on_continues_bit_for_bit(tmp_path, text):
    whole = run_fit(tmp_path / "whole", text, EVERYTHING, evaluate=fading())
    run_fit(tmp_path / "part", text, replace(EVERYTHING, steps=4), evaluate=fading())
    part = run_fit(tmp_path / "part", text, EVERYTHING, evaluate=fading(), resume=True)
    assert [h["step"] for h in whole.history] == [2, 4, 6]
    assert part.history == whole.history
    for name in ("weights", "weights_ema", "weights_best", "resume"):
        a, b = weights(tmp_path / "whole", name), weights(tmp_path / "part", name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a), name
    documents = [json.loads((tmp_path / k / "checkpoint.json").read_text()) for k in ("whole", "part")]
    assert documents[0]["numpy_rng"] == documents[1]["numpy_rng"]


def test_the_loss_scale_is_kept(tmp_path):
    co2, world = load_method("co2"), World(0, 1, torch.device("cpu"))
    task = Task(co2, small_config(co2), NAMES, OPTIONS, {})
    states = [begin(task, None, world) for _ in range(2)]
    for state in states:  # fp16 has its scaler on CUDA only; this one is of the same kind
        state.scaler = torch.amp.GradScaler("cpu")
    states[0].scaler.load_state_dict({**states[0].scaler.state_dict(), "scale": 8.0, "_growth_tracker": 3})
    checkpoint.save(tmp_path, states[0], task, world)
    checkpoint.resume(tmp_path, states[1], task, world)
    assert states[1].scaler.state_dict() == states[0].scaler.state_dict()
    assert states[1].scaler.state_dict()["scale"] == 8.0


def test_evaluation_does_not_move_training(tmp_path, text):
    run_fit(tmp_path / "without", text)
    run_fit(tmp_path / "with", text, replace(OPTIONS, eval_every=1), evaluate=real_evaluation())
    a, b = weights(tmp_path / "without"), weights(tmp_path / "with")
    assert all(torch.equal(a[k], b[k]) for k in a)


def real_evaluation():
    from tal_engine.lab.training.validation import Videos, scores
    from tal_engine.metrics import protocol
    from tests.learning import a_set

    pvlr = load_method("pvlr")
    videos, features = a_set(4)
    data = Videos(videos, features, protocol("wtal-seconds"))
    return lambda net: {"test": scores(pvlr, net, small_config(pvlr), NAMES, data)}


def test_weights_are_selected_on_validation_alone(tmp_path, text):
    marks = iter([(0.1, 0.9), (0.8, 0.2), (0.3, 0.5)])

    def evaluate(net):
        def score(value):
            return {"average": value, "averages": {}, "map": {"0.5": value}, "miou": {}}

        validation, test = next(marks)
        seen.append(net.mean.weight.detach().clone())
        return {"validation": score(validation), "test": score(test)}

    seen = []
    options = replace(OPTIONS, eval_every=2, select="validation")
    state = run_fit(tmp_path / "a", text, options, evaluate=evaluate)
    assert torch.equal(state.net.mean.weight, seen[1])
    assert torch.equal(checkpoint.load(tmp_path / "a").network().mean.weight, seen[1])
    assert not torch.equal(seen[1], seen[2])
    with pytest.raises(UsageError, match="no validation videos"):
        run_fit(tmp_path / "b", text, options, evaluate=lambda net: {"test": {"average": 0, "map": {}}})


@pytest.mark.parametrize("method", ["pvlr", "co2"])
def test_bf16_trains_on_the_cpu(tmp_path, text, method):
    own = run_fit(tmp_path / "a", text, replace(OPTIONS, amp="bf16"), method=method)
    full = run_fit(tmp_path / "b", text, method=method)
    pairs = list(zip(own.net.parameters(), full.net.parameters(), strict=True))
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p, _ in pairs)
    assert not all(torch.equal(a, b) for a, b in pairs)


def test_devices_that_are_not_there_are_named(tmp_path, text, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="device is 'cuda', but torch finds no CUDA card"):
        run_fit(tmp_path / "a", text, replace(OPTIONS, device="cuda"))
    with pytest.raises(UsageError, match="amp is 'fp16', which needs a CUDA card"):
        run_fit(tmp_path / "a", text, replace(OPTIONS, amp="fp16"))


class Steep(nn.Module):
    """A loss that is finite with a gradient that is not."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def loss(self, batch, step):
        return {"root": self.w.abs().sqrt().sum()}


def test_a_gradient_that_is_not_finite_stops_before_the_weights_spoil(tmp_path, monkeypatch):
    co2 = load_method("co2")
    monkeypatch.setattr(co2, "build", lambda config, vocabulary, text: Steep())
    with pytest.raises(TrainingError, match=r"the gradient is not finite at step 0, videos v\d"):
        run_fit(tmp_path / "a", None, method="co2")
    assert weights(tmp_path / "a")["w"].item() == 0


def test_ctrl_c_between_evaluations_keeps_the_history(tmp_path, text):
    def stop(step, steps, terms):
        if step == 4:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_fit(tmp_path / "a", text, EVERYTHING, evaluate=fading(), report=stop)
    assert [h["step"] for h in checkpoint.load(tmp_path / "a").history] == [2, 4]
    part = run_fit(tmp_path / "a", text, EVERYTHING, evaluate=fading(), resume=True)
    assert part.history == run_fit(tmp_path / "b", text, EVERYTHING, evaluate=fading()).history


def test_a_mixture_of_two_checkpoints_is_noticed(tmp_path, text):
    for name, seed in (("a", 0), ("b", 1)):
        run_fit(tmp_path / name, text, replace(OPTIONS, steps=1, ema=0.5, seed=seed))
    for name in ("weights_ema", "resume"):
        (tmp_path / "b" / f"{name}.safetensors").replace(tmp_path / "a" / f"{name}.safetensors")
        with pytest.raises(CheckpointError, match="not the file that"):
            checkpoint.load(tmp_path / "a")


def test_curves_for_tensorboard(tmp_path, text):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_fit(tmp_path / "a", text, replace(OPTIONS, tensorboard=True, eval_every=3), evaluate=fading())
    read = EventAccumulator(str(tmp_path / "a" / "tensorboard"))
    read.Reload()
    assert {"loss", "loss/kd", "loss/cls", "test/map", "test/map_0.5"} <= set(read.Tags()["scalars"])
    assert [s.step for s in read.Scalars("loss/kd")] == [1, 2, 3, 4, 5, 6]
    assert [s.step for s in read.Scalars("test/map")] == [3, 6]


def test_parts_of_a_batch_by_process():
    cpu = torch.device("cpu")
    shares = [World(r, 2, cpu).share(replace(OPTIONS, batch=10, pairs=3)) for r in range(2)]
    assert shares == [(5, 2), (5, 1)]
    with pytest.raises(UsageError, match="batch is 6, must be a multiple of the 4 processes"):
        World(0, 4, cpu).share(OPTIONS)


WORKER = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from tal_engine.lab.methods import load_method
from tal_engine.lab.training.distributed import joined
from tests.learning import NAMES, OPTIONS, run_fit, sampler

torch.set_num_threads(1)
folder = Path(sys.argv[1])
with joined(OPTIONS) as world:
    size, pairs = world.share(OPTIONS)
    for run, steps, resume in (("whole", 4, False), ("part", 2, False), ("part", 4, True)):
        options = replace(OPTIONS, ema=0.5, accumulate=2, steps=steps)
        batches = sampler(size=size, pairs=pairs)
        state = run_fit(folder / run, None, options, method="co2", batches=batches, resume=resume)
        torch.save(list(state.net.parameters()), folder / f"{run}{world.rank}.pt")
    torch.save(torch.get_rng_state(), folder / f"rng{world.rank}.pt")
"""


def test_two_processes_end_with_equal_weights_and_resume(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    (tmp_path / "worker.py").write_text(WORKER)
    done = subprocess.run(
        [*torchrun, tmp_path / "worker.py", tmp_path], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

    def saved(run):
        return torch.load(tmp_path / f"{run}.pt")

    for other in ("whole1", "part0", "part1"):
        assert all(torch.equal(a, b) for a, b in zip(saved("whole0"), saved(other), strict=True)), other
    assert not torch.equal(saved("rng0"), saved("rng1"))
    options = replace(OPTIONS, ema=0.5, accumulate=2)
    with pytest.raises(CheckpointError, match="its number of processes is 2, this run has 1"):
        run_fit(tmp_path / "part", None, options, method="co2", batches=sampler(), resume=True)


@pytest.mark.parametrize("tensorboard", [False, True])
def test_a_full_disk_is_the_projects_error_and_keeps_the_checkpoint(tensorboard, tmp_path, text, monkeypatch):
    """The disk fills while the second checkpoint, or a curve, is written."""
    whole = OPTIONS.steps
    run_fit(tmp_path, text, replace(OPTIONS, steps=whole))
    before = {p.name: p.read_bytes() for p in tmp_path.glob("*.*")}
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(TrainingError, match=r"cannot be written \(File too large\); the last whole checkpoint is"):
            run_fit(tmp_path, text, replace(OPTIONS, steps=whole + 3, tensorboard=tensorboard), resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, previous)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert checkpoint.load(tmp_path).step == whole
    run_fit(tmp_path, text, replace(OPTIONS, steps=whole + 3), resume=True)
    assert checkpoint.load(tmp_path).step == whole + 3
