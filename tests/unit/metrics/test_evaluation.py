"""A network in training against the pipeline of inference, and the overlap of masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tal_engine import inference
from tal_engine.annotations import AnnotatedVideo
from tal_engine.errors import FeatureError
from tal_engine.lab.methods import load_method
from tal_engine.lab.training.validation import Found, Videos, activations, detect, detections, evaluate, masks, scores
from tal_engine.metrics import mask_overlap, protocol, truth_mask
from tal_engine.records import Features, Segment
from tal_engine.timeline import Timeline
from tests.learning import NAMES, a_set, small_config

SNIPPETS = Timeline(0.0, 0.64, 0.64)


@pytest.fixture(scope="module")
def co2():
    torch.manual_seed(0)
    method = load_method("co2")
    config = small_config(method, class_threshold=0.0)
    return method, method.build(config, NAMES, None), config


def the_videos(**changes):
    videos, features = a_set(3)
    features = {k: Features(f.streams, SNIPPETS, len(f) * 0.64) for k, f in features.items()}
    return Videos(videos, features, protocol("wtal-seconds"), **changes)


def test_detections_are_those_of_the_pipeline(co2):
    method, net, config = co2
    data = the_videos()
    table = detect(method, net, config, NAMES, data)
    frozen = method.freeze(net.eval())
    for v, name in enumerate(table.videos):
        f = data.features[name]
        with torch.no_grad():
            out = frozen(**{s: torch.from_numpy(f.streams[s][None]) for s in ("rgb", "flow")})
        found = inference.activations_of({k: x.numpy() for k, x in out.items()}, f.timeline, f.duration)
        wanted = inference.suppress(
            inference.propose(found, method.proposal_options(config)), method.nms_options(config)
        ).data
        mine = table.where(table.video == v)
        assert len(mine) == len(wanted) > 0
        for field in ("start", "end", "score", "label"):
            np.testing.assert_allclose(getattr(mine, field), wanted[field], rtol=1e-6)


def test_evaluating_leaves_modes_and_noise_alone(co2):
    method, net, config = co2
    net.train()
    net.fusion[0].eval()
    before, noise = [m.training for m in net.modules()], torch.get_rng_state()
    scores(method, net, config, NAMES, the_videos())
    assert [m.training for m in net.modules()] == before
    assert torch.equal(torch.get_rng_state(), noise)
    net.train()


@pytest.mark.parametrize(
    ("sampling", "rows"), [("full", [30, 31, 32]), ("uniform", [31, 31, 31]), ("uniform_if_longer", [30, 31, 31])]
)
def test_what_is_read_of_a_video(co2, sampling, rows):
    method, net, config = co2
    found = activations(method, net, config, the_videos(sampling=sampling, length=31))
    assert np.diff(found.offsets).tolist() == rows
    np.testing.assert_allclose(found.ratio, np.array([30, 31, 32]) / rows)
    assert found.cas.shape == (sum(rows), len(NAMES) + 1)


def planted(length, rows, on):
    """Activations of one video of `length` snippets read as `rows`: class 0 is on in some of them."""
    cas = np.zeros((rows, 4), np.float32)
    cas[on, 0] = 10
    attention = (cas[:, 0] / 10).astype(np.float32)
    features = {"v": Features({"rgb": np.zeros((length, 8), np.float32)}, SNIPPETS, length * 0.64)}
    found = Found(("v",), cas, attention, None, np.array([0, rows]), np.array([length / rows]))
    return found, features


@pytest.mark.parametrize(("length", "rows"), [(40, 40), (40, 12), (10, 40)])
def test_seconds_of_sampled_videos(length, rows):
    """A quarter to three quarters of the video, whatever is read of it."""
    method = load_method("co2")
    found, features = planted(length, rows, slice(rows // 4, 3 * rows // 4))
    data = Videos([AnnotatedVideo("v", "test", 0.0, ())], features, protocol("wtal-seconds"))
    table = detections(found, method, small_config(method), NAMES, data)
    seconds = length * 0.64
    assert set(np.round(table.start / seconds, 9)) == {0.25}
    assert set(np.round(table.end / seconds, 9)) == {0.75}
    assert {table.labels[i] for i in table.label} == {"run"}


def test_a_perfect_network_scores_one():
    method = load_method("co2")
    found, features = planted(40, 40, slice(10, 30))
    truth = (Segment(6.4, 19.2, "run", 1.0),)
    data = Videos([AnnotatedVideo("v", "test", 0.0, truth)], features, protocol("wtal-seconds"))
    assert evaluate(detections(found, method, small_config(method), NAMES, data), data).average == 1.0
    assert masks(found, NAMES, data) == (1.0, 1.0)
    half = replace(data, videos=[AnnotatedVideo("v", "test", 0.0, (Segment(6.4, 12.8, "run", 1.0),))])
    assert masks(found, NAMES, half) == (0.5, pytest.approx(20 / 30))


def test_videos_that_are_too_short_count_as_missed():
    method = load_method("co2")
    found, features = planted(40, 40, slice(10, 30))
    truth = (Segment(6.4, 19.2, "run", 1.0),)
    whole = Videos([AnnotatedVideo("v", "test", 0.0, truth)], features, protocol("wtal-seconds"))
    table = detections(found, method, small_config(method), NAMES, whole)
    short = AnnotatedVideo("short", "test", 0.0, (Segment(0.0, 0.3, "run", 1.0),))
    result = evaluate(table, replace(whole, missed=[short]))
    assert (result.counts.videos, result.counts.instances, result.average) == (2, 2, 0.5)


def test_masks_by_hand():
    truth = truth_mask([Segment(1.0, 3.0, "b", 1.0)], ["a", "b"], np.array([0.5, 1.5, 2.5, 3.5]))
    assert truth.tolist() == [[False, False], [False, True], [False, True], [False, False]]
    found = np.array([[True, True], [True, True], [True, False], [True, False]])
    # Class "a" is not in the video, so its mask is not looked at: b 1/3, background {2,3} of {0,2,3}.
    assert mask_overlap([(found, truth)]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    nothing = np.zeros((4, 2), bool)
    both = mask_overlap([(found, truth), (nothing, nothing)])
    assert both == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert all(np.isnan(mask_overlap([])))


def test_a_score_is_ready_for_json(co2):
    import json

    method, net, config = co2
    score = scores(method, net, config, NAMES, the_videos())
    assert json.loads(json.dumps(score, allow_nan=False)) == score
    assert score["protocol"] == "wtal-seconds"
    assert list(score["map"]) == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"]
    assert score["averages"]["0.1:0.7"] == pytest.approx(score["average"])
    assert score["averages"]["0.3:0.7"] == pytest.approx(np.mean([score["map"][f"0.{i}"] for i in range(3, 8)]))


def test_missing_features_are_named(co2):
    method, net, config = co2
    data = the_videos()
    with pytest.raises(FeatureError, match="no features of video 'v1'"):
        scores(method, net, config, NAMES, replace(data, features={"v0": data.features["v0"]}))
    short = {k: Features({"rgb": f.streams["rgb"]}, f.timeline, f.duration) for k, f in data.features.items()}
    with pytest.raises(FeatureError, match="features of 'v0' lack stream 'flow'"):
        scores(method, net, config, NAMES, replace(data, features=short))
