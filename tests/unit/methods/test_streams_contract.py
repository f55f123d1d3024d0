"""Every head and method on one, two and three streams and every kind of labels: it trains, is saved, exported, cuts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tal_engine import TALEngine
from tal_engine.annotations import AnnotatedVideo
from tal_engine.annotations.points import Point
from tal_engine.errors import DataError, FeatureError, UsageError
from tal_engine.export import bundle
from tal_engine.lab.data.dataset import DataSet
from tal_engine.lab.data.description import TextSpec
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.heads.streams import IMAGE, StreamConfig, with_streams
from tal_engine.lab.methods import METHODS, load_method, uses_points, uses_segments
from tal_engine.lab.nn.hashed_text import HashedText
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.recipe import on_data
from tal_engine.lab.training.runs import train_head
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.records import Features, Segment
from tal_engine.timeline import Timeline
from tests.learning import NAMES, small_config

#: Names that no published head has beside some that its own parts have; no two of one width.
STREAMS = {1: {"pose": 6}, 2: {"rgb": 8, "audio": 5}, 3: {"rgb": 8, "flow": 6, "fusion": 5}}
JOINT = 12
METHOD_NAMES = sorted(n for n in METHODS if issubclass(load_method(n).Config, StreamConfig))
#: Labels by kind, and which methods they are for: those that learn from points need points, or segments to draw them;
#: those that learn from segments need segments.
KINDS = [(kind, name) for name in METHOD_NAMES for kind in ("video", "point", "segment")
         if kind == "segment" or not uses_segments(load_method(name))
         if kind != "video" or not uses_points(load_method(name))]  # fmt: skip

#: Those that have a part for each stream; others put streams side by side, whatever they are.
OWN_PARTS = ("aicl", "co2", "pvlr", "stpn", "tsm_vlc", "vlpo")


class InMemory:
    """Features that are there."""

    def __init__(self, features, widths):
        self._features, self._widths = features, widths

    @property
    def streams(self):
        return tuple(self._widths)

    def widths(self, videos, streams):
        unknown = [s for s in streams if s not in self._widths]
        if unknown:
            raise DataError(f"no stream {unknown[0]!r}")
        return {s: self._widths[s] for s in streams}

    def load(self, video, streams):
        found = self._features[video.name]
        return Features({s: found[s] for s in streams}, Timeline(0, 1, 1), 14.0)

    def count(self, video):
        return 14


def a_dataset(widths, kind="segment", role="train"):
    """Six videos of three classes, 14 s; features are far from noise inside of the actions."""
    rng = np.random.default_rng(0)
    videos, features, points = [], {}, {}
    for i in range(6):
        name, label = f"v{i}", tuple(NAMES)[i % 3]
        timed = (Segment(3.0, 8.0, label, 1.0),) if kind == "segment" else ()
        videos.append(AnnotatedVideo(name, role, 14.0, timed, video_labels=None if timed else (label,)))
        features[name] = {s: rng.normal(size=(14, w)).astype(np.float32) for s, w in widths.items()}
        for x in features[name].values():
            x[3:8, i % 3 :: 3] += 3
        points[name] = (Point(5.5, label),)
    return DataSet(
        name="six", vocabulary=NAMES, videos=tuple(videos), protocol="activitynet", roles={"train": role},
        source=InMemory(features, widths), timeline=Timeline(0, 1, 1), text=TextSpec(tower="hashed"),
        points=points if kind == "point" else None, points_outside="keep",
    )  # fmt: skip


def widths_for(method, count):
    """So many streams to classify by, and that of the image-text model where the method reads it."""
    reads = IMAGE in method.training_streams(small_config(method))
    return STREAMS[count] | ({IMAGE: JOINT} if reads else {})


def prepared(method, data):
    """A small config on a data set's streams, and the text tower."""
    tower = HashedText(JOINT) if method.uses_text else None
    small = {"positions": 16} if hasattr(method.Config, "positions") else {}
    if method.name == "distill_collab":
        small |= {"warm_up": 1, "b_steps": 1, "f_steps": 1}
    if method.name == "pser":
        small |= {"seed_steps": 1, "refine_steps": 1}
    return on_data(method, small_config(method, **small), data, tower)


def trained(method, data, folder, kind):
    config, text = prepared(method, data)
    options = TrainOptions(
        steps=3, batch=4, pairs=1, length=12, learning_rate=1e-3, device="cpu", save_every=100,
        points="given" if kind == "point" else "uniform",
    )  # fmt: skip
    train_head(method, config, options, data, folder, text=text)
    return config


@pytest.mark.parametrize("count", STREAMS)
@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_every_method_trains_on_any_streams_and_labels(name, kind, count, tmp_path):
    """Losses are finite, else training stops; the weights move, and the checkpoint says what it read."""
    method = load_method(name)
    widths = widths_for(method, count)
    config = trained(method, a_dataset(widths, kind), tmp_path, kind)
    found = checkpoint.load(tmp_path)
    assert found.config == config
    assert config.visual == STREAMS[count]
    assert set(method.training_streams(config)) == set(widths)
    torch.manual_seed(0)
    begun = method.build(config, NAMES, HashedText(JOINT) if method.uses_text else None).state_dict()
    learned = found.tensors("weights")
    moved = [k for k, v in learned.items() if k in begun and not torch.equal(v, begun[k])]
    assert len(moved) >= 0.5 * len(learned)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", METHOD_NAMES)
