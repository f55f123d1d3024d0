"""Segments of training videos on the snippets that a step reads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.errors import DataError
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.data.sampling import crop
from tal_engine.lab.data.timed import in_snippets, on_window
from tal_engine.records import Features, Segment
from tal_engine.timeline import Timeline
from tests.learning import NAMES, a_set

#: THUMOS14 as ActionFormer has it: 16 frames every 4, at 30 a second.
TIME = Timeline(0.0, 4 / 30, 16 / 30)


def features(length, time=TIME):
    x = np.arange(length * 8, dtype=np.float32).reshape(length, 8)
    return Features({"rgb": x, "flow": x}, time, float(time.right(length)))


def test_seconds_become_snippets_as_published():
    """seconds * fps / stride - window / 2 / stride."""
    found = in_snippets([Segment(2.0, 5.0, "jump", 1.0)], features(60), NAMES, "a")
    assert found[0].tolist() == pytest.approx([2.0 * 30 / 4 - 2, 5.0 * 30 / 4 - 2, NAMES.id("jump")])
    assert in_snippets([], features(60), NAMES, "a").shape == (0, 3)


def test_a_segment_after_the_video_is_named():
    with pytest.raises(DataError, match=r"'a' ends at 8\.40 s, it has a segment of 'run' from 9\.00 s on"):
        in_snippets([Segment(1.0, 2.0, "jump", 1.0), Segment(9.0, 10.0, "run", 1.0)], features(60), NAMES, "a")


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 80), st.integers(0, 79), st.lists(st.tuples(st.integers(-20, 100), st.integers(1, 90))))
def test_windows_show_what_lies_in_them(length, first, spans):
    """Against the definition: parts of at least a half are kept and cut."""
    first = min(first, length - 1)
    segments = np.array([[a, a + n, i % 3] for i, (a, n) in enumerate(spans)], np.float64).reshape(-1, 3)
    found = on_window(segments, np.arange(first, length), features(length, Timeline(0, 1, 1)))
    wanted = []
    for a, b, label in segments:
        low, high = max(a, first - 0.5), min(b, length - 0.5)
        if high > low and high - low >= 0.5 * (b - a):
            wanted.append((low - first, high - first, label))
    assert [tuple(r) for r in found] == wanted


def test_snippets_that_were_drawn_apart_move_segments_with_them():
    segments = np.array([[4.0, 8.0, 0.0]])
    found = on_window(segments, np.arange(0, 20, 2), features(20, Timeline(0, 1, 1)))
    assert found.tolist() == [[2.0, 4.0, 0.0]]


def test_a_window_is_drawn_until_it_shows_a_segment(rng):
    video = a_set(1)[0][0]
    one = {video.name: (Segment(25.0, 28.0, "run", 1.0),)}
    batches = BatchSampler(
        [video], {video.name: features(60, Timeline(0, 1, 1))}, NAMES, ("rgb",),
        length=6, size=4, pairs=0, sampling="crop", segments=one,
    )  # fmt: skip
    for _ in range(20):
        batch = batches.draw(rng)
        assert batch.points is None
        for x, segments in zip(batch.streams["rgb"], batch.timed, strict=True):
            assert segments.shape == (1, 3)
            start, end = segments[0, :2].tolist()
            first = float(x[0, 0]) / 8
            assert 24.5 <= first + start <= first + end <= 27.5
            assert end - start >= 1.5


def test_a_video_without_segments_is_background(rng):
    videos, found = a_set(2)
    batches = BatchSampler(
        videos,
        found,
        NAMES,
        ("rgb",),
        length=16,
        size=4,
        pairs=0,
        sampling="full",
        segments={"v0": videos[0].instances},
    )
    batch = batches.draw(rng)
    for name, segments, labels in zip(batch.names, batch.timed, batch.labels, strict=True):
        assert (len(segments), float(labels.sum())) == ((1, 1.0) if name == "v0" else (0, 0.0))


def test_crops_are_of_nine_tenths_or_more():
    rng = np.random.default_rng(0)
    sizes = {len(crop(40, 100, rng)) for _ in range(200)}
    assert sizes == {36, 37, 38, 39, 40}
    assert {len(crop(40, 16, rng)) for _ in range(9)} == {16}
    assert len(crop(1, 5, rng)) == 1
