"""Videos in parts: the same bits as whole, wherever they are split, whatever the file is like."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.errors import UsageError, VideoError
from tal_engine.inference.parts import split
from tal_engine.limits import Limits
from tal_engine.options import SnippetOptions
from tal_engine.video import open_video
from tal_engine.video.snippet import cut
from tal_engine.video.source import Part
from tests.makers import moving_square, tiny_plan, write_mp4


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "tiny.plan"
    tiny_plan(path)
    with TALEngine.load(path, "cpu", threads=1, batch=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """B-frames, a frame rate that varies, an open end."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    pts = [40 * k + 13 * (k % 3) + (400 if k > 70 else 0) for k in range(130)]
    return write_mp4(path, list(moving_square(130, 48, 64)), pts=pts, time_base=Fraction(1, 1000))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_parts_give_the_bits_of_the_whole(engine, clip, count):
    whole = engine.localize(clip)
    parts = engine.split(clip, count)
    assert 1 <= len(parts) <= count
    assert (count == 1) == (len(parts) == 1)
    encoded = [engine.encode_part(clip, part) for part in reversed(parts)]
    found = engine.localize_parts(encoded)
    assert found == whole  # segments, warnings, frames, duration: all but the seconds that it took
    features = engine.features(clip)
    for name, rows in features.streams.items():
        np.testing.assert_array_equal(np.concatenate([e.features.streams[name] for e in encoded[::-1]]), rows)


@pytest.mark.parametrize("tail", ["pad", "drop"])
@pytest.mark.parametrize(("window", "stride"), [(8, 8), (8, 4), (8, 3), (4, 9), (16, 16)])
@pytest.mark.parametrize("frames", [3, 16, 24, 25, 37])
def test_snippets_of_parts_are_those_of_the_whole(window, stride, tail, frames):
    options = SnippetOptions(window=window, stride=stride, tail=tail, resize=16, crop=16)
    images = np.random.default_rng(frames).integers(0, 255, (frames, 20, 24, 3), np.uint8)

    def snippets(part):
        with open_video(images, 25.0) as video:
            video.part = part
            return [window for batch in cut(video, options, 2) for window in batch.frames]

    whole = snippets(Part())
    for first in range(len(whole)):
        for last in (*range(first + 1, len(whole)), None):
            expected = whole[first:last]
            found = snippets(Part(first, last))
            assert len(found) == len(expected)
            assert all((a == b).all() for a, b in zip(found, expected, strict=True))
    with pytest.raises(VideoError, match=f"ends before its snippet {len(whole)}"):
        snippets(Part(len(whole)))


def test_a_part_reads_no_further_than_it_has_to(engine, clip):
    first, *_ = engine.split(clip, 4)
    assert engine.encode_part(clip, first).info.frames < 60


def test_a_damaged_file_is_told_of_as_a_whole_one(engine, clip, tmp_path):
    torn = tmp_path / "torn.mp4"
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    torn.write_bytes(data)
    whole = engine.localize(torn)
    assert whole.info.warnings or whole.info.frames_lost
    assert engine.localize_parts([engine.encode_part(torn, p) for p in engine.split(torn, 3)]) == whole


def test_what_is_missing_or_twice_is_refused(engine, clip):
    encoded = [engine.encode_part(clip, part) for part in engine.split(clip, 3)]
    for some in (encoded[1:], encoded[:-1], [*encoded, encoded[0]], encoded[::2], []):
        with pytest.raises(UsageError, match="must be all parts of one video"):
            engine.localize_parts(some)


def test_plans_that_follow_people_do_not_split(clip):
    with TALEngine.load(device="cpu", threads=1) as people:
        assert people.split(clip, 4) == [Part()]


def test_limits_hold_for_parts_too(clip, tmp_path):
    tiny_plan(tmp_path / "tiny.plan")
    engine = TALEngine.load(tmp_path / "tiny.plan", "cpu", limits=Limits(max_snippets=5))
    with engine, pytest.raises(VideoError, match="snippets"):
        engine.encode_part(clip, Part(10))


def test_splits_begin_where_batches_do():
    options = SnippetOptions(window=16, stride=16)
    for seconds in (0.1, 10.0, 100.0, 1000.0):
        for count in (1, 2, 5):
            parts = split(seconds, options, count, 8)
            assert len(parts) <= count
            assert all(p.first % 8 == 0 for p in parts)
            assert [p.last for p in parts] == [*(p.first for p in parts[1:]), None]
