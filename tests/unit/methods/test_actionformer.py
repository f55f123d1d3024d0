"""ActionFormer: assignment, losses and network against slow twins, and odd videos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.errors import UsageError
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.methods import load_method
from tal_engine.lab.methods.actionformer.blocks import local_attention
from tal_engine.lab.methods.actionformer.losses import distance_iou, focal
from tal_engine.lab.methods.actionformer.network import padded_length
from tal_engine.lab.methods.actionformer.targets import assigned, moments
from tests.learning import NAMES, WIDTH, a_batch, quiet_config, small_config
from tests.reference import actionformer as twin

FORMER = load_method("actionformer")
STRIDES, RANGES = (1, 2, 4), ((0.0, 4.0), (4.0, 8.0), (8.0, 1000.0))

#: Segments on a grid of quarters, so that borders meet moments and ranges exactly; some begin before or end after 24.
SEGMENTS = st.lists(st.tuples(st.integers(-40, 130), st.integers(1, 160), st.integers(0, 2)), max_size=8)


def rows(found):
    return np.array([[s / 4, (s + n) / 4, label] for s, n, label in found], np.float32).reshape(-1, 3)


def small(**changes):
    torch.manual_seed(0)
    return FORMER.build(small_config(FORMER, **{"levels": 3, "window": 5, "stem": 1} | changes), NAMES, None)


@settings(max_examples=150, deadline=None)
@given(SEGMENTS, st.sampled_from([0.0, 1.0, 1.5]))
def test_moments_learn_the_segments_that_the_textbook_has(found, radius):
    segments = rows(found)
    of = moments(24, STRIDES, RANGES)
    labels, distances = assigned(torch.from_numpy(segments), 3, of, radius)
    for p in range(len(of.at)):
        at, stride, low, high = (float(x[p]) for x in of)
        wanted, reach = twin.assign(segments.tolist(), 3, at, stride, low, high, radius)
        assert labels[p].tolist() == wanted.tolist()
        assert distances[p].tolist() == pytest.approx(reach, abs=1e-6)


def test_nested_segments_and_equal_ones():
    """The inner one is learned where both fit; equal ones are learned with both classes."""
    inner = torch.tensor([[0.0, 20.0, 0.0], [8.0, 12.0, 1.0], [8.0, 12.0, 2.0]])
    labels, distances = assigned(inner, 3, moments(24, (1,), ((0, 100),)), 0)
    assert labels[10].tolist() == [0, 1, 1]
    assert distances[10].tolist() == [2, 2]
    assert labels[4].tolist() == [1, 0, 0]
    assert labels[22].tolist() == [0, 0, 0]


def test_a_segment_longer_than_the_video_is_learned_at_the_level_for_it():
    of = moments(24, STRIDES, RANGES)
    labels, distances = assigned(torch.tensor([[-100.0, 124.0, 1.0]]), 3, of, 1.5)
    assert labels.sum(0).tolist() == [0, int(labels[:, 1].sum()), 0]
    at = int(labels[:, 1].argmax())
    assert of.stride[at] == 4
    assert float(distances[at].sum() * 4) == 224


@settings(max_examples=100, deadline=None)
@given(st.floats(-12, 12), st.booleans(), st.floats(0.05, 0.95), st.sampled_from([0.0, 1.0, 2.0, 3.5]))
def test_focal_loss(logit, label, alpha, gamma):
    x, y = torch.tensor([logit, float(label)], dtype=torch.float64)
    found = focal(x, y, alpha, gamma)
    assert float(found) == pytest.approx(twin.focal(logit, label, alpha, gamma), rel=1e-5, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(*[st.tuples(st.floats(0, 50), st.floats(0, 50))] * 2)
def test_distance_iou_loss(found, wanted):
    loss = distance_iou(torch.tensor([found], dtype=torch.float64), torch.tensor([wanted], dtype=torch.float64))
    if sum(found) + sum(wanted) > 1e-6:
        assert float(loss) == pytest.approx(twin.distance_iou(found, wanted), rel=1e-9, abs=1e-9)
    else:
        assert np.isfinite(float(loss))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.sampled_from([1, 2, 9, 30]), st.sampled_from([2, 4, 16]), st.integers(0, 10))
def test_local_attention_is_that_of_each_window(count, reach, size, hidden):
    length = count * size
    g = torch.Generator().manual_seed(length)
    query, key, value = torch.randn(3, 1, 2, length, 4, generator=g, dtype=torch.float64)
    mask = (torch.arange(length) < max(length - hidden, 1)).double()
    found = local_attention(query, key, value, mask[None], reach, size)[0].transpose(0, 1).reshape(length, 8)
    flat = [x[0].transpose(0, 1).reshape(length, 8).numpy() for x in (query, key, value)]
    wanted = twin.attend(*flat, mask.numpy(), 2, 2 * reach + 1)
    real = mask.numpy() > 0
    np.testing.assert_allclose(found.numpy()[real], wanted[real], atol=1e-12)


def test_padding_behind_a_video_changes_nothing():
    net = small().eval()
    streams = {s: torch.randn(2, 21, WIDTH) for s in ("rgb", "flow")}
    longer = {s: torch.cat([x, torch.randn(2, 19, WIDTH)], 1) for s, x in streams.items()}
    mask = (torch.arange(40) < 21).float().expand(2, -1)
    a, b = net(streams), net(longer, mask)
    for level, stride in enumerate((1, 2, 4)):
        first = [sum(padded_length(n, 3) // s for s in (1, 2, 4)[:level]) for n in (21, 40)]
        real = -(-21 // stride)
        for x, y in ((a.logits, b.logits), (a.distances, b.distances)):
            torch.testing.assert_close(x[:, first[0] : first[0] + real], y[:, first[1] : first[1] + real])
        assert b.mask[:, first[1] : first[1] + padded_length(40, 3) // stride].sum() == 2 * real


def test_the_loss_is_that_of_its_terms():
    """Sums over real moments by the running mean of how many learn a segment."""
    net = small(drop_path=0.0).train()
    streams = {s: torch.randn(2, 20, WIDTH) for s in ("rgb", "flow")}
    mask = (torch.arange(20) < torch.tensor([[20], [13]])).float()
    segments = (torch.tensor([[2.0, 5.0, 0.0], [6.0, 17.0, 2.0]]), torch.tensor([[3.0, 30.0, 1.0]]))
    with torch.no_grad():
        out = net(streams, mask)
    cls = reg = count = 0.0
    of = moments(padded_length(20, 3), (1, 2, 4), net.config.borders)
    for v in range(2):
        for p in range(len(of.at)):
            if not out.mask[v, p]:
                continue
            at, stride, low, high = (float(x[p]) for x in of)
            labels, reach = twin.assign(segments[v].tolist(), 3, at, stride, low, high, 1.5)
            cls += sum(twin.focal(float(o), bool(y), 0.25, 2) for o, y in zip(out.logits[v, p], labels, strict=True))
            if labels.any():
                count += 1
                reg += twin.distance_iou(out.distances[v, p].tolist(), reach)
    assert count > 3
    terms = net.loss(Batch(streams, torch.ones(2, 3), mask=mask, segments=segments), 0)
    norm = 0.9 * 100 + 0.1 * count
    assert terms["cls"].item() == pytest.approx(cls / norm, rel=1e-4)
    assert terms["reg"].item() == pytest.approx(reg / norm, rel=1e-4)
    assert net.normalizer == pytest.approx(norm)


def test_the_normalizer_goes_on_from_where_it_was():
    net, other = small(), small()
    net.loss(a_batch(FORMER), 0)
    other.load_training_state(net.training_state())
    assert other.normalizer == net.normalizer != 100.0


@settings(max_examples=25, deadline=None)
@given(st.lists(SEGMENTS, min_size=2, max_size=2), st.integers(1, 40))
def test_any_segments_train(found, length):
    """None at all, nested, overlapping, equal, outside of the video, longer than it."""
    net = small().train()
    streams = {s: torch.randn(2, length, WIDTH) for s in ("rgb", "flow")}
    segments = tuple(torch.from_numpy(rows(f)) for f in found)
    terms = net.loss(Batch(streams, torch.zeros(2, 3), segments=segments), 0)
    sum(terms.values()).backward()
    assert all(torch.isfinite(v) for v in terms.values())
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_streams_of_any_name_and_number():
    config = FORMER.Config(widths={"pose": 5, "rgb": 6, "audio": 3}, width=8, heads=2)
    net = FORMER.build(config, NAMES, None)
    streams = {"pose": torch.randn(1, 9, 5), "rgb": torch.randn(1, 9, 6), "audio": torch.randn(1, 9, 3)}
    assert net(streams).logits.shape[2] == 3
    assert FORMER.inference_streams(config) == ("pose", "rgb", "audio")
    with pytest.raises(UsageError, match="stream 'audio' is 4 wide, must be 3"):
        net({**streams, "audio": torch.randn(1, 9, 4)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": 4}, "window is 4, must be odd"),
        ({"heads": 5}, r"heads is 5, must be a divisor of width \(512\)"),
        ({"rgb": 0, "flow": 0}, "there is nothing to read"),
        ({"ranges": ((0, 4), (4, 8))}, r"must be empty, or 6 pairs \(levels\)"),
        ({"levels": 0}, "levels is 0, must be at least 1"),
        ({"drop_path": 1.0}, r"drop_path is 1.0, must be in \[0, 1\)"),
        ({"prior": 0.0}, "prior is 0.0, must be between 0 and 1"),
    ],
)
def test_bad_configs_are_named(changes, words):
    with pytest.raises(UsageError, match=words):
        FORMER.Config(**changes)


def test_a_batch_without_segments_is_refused():
    with pytest.raises(UsageError, match="reads segments with start and end"):
        small().loss(replace(a_batch(FORMER), segments=None), 0)


def test_published_settings():
    """Facts of the public configuration: configs/thumos_i3d.yaml and libs/core/config.py."""
    config = FORMER.Config(**FORMER.RECIPES["thumos14"].config)
    assert config.borders == ((0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 10000))
    with torch.device("meta"):
        net = FORMER.build(config, NAMES, None)
    sizes = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    assert sizes["embed.0.weight"] == (512, 2048, 3)
    assert sizes["branch.4.attention.key_conv.weight"] == (512, 1, 3)
    assert sizes["stem.1.up.weight"] == (2048, 512, 1)
    train = FORMER.RECIPES["thumos14"].train
    assert (train["learning_rate"], train["weight_decay"], train["batch"], train["length"]) == (1e-4, 0.05, 2, 2304)


def test_a_class_at_unknown_times_is_no_negative():
    """No moment of such a video learns that the class is absent, or that it is there."""
    method = load_method("actionformer")
    torch.manual_seed(0)
    net = method.build(quiet_config(method), NAMES, None)
    batch = a_batch(method, size=2)
    c = int(batch.labels[1].argmax())
    untimed = torch.zeros_like(batch.labels)
    untimed[1, c] = 1
    mixed = replace(batch, segments=(batch.segments[0], batch.segments[1][:0]), untimed=untimed)
    seen = []
    net.classifier.register_forward_hook(lambda m, i, o: seen.append(o) or o.retain_grad())
    terms = net.loss(mixed, 0)
    terms["cls"].backward()
    assert all(bool((x.grad[1, c] == 0).all()) for x in seen)
    assert any(bool((x.grad[1, 1 - c] > 0).any()) for x in seen), "other classes are absent, as the label says"
