"""People from picture to picture: with the shipped graphs on rendered people, and with graphs that are made up."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from tal_engine.backends import open_backend
from tal_engine.demo.demo_set import script_of
from tal_engine.demo.render import image_points, render
from tal_engine.errors import UsageError
from tal_engine.pose.detection import Detection
from tal_engine.pose.estimator import PoseEstimator
from tal_engine.pose.landmarks import Landmarks
from tal_engine.pose.skeleton import J, canonical
from tal_engine.pose.tracking import PoseOptions, PoseTracker
from tal_engine.pose.weights import pose_graphs

COUNT = 24
#: From the hips to the upper end of the circle around a person that is made up, pixels.
UP = np.array([0.0, -60.0])


class Counted:
    """A graph that counts its calls."""

    def __init__(self, graph: bytes, name: str) -> None:
        self.inner, self.calls = open_backend(graph, name, "cpu"), list[int]()

    @property
    def description(self) -> str:
        return self.inner.description

    def run(self, feeds):
        self.calls.append(len(feeds["pictures"]))
        return self.inner.run(feeds)


@pytest.fixture(scope="module")
def estimator() -> PoseEstimator:
    detector, lite = pose_graphs("lite")
    return PoseEstimator(Counted(detector, "detector"), Counted(lite, "landmarks"))


@pytest.fixture(autouse=True)
def _fresh(estimator: PoseEstimator) -> Iterator[None]:
    estimator.detector.calls.clear()
    estimator.landmarker.calls.clear()
    return


@pytest.fixture(scope="module")
def clip() -> tuple[list[np.ndarray], np.ndarray]:
    """Frames of a rendered person, every second one, and the canonical joints in them."""
    script = script_of("test", 0, 1)
    frames = [f for i, f in zip(range(2 * COUNT), render(script), strict=False) if i % 2 == 0]
    joints, _ = canonical(image_points(script)[: 2 * COUNT : 2], None, "figure18", "+x+y+z")
    return frames, joints[..., :2]


def test_a_person_is_followed_and_the_detector_rests(estimator, clip):
    frames, truth = clip
    tracker = PoseTracker()
    people = [tracker(estimator, frame, i / 12.5) for i, frame in enumerate(frames)]
    assert [[p.subject for p in found] for found in people] == [[0]] * COUNT
    assert len(estimator.detector.calls) <= 1 + 4 + 1  # the first picture, four times in the first second, then each
    found, _ = canonical(np.stack([p[0].points for p in people]), None)
    torso = np.linalg.norm(truth[:, J["neck"]] - truth[:, J["pelvis"]], axis=1)[:, None]
    off = np.linalg.norm(found[:, 3:, :2] - truth[:, 3:], axis=2) / torso
    assert np.median(off) < 0.15
    assert all(abs(p[0].world[[23, 24]].mean(0)).max() < 0.1 for p in people)


def made_up() -> np.ndarray:
    """A person in metres [33, 3], hips in the middle, both sides alike."""
    rng = np.random.default_rng(3)
    world = rng.normal(0, 0.3, (33, 3)).astype(np.float32)
    world[12::2] = world[11:33:2] * [-1, 1, 1]
    world[23], world[24] = (0.1, 0, 0), (-0.1, 0, 0)
    return world


class Stage:
    """An estimator of people whose hips are at `places` [N, 2], a hundred pixels tall."""

    def __init__(self, places: np.ndarray) -> None:
        self.places, self.calls = places, list[int]()

    def detect(self, image, *, closely=False):
        box = np.zeros(4, np.float32)
        return [Detection(0.9, box, np.array([p, p + UP, p, p], np.float32)) for p in self.places]

    def locate(self, image, regions):
        self.calls.append(len(regions))
        return [self._in(r) for r in regions]

    def _in(self, region):
        hips = min(self.places, key=lambda p: np.hypot(*(p - (region.x, region.y))))

        def inside(points):
            return ((points - (region.x, region.y)) @ region.turn / region.side + 0.5).astype(np.float32)

        world, flat = made_up(), np.zeros((33, 3), np.float32)
        flat[:, :2] = inside(hips + 60 * world[:, :2])
        guides = np.concatenate([inside(np.stack([hips, hips + UP])), np.zeros((2, 1))], 1)
        return Landmarks(flat, np.ones(33), np.ones(33), world, guides.astype(np.float32), 0.99)


def test_two_people_keep_their_numbers_and_share_a_call():
    stage, tracker = Stage(np.zeros((0, 2))), PoseTracker(PoseOptions(people=2))
    image = np.zeros((240, 640, 3), np.uint8)
    for i in range(40):  # they pass each other, a third stands behind
        stage.places = np.array([[100 + 5 * i, 100], [500 - 5 * i, 160], [40, 120]], float)
        people = tracker(stage, image, i / 12.5)
        assert [p.subject for p in people] == [0, 1]
        for p, place in zip(people, stage.places[:2], strict=True):
            assert np.hypot(*(p.points[[23, 24], :2].mean(0) - place)) < 15
    assert {calls for calls in stage.calls if calls} == {2}
    assert tracker.counts.most == 3


def test_two_people_of_a_wide_picture_are_found_closely(estimator, clip):
    wide = np.hstack([clip[0][0], clip[0][0][:, ::-1]])
    parts = [d.points[0, 0] > 320 for d in estimator.detect(wide, closely=True) if d.score > 0.5]
    assert sorted(parts) == [False, True]
    assert estimator.detector.calls == [1 + 3]  # one call for the whole and its three squares
    tracker = PoseTracker(PoseOptions(people=2))
    assert [p.subject for p in tracker(estimator, wide, 0.0)] == [0, 1]


def test_a_person_that_leaves_is_lost_and_comes_back_under_its_number(estimator, clip):
    frames, _ = clip
    empty = np.zeros_like(frames[0])
    tracker = PoseTracker()
    shown = [*frames[:3], empty, empty, *frames[3:6]]
    found = [[p.subject for p in tracker(estimator, f, i / 12.5)] for i, f in enumerate(shown)]
    assert found == [[0]] * 3 + [[]] * 2 + [[0]] * 3


def shown(kind: str, frame: np.ndarray) -> np.ndarray:
    grey = np.full_like(frame, 110)
    if kind == "noise":
        return np.random.default_rng(0).integers(0, 256, frame.shape, dtype=np.uint8)
    if kind == "half":
        return np.ascontiguousarray(frame[: frame.shape[0] // 2])
    if kind == "upside down":
        return np.ascontiguousarray(frame[::-1, ::-1])
    if kind == "ten pixels high":
        grey[100:112, 100:116] = cv2.resize(frame, (16, 12), interpolation=cv2.INTER_AREA)
        return grey
    if kind == "crowd":
        return np.tile(cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), (3, 3, 1))
    return {"black": np.zeros_like(frame), "one pixel": frame[:1, :1], "a line": frame[:1]}[kind]


@pytest.mark.parametrize(
    "kind", ["black", "noise", "half", "upside down", "ten pixels high", "crowd", "one pixel", "a line"]
)
def test_no_picture_is_too_bad_and_the_work_is_bounded(estimator, clip, kind):
    picture, tracker = shown(kind, clip[0][0]), PoseTracker(PoseOptions(people=3))
    for i in range(4):
        people = tracker(estimator, picture, i / 12.5)
        assert len(people) <= 3
        for p in people:
            assert np.isfinite(p.points).all()
            assert np.isfinite(p.world).all()
    assert tracker.counts.pictures == 4
    assert len(estimator.detector.calls) <= 4
    assert sum(estimator.landmarker.calls) <= 4 * 6
    if kind in ("black", "noise", "ten pixels high", "one pixel", "a line"):
        assert tracker.counts.empty == 4


#: What graphs gave for pictures that came before.
SEEN: dict[tuple[int, bytes], dict[str, np.ndarray]] = {}


class Spoiled:
    """A graph of which a value is not what it should be."""

    def __init__(self, inner, name, value, where) -> None:
        self.inner, self.name, self.value, self.where = inner, name, value, where
        self.description = "spoiled"

    def run(self, feeds):
        key = (id(self.inner), feeds["pictures"].tobytes())
        out = SEEN[key] = SEEN.get(key) or self.inner.run(feeds)
        out = dict(out)
        if self.name in out:
            out[self.name] = out[self.name].copy()
            out[self.name].reshape(len(out[self.name]), -1)[:, self.where] = self.value
        return out


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
def test_graphs_that_give_nonsense_find_nobody_or_somebody_finite(estimator, clip, value):
    spoiled = [("boxes", slice(0, None, 12)), ("scores", slice(None)), ("presence", slice(None)), ("world", 5)]
    spoiled += [("heatmap", slice(None)), *(("landmarks", k) for k in (0, 75, 33 * 5, 33 * 5 + 5, 3))]
    for name, where in spoiled:
        broken = PoseEstimator(*(Spoiled(g, name, value, where) for g in (estimator.detector, estimator.landmarker)))
        sound = PoseEstimator(*(Spoiled(g, "", 0, 0) for g in (estimator.detector, estimator.landmarker)))
        tracker = PoseTracker()
        tracker(sound, clip[0][0], 0.0)  # somebody is followed before
        for i in (1, 2):
            for p in tracker(broken, clip[0][i], i / 12.5):
                assert np.isfinite(p.points).all()
                assert np.isfinite(p.world).all()


def test_after_an_error_of_a_graph_the_tracker_goes_on(estimator, clip):
    frames, tracker = clip[0], PoseTracker()

    class Broken:
        description = "broken"

        def run(self, feeds):
            raise RuntimeError("no")

    tracker(estimator, frames[0], 0.0)
    with pytest.raises(RuntimeError):
        tracker(PoseEstimator(estimator.detector, Broken()), frames[1], 0.08)
    assert [p.subject for p in tracker(estimator, frames[2], 0.16)] == [0]


def test_how_many_people_is_bounded():
    with pytest.raises(UsageError, match=r"people is 0, must be in 1\.\.16"):
        PoseOptions(people=0)
