"""Learning rates and weight decay of the loop, and segments through it: seeds, resume, validation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tal_engine.errors import CheckpointError, FeatureError, UsageError
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.data.dataset import open_dataset
from tal_engine.lab.data.synthetic import SimulatorOptions
from tal_engine.lab.data.write_public import write_simulation
from tal_engine.lab.methods import load_method
from tal_engine.lab.training.distributed import this_world
from tal_engine.lab.training.recipe import fitted
from tal_engine.lab.training.runs import train_head
from tal_engine.lab.training.supervision import segments_of
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.lab.training.training_state import Task, begin, learning_rate
from tests.learning import NAMES, a_set, run_fit, small_config, weights

FORMER = load_method("actionformer")
OPTIONS = TrainOptions(
    steps=4, batch=4, pairs=0, length=24, sampling="crop", optimizer="adamw", schedule="cosine", warmup=2,
    learning_rate=1e-3, weight_decay=0.05, clip_norm=1.0, ema=0.9, save_every=2, device="cpu",
)  # fmt: skip


def test_rates_rise_then_stay():
    o = TrainOptions(learning_rate=2.0, warmup=4, steps=10)
    assert [learning_rate(o, s) for s in (0, 1, 3, 4, 9)] == [0.5, 1.0, 2.0, 2.0, 2.0]
    assert learning_rate(TrainOptions(learning_rate=2.0), 0) == 2.0


def test_rates_fall_as_half_a_cosine():
    o = TrainOptions(learning_rate=2.0, warmup=2, steps=10, schedule="cosine")
    assert learning_rate(o, 6) == pytest.approx(1.0)
    assert learning_rate(o, 10) == pytest.approx(0.0)
    assert all(learning_rate(o, s) > learning_rate(o, s + 1) for s in range(2, 10))
    with pytest.raises(UsageError, match="warmup is -1, must be 0 or more"):
        TrainOptions(warmup=-1)


def test_only_weights_of_layers_decay():
    state = begin(Task(FORMER, small_config(FORMER), NAMES, OPTIONS, {}), None, this_world(OPTIONS))
    decays = {id(p): g["weight_decay"] for g in state.optimizer.param_groups for p in g["params"]}
    found = {n: decays[id(p)] for n, p in state.net.named_parameters()}
    assert {n for n, d in found.items() if d} == {
        n for n, p in state.net.named_parameters() if n.endswith("weight") and "norm" not in n and "before" not in n
    }
    assert found["scales.0.scale"] == found["classifier.bias"] == 0.0


def batches():
    videos, features = a_set()
    return BatchSampler(
        videos, features, NAMES, ("rgb", "flow"), length=24, size=4, pairs=0, sampling="crop",
        segments={v.name: v.instances for v in videos},
    )  # fmt: skip


def test_a_run_that_was_cut_goes_on_bit_for_bit(tmp_path):
    """Averaged weights, rates and the loss's running mean too."""
    run_fit(tmp_path / "a", None, OPTIONS, method="actionformer", batches=batches())

    class StopError(Exception):
        pass

    def stop(step, steps, terms):
        if step == 3:
            raise StopError

    with pytest.raises(StopError):
        run_fit(tmp_path / "b", None, OPTIONS, method="actionformer", batches=batches(), report=stop)
    state = run_fit(tmp_path / "b", None, OPTIONS, method="actionformer", batches=batches(), resume=True)
    assert state.net.normalizer != 100.0
    for name in ("weights", "weights_ema"):
        a, b = (weights(tmp_path / folder, name) for folder in "ab")
        assert all(torch.equal(a[k], b[k]) for k in a)
    with pytest.raises(CheckpointError, match="cannot resume, its steps is 4, this run has 9"):
        run_fit(tmp_path / "b", None, replace(OPTIONS, steps=9), method="actionformer", batches=batches(), resume=True)


def test_a_data_set_trains_and_is_scored(tmp_path):
    write_simulation(tmp_path / "sim", SimulatorOptions(train=6, test=3, classes=2, rgb=8, flow=8, joint=8))
    data = open_dataset(tmp_path / "sim" / "data.yaml")
    config = fitted(small_config(FORMER, rgb=0), data.widths(("flow",)))
    run = train_head(FORMER, config, OPTIONS, data, tmp_path / "c")
    assert run.rows[0].figures["0.5"].mean >= 0
    again = train_head(FORMER, config, OPTIONS, data, tmp_path / "d")
    assert again.rows == run.rows
    bare = [replace(v, instances=()) for v in data.subset("train")]
    with pytest.raises(FeatureError, match="no training video has a segment with start and end"):
        segments_of(data, bare)
