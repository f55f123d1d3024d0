"""Bad input that every method meets alike: each case goes through METHODS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tal_engine.annotations import AnnotatedVideo
from tal_engine.annotations.points import draw_points
from tal_engine.errors import FeatureError, TrainingError, UsageError
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.methods import METHODS, load_method, uses_points, uses_segments
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.validation import Videos, detect
from tal_engine.metrics import protocol
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary
from tests.learning import (
    NAMES,
    OPTIONS,
    WIDTH,
    a_batch,
    a_set,
    a_span,
    run_fit,
    small_config,
    steps_of_all_phases,
    weights,
)


@pytest.fixture(params=sorted(METHODS))
def method(request):
    return load_method(request.param)


class Spoiled:
    """Batches of a sampler; from one on, a video's features are not finite."""

    def __init__(self, inner, good, value):
        self.inner, self.good, self.value, self.drawn = inner, good, value, 0

    def draw(self, rng):
        batch = self.inner.draw(rng)
        self.drawn += 1
        if self.drawn > self.good:
            for x in batch.streams.values():
                x[1] = self.value
        return batch


def batches_of(method):
    videos, features = a_set()
    points = draw_points(videos, "uniform", 0) if uses_points(method) else None
    segments = {v.name: v.instances for v in videos} if uses_segments(method) else None
    streams = method.training_streams(small_config(method))
    return BatchSampler(videos, features, NAMES, streams, length=16, size=6, pairs=2, points=points, segments=segments)


@pytest.mark.parametrize("value", [float("nan"), 3e38], ids=["nan", "overflow"])
def test_features_that_spoil_a_loss_stop_the_run_whole(method, value, text, tmp_path):
    """The term and the videos are named; the checkpoint is that of the last good step and resumes."""
    spoiled = Spoiled(batches_of(method), 2, value)
    with pytest.raises(TrainingError, match=r"(loss term '\w+'|the gradient) is not finite at step 2, videos v\d, v\d"):
        run_fit(tmp_path / "c", text, method=method.name, batches=spoiled)
    found = checkpoint.load(tmp_path / "c")
    assert found.step == 2
    assert all(torch.isfinite(v).all() for v in weights(tmp_path / "c").values() if v.is_floating_point())
    assert {p.suffix for p in (tmp_path / "c").iterdir()} == {".json", ".safetensors"}
    whole = run_fit(tmp_path / "c", text, replace(OPTIONS, steps=3), method=method.name, batches=batches_of(method),
                    resume=True)  # fmt: skip
    assert whole.step == 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_never_read(value):
    x = np.zeros((5, WIDTH), np.float32)
    x[3, 2] = value
    with pytest.raises(FeatureError, match="stream 'rgb': feature 3 is NaN or infinite"):
        Features({"rgb": x}, Timeline(0, 1, 1), 5.0)


@pytest.mark.parametrize("length", [1, 2])
def test_a_video_of_one_snippet_trains(method, length, text):
    torch.manual_seed(0)
    net = method.build(small_config(method), NAMES, text).train()
    for step in steps_of_all_phases(method):
        batch = a_batch(method, length=24)
        short = {k: v[:, :length] for k, v in batch.streams.items()}
        points = None if batch.points is None else batch.points[:, 8 : 8 + length]
        segments = a_span(batch.labels, -0.5, length - 0.5) if uses_segments(method) else None
        terms = net.loss(replace(batch, streams=short, points=points, segments=segments), step)
        sum(terms.values()).backward()
        assert [k for k, v in terms.items() if not torch.isfinite(v)] == []
    spoiled = [n for n, p in net.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    assert spoiled == []


def test_a_video_of_one_snippet_is_localized(method, text):
    """That graphs agree at this length is what the gate of an export asks."""
    torch.manual_seed(0)
    config, rng = small_config(method), np.random.default_rng(0)
    net = method.build(config, NAMES, text).eval()
    streams = {
        s: rng.normal(size=(1, 128 if s == "clip" else WIDTH)).astype(np.float32)
        for s in method.inference_streams(config)
    }
    features = {"a": Features(streams, Timeline(0, 1, 1), 1.0)}
    data = Videos([AnnotatedVideo("a", "test", 1.0, ())], features, protocol("wtal-seconds"))
    found = detect(method, net, config, NAMES, data)
    assert ((found.start >= 0) & (found.start < found.end) & (found.end <= 1)).all()
    assert np.isfinite(found.score).all()


def test_one_class_is_enough(method, text):
    torch.manual_seed(0)
    net = method.build(small_config(method), Vocabulary(["run"]), text).train()
    batch = a_batch(method)
    labels = torch.ones(6, 1)
    points = None if batch.points is None else batch.points.amax(-1, keepdim=True)
    segments = a_span(labels) if uses_segments(method) else None
    terms = net.loss(replace(batch, labels=labels, points=points, segments=segments), 0)
    sum(terms.values()).backward()
    assert [k for k, v in terms.items() if not torch.isfinite(v)] == []


@pytest.mark.parametrize(("names", "words"), [([], "at least one class name"), (["run", " "], "non-empty strings")])
def test_vocabularies_without_a_class_or_a_name(names, words):
    with pytest.raises(UsageError, match=words):
        Vocabulary(names)


@pytest.mark.parametrize("name", ["---", "?!", "_"])
def test_class_names_without_words_are_refused_where_they_are_read(method, name, text):
    names = Vocabulary(["run", name, "jump"])
    if method.uses_text or method.name == "tsm_vlc":
        with pytest.raises(UsageError, match=f"class name '{name.replace('?', '[?]')}' has no words"):
            method.build(small_config(method), names, text)
    else:
        method.build(small_config(method), names, text)
