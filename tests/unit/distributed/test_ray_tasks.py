"""Folds of a fit and streams of an evaluation as tasks of a Ray cluster: what one process gives, to the byte."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.diagnostics.latency_curve import latency_curve
from tal_engine.distributed import RayOptions
from tal_engine.distributed.sweeping import spread_on
from tal_engine.distributed.tasks import mapped
from tal_engine.errors import BackendError, FeatureError, UsageError
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tests.makers import SNIPPET, tiny_plan

pytest.importorskip("ray.data", reason="pip install '.[ray]'")  # a folder that Ray left in /tmp is no Ray
ray = pytest.importorskip("ray")

#: Ray warns of itself, and leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.xdist_group("ray"),
    *(pytest.mark.filterwarnings(f"ignore::{kind}") for kind in (
        "DeprecationWarning", "FutureWarning", "ResourceWarning", "UserWarning",
        "pytest.PytestUnraisableExceptionWarning",
    )),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Two cores of this machine, whose workers know the tests' modules."""
    env = {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
             object_store_memory=100 << 20, runtime_env={"env_vars": env})  # fmt: skip
    yield
    ray.shutdown()


def times(factor, x):
    return factor * x


def faulty(error, x):
    raise error(f"{x} is not to be had")


def dies_once(path, x):
    if not path.exists():
        path.write_text("")
        os._exit(1)
    return x


def test_results_come_in_order():
    told = []
    assert mapped(times, 3, list(range(7)), RayOptions(), lambda *a: told.append(a)) == [3 * x for x in range(7)]
    assert told == [(i + 1, 7) for i in range(7)]
    assert mapped(times, 3, [], RayOptions()) == []


def test_errors_are_those_of_the_function():
    with pytest.raises(FeatureError, match="1 is not to be had"):
        mapped(faulty, FeatureError, [1], RayOptions())
    with pytest.raises(BackendError, match=r"Ray ended the run: .*1 is not to be had"):
        mapped(faulty, ZeroDivisionError, [1], RayOptions())


def test_a_task_whose_process_dies_is_done_again(tmp_path):
    assert mapped(dies_once, tmp_path / "died", [5], RayOptions()) == [5]


def features_of(seed, count=40):
    step = SNIPPET.stride / SNIPPET.fps
    x = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    return Features({"rgb": x}, Timeline(0.0, step, SNIPPET.window / SNIPPET.fps), count * step)


def test_a_curve_is_that_of_one_process():
    engine = TALEngine(tiny_plan(encoders=False), "cpu")
    features = {f"v{i}": features_of(i) for i in range(3)}
    told = []
    curve = partial(latency_curve, engine, features, (8.0, 30.0, np.inf), (0.0, 2.0, 10.0), min_score=-np.inf, top_k=0)
    here = curve(progress=lambda *a: told.append(a))
    there = curve(spread=spread_on(RayOptions(), "cpu"))
    assert told == [(i + 1, 9) for i in range(9)]
    assert [(p.window_s, p.look_ahead_s) for p in here] == [
        (8.0, 0.0), (8.0, 2.0), (30.0, 0.0), (30.0, 2.0), (30.0, 10.0), (np.inf, 0.0), (np.inf, 2.0), (np.inf, 10.0)
    ]  # fmt: skip
    assert sum(len(p.finals) for p in here) > 50
    assert here == there


def test_a_fit_is_that_of_one_process(tmp_path, monkeypatch):
    """Stages and plan: all bytes but the seconds. What is done already is not done again."""
    pytest.importorskip("torch")
    from tal_engine.lab import fit
    from tal_engine.lab.fitting import rules, stages
    from tests.fitted import QUICK, QUICK_RULES, write_world

    monkeypatch.setattr(rules, "RULES", QUICK_RULES)
    world = write_world(tmp_path / "world")
    options = {**QUICK, "curve": True, "folds": 3}
    fit(world / "f", world / "segments.csv", tmp_path / "one.plan", **options)
    fit(world / "f", world / "segments.csv", tmp_path / "two.plan", ray=RayOptions(), **options)

    def found(name):
        files = sorted((tmp_path / name / "stages").glob("*.json"))
        return {p.stem: json.dumps(json.loads(p.read_text())["found"]) for p in files}

    assert set(found("one.fit")) >= {"fold0", "fold1", "fold2", "half0", "half1", "half2"}
    assert found("one.fit") == found("two.fit")
    for of in ("fold1", "half2", "all"):
        a, b = (tmp_path / name / "runs" / of / "checkpoint.safetensors" for name in ("one.fit", "two.fit"))
        files = [p.parent.glob("*.safetensors") for p in (a, b)]
        contents = [{p.name: p.read_bytes() for p in of} for of in files]
        assert contents[0]
        assert contents[0] == contents[1]

    def never(*args, **kwargs):
        raise AssertionError("a fold was trained again")

    monkeypatch.setattr(stages, "trained", never)
    fit(world / "f", world / "segments.csv", tmp_path / "two.plan", ray=RayOptions(), overwrite=True, **options)


def test_what_cannot_be(tmp_path):
    with pytest.raises(UsageError, match="is of a remote client"):
        RayOptions(address="ray://head:10001")
