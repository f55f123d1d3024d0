"""Wide features to their principal components: by definition, in checkpoints, and inside the exported graph."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from tal_engine import TALEngine, load_features
from tal_engine.errors import CheckpointError, FeatureError
from tal_engine.lab import fit
from tal_engine.lab.fitting import rules, training
from tal_engine.lab.nn import projection
from tal_engine.lab.nn.projection import Projection, fit_projection
from tal_engine.lab.training import checkpoint
from tal_engine.plan.archive import read_plan
from tests.fitted import QUICK, QUICK_RULES, write_world


def features(rng, count, width):
    """Snippets of which a few directions differ much more than the others, far from zero."""
    x = rng.normal(size=(count, width)) * np.geomspace(1, 1e-3, width)
    return (x @ np.linalg.qr(rng.normal(size=(width, width)))[0] + 3).astype(np.float32)


@pytest.mark.parametrize(("count", "kept"), [(420, 42), (90, 32), (20, 20)])
def test_components_are_those_of_the_singular_values(rng, count, kept):
    x = features(rng, count, 100)
    made = fit_projection([{"rgb": x[:7]}, {"rgb": x[7:]}], ["rgb"], 10, wide=50)
    found = made.arrays({"rgb": x})["rgb"].astype(np.float64)
    assert found.shape == (count, kept)
    left, singular, _ = np.linalg.svd(x.astype(np.float64) - x.mean(0, dtype=np.float64), full_matrices=False)
    wanted = (left * singular)[:, :kept] / np.sqrt((singular[:kept] ** 2).mean() / count)
    assert np.abs(np.abs(found.T @ wanted / count) - np.diag((wanted**2).mean(0))).max() < 1e-3
    assert (found**2).mean() == pytest.approx(1, abs=1e-3)


def test_streams_that_are_narrow_or_not_asked_for_stay(rng):
    video = {"rgb": features(rng, 40, 300), "pose": features(rng, 40, 256), "clip": features(rng, 40, 300)}
    made = fit_projection([video], ["rgb", "pose"], 10)
    out = made.arrays(video)
    assert {s: x.shape[1] for s, x in out.items()} == {"rgb": 32, "pose": 256, "clip": 300}
    assert np.array_equal(out["pose"], video["pose"])
    assert fit_projection([video], ["pose"], 10) is None
    assert fit_projection([{"rgb": features(rng, 3010, 300)}], ["rgb"], 10) is None, "as many as there are"
    again = Projection(made.tensors)
    assert torch.equal(again.one("rgb", torch.from_numpy(video["rgb"])), torch.from_numpy(out["rgb"]))
    assert made.widths({"rgb": 300, "pose": 256}, before=False) == {"rgb": 32, "pose": 256}
    assert made.widths({"rgb": 32, "pose": 256}, before=True) == {"rgb": 300, "pose": 256}


def test_features_that_do_not_differ():
    with pytest.raises(FeatureError, match="stream 'rgb': all snippets have the same features"):
        fit_projection([{"rgb": np.ones((9, 300), np.float32)}], ["rgb"], 2)
    with pytest.raises(FeatureError, match="no videos"):
        fit_projection([], ["rgb"], 2)


def test_a_fit_of_wide_features_reads_them_as_they_are(tmp_path, monkeypatch):
    """The projection learns from training videos alone, is resumed as it was, and is exported inside the graph."""
    monkeypatch.setattr(rules, "RULES", tuple(replace(r, per_component=100) for r in QUICK_RULES))
    monkeypatch.setattr(training, "fit_projection", partial(fit_projection, wide=5))
    monkeypatch.setattr(projection, "LEAST", 6)
    world, seen = write_world(tmp_path), []

    def stop(task, done, total, note):
        seen.append(task)
        if (task, done) == ("all videos", 20):
            raise KeyboardInterrupt

    args = (world / "f", world / "segments.csv", world / "x.plan")
    with pytest.raises(KeyboardInterrupt):
        fit(*args, curve=False, progress=stop, **QUICK)
    runs = tmp_path / "x.fit" / "runs"
    first, second = (checkpoint.load(runs / f"fold{k}").projection.tensors["rgb.middle"] for k in (0, 1))
    assert not torch.equal(first, second)
    report = fit(*args, curve=False, **QUICK)
    kept = checkpoint.load(runs / "all")
    assert (kept.config.rgb, kept.widths()) == (6, {"rgb": 12})
    plan = read_plan(report.output)
    assert plan.manifest.streams == {"rgb": 12}
    assert report.document["figures"]["mAP@0.1:0.7"]["mean"] > 0.5
    assert len(TALEngine.load(report.output, "cpu").localize(load_features(world / "f" / "v00.npz"), min_score=0.0))


def test_a_run_does_not_go_on_behind_another_projection(rng, tmp_path):
    from tal_engine.lab.methods import load_method
    from tal_engine.lab.training.distributed import World
    from tal_engine.lab.training.training_options import TrainOptions
    from tal_engine.lab.training.training_state import Task, begin
    from tal_engine.vocabulary import Vocabulary

    made = [fit_projection([{"rgb": features(rng, 30, 300)}], ["rgb"], 4) for _ in range(2)]
    method, options, world = load_method("cola"), TrainOptions(device="cpu"), World(0, 1, torch.device("cpu"))
    tasks = [Task(method, method.Config(rgb=30, flow=0), Vocabulary(["a"]), options, {}, p) for p in (*made, None)]
    state = begin(tasks[0], None, world)
    checkpoint.save(tmp_path, state, tasks[0], world)
    checkpoint.resume(tmp_path, state, tasks[0], world)
    for task in tasks[1:]:
        with pytest.raises(CheckpointError, match="its features were projected otherwise"):
            checkpoint.resume(tmp_path, state, task, world)