def test_gradients_reach_every_part_of_every_stream(name, count):
    method = load_method(name)
    data = a_dataset(widths_for(method, count))
    config, text = prepared(method, data)
    torch.manual_seed(0)
    net = method.build(config, NAMES, text).train()
    for step in range(3):  # a phase each, where there are phases
        sum(net.loss(a_batch_of(method, widths_for(method, count)), step).values()).backward()
    dead = [n for n, p in net.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.abs().sum())]
    # One stream is rebuilt from no other.
    assert [n for n in dead if not (count == 1 and ".decode." in n)] == []


def a_batch_of(method, widths):
    g = torch.Generator().manual_seed(0)
    labels = torch.eye(3).repeat(2, 1)[[0, 3, 1, 4, 2, 5]]
    streams = {s: torch.randn(6, 24, w, generator=g) for s, w in widths.items()}
    for x in streams.values():
        x[:, 5:12] += labels.repeat(1, 5)[:, None, : x.shape[-1]] * 2
    points = torch.zeros(6, 24, 3)
    points[:, 8] = labels
    segments = tuple(torch.tensor([[5.0, 12.0, float(k)]]) for k in labels.argmax(1))
    return Batch(
        streams, labels, pairs=3, points=points if uses_points(method) else None,
        segments=segments if uses_segments(method) else None,
    )  # fmt: skip


@pytest.mark.parametrize(("count", "name"), [*((1, n) for n in OWN_PARTS), *((3, n) for n in METHOD_NAMES)])
def test_every_method_is_exported_behind_the_gate_and_localizes(name, count, tmp_path):
    method = load_method(name)
    data = a_dataset(widths_for(method, count))
    config = trained(method, data, tmp_path / "c", "segment")
    plan = tmp_path / "x.plan"
    bundle.export(checkpoint.load(tmp_path / "c"), None, plan, name="x")
    engine = TALEngine.load(plan, "cpu")
    streams = method.inference_streams(config)
    assert list(engine.plan.manifest.streams) == list(streams)
    assert engine.plan.manifest.parity["head"]["tensor"] < 1e-5
    features = data.source.load(data.videos[0], streams).streams
    assert all(0 <= s.start < s.end <= 15 for s in engine.localize(features, min_score=-np.inf))


def test_the_image_text_stream_classifies_where_there_is_no_other():
    config, _ = prepared(load_method("pvlr"), a_dataset({IMAGE: JOINT}))
    assert config.visual == {IMAGE: JOINT}
    assert load_method("pvlr").training_streams(config) == (IMAGE,)


def test_streams_that_somebody_names_are_read_alone():
    method, data = load_method("co2"), a_dataset(STREAMS[3])
    assert on_data(method, method.Config(flow=0), data, None, ["flow"])[0].visual == {"rgb": 8}
    config = method.Config(widths={"fusion": 0, "rgb": 0})
    assert on_data(method, config, data, None, ["widths.fusion", "widths.rgb"])[0].visual == {"fusion": 5, "rgb": 8}
    with pytest.raises(DataError, match="no stream 'pose'"):
        on_data(method, method.Config(widths={"pose": 0}), data, None, ["widths.pose"])


def test_methods_that_read_texts_say_what_is_missing(caplog):
    data = a_dataset({"rgb": 8})
    for name in ("pvlr", "vlpo", "distill_collab"):
        method = load_method(name)
        with pytest.raises(UsageError, match=rf"{name} compares snippets with texts by the stream 'clip'.*six has rgb"):
            on_data(method, small_config(method), data, None)
    pvlr = load_method("pvlr")
    config, text = on_data(pvlr, small_config(pvlr, kd_weight=0.0), data, None)
    assert "hashed words, which carry no meaning" in caplog.text
    assert (config.joint, config.visual) == (text.dim, {"rgb": 8})
    for name in METHOD_NAMES:
        if not load_method(name).uses_text:
            assert on_data(load_method(name), small_config(load_method(name)), data, None)[1] is None


def test_a_config_that_reads_nothing_is_refused():
    config = load_method("co2").Config
    with pytest.raises(UsageError, match="there is nothing to read"):
        config(rgb=0, flow=0)
    with pytest.raises(UsageError, match="the width of stream pose is -1"):
        config(widths={"pose": -1})
    with pytest.raises(UsageError, match="without a dot"):
        load_method("co2").build(config(widths={"a.b": 4}), NAMES)


def test_published_streams_keep_their_fields():
    config = load_method("co2").Config()
    assert with_streams(config, {"rgb": 1024, "flow": 1024}) == config
    one = with_streams(config, {"flow": 64})
    assert (one.rgb, one.flow, one.widths) == (0, 64, {})
    turned = with_streams(config, {"flow": 4, "rgb": 8})
    assert list(turned.visual) == ["flow", "rgb"]


@pytest.mark.parametrize("name", ["lacp", "apn", "pser"])
def test_points_are_asked_for_where_there_are_none(name, tmp_path):
    method = load_method(name)
    data = a_dataset(STREAMS[1], "video")
    with pytest.raises((FeatureError, UsageError, DataError)):
        trained(method, data, tmp_path, "point")
