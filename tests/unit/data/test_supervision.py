"""Point labels on their way into training batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tal_engine.annotations import AnnotatedVideo
from tal_engine.annotations.points import Point, draw_points, read_points
from tal_engine.errors import FeatureError
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.data.dataset import DataSet
from tal_engine.lab.data.description import TextSpec
from tal_engine.lab.training.supervision import points_of
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.records import Features, Segment
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary

TIME = Timeline(0.0, 0.64, 0.64)
CLASSES = Vocabulary(["jump", "run"])


def video(name="a", *instances):
    made = [Segment(s, e, label, 1.0) for s, e, label in instances or ((1.0, 3.0, "run"), (5.0, 6.0, "jump"))]
    return AnnotatedVideo(name, "train", 64.0, tuple(made))


def data_set(points, outside="refuse", videos=None):
    return DataSet(
        "made", CLASSES, tuple(videos or [video()]), "activitynet", {"train": "train"}, None, TIME, TextSpec(),
        points=points, points_outside=outside,
    )  # fmt: skip


def sampler(points, length=100, sampling="full", snippets=100, videos=None):
    videos = videos or [video()]
    features = {v.name: Features({"rgb": np.zeros((snippets, 4), np.float32)}, TIME, 64.0) for v in videos}
    return BatchSampler(
        videos, features, CLASSES, ("rgb",), length=length, size=2, pairs=0, sampling=sampling, points=points
    )


@pytest.mark.parametrize("how", ["uniform", "gaussian"])
def test_a_point_is_drawn_in_each_instance(how):
    videos = [video(f"v{i}") for i in range(300)]
    points = draw_points(videos, how, seed=3)
    for v in videos:
        assert len(points[v.name]) == 2
        assert all(any(s.start <= p.seconds <= s.end and s.label == p.label for s in v.instances)
                   for p in points[v.name])  # fmt: skip
    assert points["v7"] == draw_points([video("v7")], how, seed=3)["v7"]
    assert points["v7"] != draw_points([video("v7")], how, seed=4)["v7"]
    at = np.array([(points[v.name][0].seconds - 1) / 2 for v in videos])
    assert at.mean() == pytest.approx(0.5, abs=0.06)
    assert at.std() == pytest.approx({"uniform": 12**-0.5, "gaussian": 1 / 6}[how], rel=0.15)


def test_points_become_snippets_and_labels():
    points = {"a": (Point(1.0, "run"), Point(1.2, "run"), Point(1.1, "jump"))}
    batch = sampler(points).draw(np.random.default_rng(0))
    assert batch.points.shape == (2, 100, 2)
    # 1.0 s and 1.2 s lie in the second snippet, [0.64, 1.28): one point of their class; two classes may share it.
    assert batch.points[0].nonzero().tolist() == [[1, 0], [1, 1]]
    assert batch.labels[0].tolist() == [1, 1]
    only_run = sampler({"a": (Point(1.0, "run"),)}).draw(np.random.default_rng(0))
    assert only_run.labels[0].tolist() == [0, 1], "the classes of the points, not of the instances"


@pytest.mark.parametrize("sampling", ["random_perturb", "uniform"])
def test_a_sampled_point_is_at_the_nearest_snippet(sampling):
    batch = sampler({"a": (Point(32.3, "run"),)}, 10, sampling).draw(np.random.default_rng(1))
    (row,) = batch.points[0, :, 1].nonzero().flatten().tolist()
    assert row in (4, 5)
    assert batch.points.sum() == 2


def test_a_window_shows_only_its_points():
    made = sampler({"a": (Point(32.3, "run"),)}, 10, "contiguous")
    seen = sum(float(made.draw(np.random.default_rng(i)).points.sum()) for i in range(50))
    assert 0 < seen < 30


def test_points_that_cannot_be_used():
    with pytest.raises(FeatureError, match="'a' has no point label"):
        sampler({"a": ()})
    with pytest.raises(FeatureError, match=r"'a' ends at 64\.00 s, it has a point of 'run' at 70\.00 s"):
        sampler({"a": (Point(70.0, "run"),)})
    with pytest.raises(FeatureError, match="has no point labels; describe them, or train with points=uniform"):
        points_of(data_set(None), [video()], TrainOptions())
    with pytest.raises(FeatureError, match="1 training videos have no point label: b"):
        points_of(data_set({"a": (Point(2.0, "run"),)}), [video(), video("b")], TrainOptions())


def test_points_outside_every_instance():
    points = {"a": (Point(2.0, "run"), Point(2.0, "jump"))}
    with pytest.raises(FeatureError, match=r"1 points lie in no instance of their class: a 2\.00 s jump; .*'drop'"):
        points_of(data_set(points), [video()], TrainOptions())
    assert points_of(data_set(points, "drop"), [video()], TrainOptions()) == {"a": (Point(2.0, "run"),)}
    assert points_of(data_set(points, "keep"), [video()], TrainOptions()) == points


def test_drawn_points_need_none_of_the_data_set():
    options = TrainOptions(points="gaussian", seed=5)
    found = points_of(data_set(None), [video()], options)
    assert found == draw_points([video()], "gaussian", 5)
    assert found != points_of(data_set(None), [video()], replace(options, seed=6))


def test_a_point_that_is_there_twice_is_refused(tmp_path):
    (tmp_path / "p.txt").write_text("a,1.5,run\na,1.5,jump\na,1.5,run\n")
    with pytest.raises(FeatureError, match=r"a has the point 1\.5 s run twice"):
        read_points(tmp_path / "p.txt")
