"""Time and the grid are one formula: slot n shows (n + 0.5) / fps, whatever the file's own rate is."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from tal_engine.options import SnippetOptions, timeline_of
from tal_engine.video import open_video
from tal_engine.video.decode import _increasing, _timed
from tal_engine.video.grid import slot_centre, slots_of
from tal_engine.video.source import VideoSource
from tests.makers import moving_square, write_mp4
from tests.unit.video.test_video import snippets

MS = Fraction(1, 1000)


# -- one formula -------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [25.0, 29.97, 30000 / 1001, 10.0])
def test_slots_and_snippets_share_one_time(fps):
    """Ten million slots in (four days), nothing has drifted: both agree with exact arithmetic."""
    options = SnippetOptions(fps=fps, window=16, stride=8, resize=8, crop=8)
    timeline = timeline_of(options)
    for snippet in (0, 1, 1000, 1_250_000):
        slot = snippet * options.stride
        half = 0.5 / fps
        assert slot_centre(slot, options) == pytest.approx(float((slot + Fraction(1, 2)) / Fraction(fps)), abs=1e-9)
        assert slot_centre(slot, options) - half == pytest.approx(float(timeline.left(snippet)), abs=1e-9)
        last = slot + options.window - 1
        assert slot_centre(last, options) + half == pytest.approx(float(timeline.right(snippet + 1)), abs=1e-9)


@pytest.mark.parametrize(
    ("seconds", "count"),
    [(0.0, 1), (0.01, 1), (0.02, 1), (0.0599, 1), (0.06, 1), (0.0601, 2), (0.1, 2), (0.1001, 3), (10.0, 250)],
)
def test_the_last_slot_is_the_last_whose_centre_lies_before_the_end(seconds, count):
    options = SnippetOptions(fps=25, window=1, stride=1, resize=8, crop=8, flow="none")
    assert slots_of(seconds, options) == count
    assert count == 1 or slot_centre(count - 1, options) < seconds <= slot_centre(count, options)


def coded(number):
    """A gray picture of 16 x 16 that tells a number below 2^24 by its three parts."""
    picture = np.zeros((16, 16), np.uint8)
    for part, columns in enumerate((slice(0, 5), slice(5, 10), slice(10, 16))):
        picture[:, columns] = number >> (8 * part) & 255
    return picture


def number_of(pictures):
    return pictures[:, 8, [2, 7, 12], 0].astype(np.int64) @ [1, 256, 65536]


def assert_slots_are_true(path, times, end, fps=25.0, off=0.001):
    """Every slot shows the frame that is truly on screen at its centre, give or take `off` seconds."""
    options = SnippetOptions(fps=fps, window=1, stride=1, resize=16, crop=16, flow="none")
    shown, seen, video = snippets(path, options)
    numbers = number_of(shown[:, 0])
    starts = np.array([float(t) for t in times])
    stops = np.append(starts[1:], end)
    centres = (np.arange(len(numbers)) + 0.5) / fps
    error = np.maximum(np.maximum(starts[numbers] - centres, centres - stops[numbers]), 0.0)
    assert error.max() <= off < 0.5 / fps
    assert len(numbers) == pytest.approx(end * fps, abs=1)
    assert seen == pytest.approx(end, abs=0.05)
    assert video.lost == 0


@pytest.mark.parametrize(("ending", "fps"), [("mkv", 29.97), ("avi", 25.0)])
def test_ntsc_for_ten_minutes(tmp_path, ending, fps):
    """Frames of 30000/1001 a second; read as 30 they would be 0.6 s off at the end."""
    count = 17_982
    path = write_mp4(
        tmp_path / f"v.{ending}", map(coded, range(count)), Fraction(30000, 1001), codec="ffv1", pix_fmt="gray"
    )
    assert_slots_are_true(path, [Fraction(i * 1001, 30000) for i in range(count)], count * 1001 / 30000, fps)


def test_variable_rate_for_ten_minutes(tmp_path, rng):
    """Screen recordings and phones: steps from 5 to 400 ms without a pattern."""
    steps = np.where(rng.random(9000) < 0.9, rng.integers(5, 80, 9000), rng.integers(80, 400, 9000))
    times = np.concatenate([[0], np.cumsum(steps)]).tolist()
    path = write_mp4(tmp_path / "v.mkv", map(coded, range(9001)), pts=times, time_base=MS, codec="ffv1", pix_fmt="gray")
    assert times[-1] > 480_000
    assert_slots_are_true(path, [t * MS for t in times], times[-1] / 1000 + 0.04)


# -- frame rates -------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [25, 30, 10, 1, 120, Fraction(30000, 1001)])
def test_constant_rates_keep_their_length(tmp_path, fps):
    seconds = 3
    path = write_mp4(tmp_path / "v.mp4", moving_square(round(seconds * fps), 32, 48), fps=fps)
    frames, end, video = snippets(path)
    assert end == pytest.approx(round(seconds * fps) / float(fps), abs=1e-3)
    assert len(frames) == int(np.ceil(end * 25 / 8 - 0.07))
    assert video.fps == pytest.approx(float(fps))
    assert not video.warnings
    assert video.lost == 0


def test_ntsc_rate_is_not_truncated(tmp_path):
    path = write_mp4(tmp_path / "v.mp4", moving_square(300, 32, 48), fps=Fraction(30000, 1001))
    with open_video(path) as video:
        times = [f.pts_seconds for f in video.frames]
    assert video.fps == pytest.approx(29.97002997)
    np.testing.assert_allclose(times, np.arange(300) * 1001 / 30000, atol=1e-6)


def test_variable_rate_follows_the_time_stamps(tmp_path):
    """Half the frames in the first second, the rest in nine: a frame count would be far off."""
    times = [i * 20 for i in range(50)] + [1000 + i * 180 for i in range(50)]  # milliseconds
    frames = [np.full((32, 32, 3), 20 if i < 50 else 220, np.uint8) for i in range(100)]
    path = write_mp4(tmp_path / "v.mkv", frames, pts=times, time_base=Fraction(1, 1000))
    shown, end, _ = snippets(path, SnippetOptions(fps=25, window=1, stride=1, resize=32, crop=32, flow="none"))
    dark = shown.mean((1, 2, 3, 4)) < 120
    assert dark[:25].all()
    assert not dark[25:].any()
    assert end == pytest.approx(9.9, abs=0.2)


def test_late_first_frame_counts_from_the_start_of_the_file(tmp_path):
    """A transport stream whose clock starts at 10 hours is not 10 hours long."""
    times = [900_000 + i * 3600 for i in range(50)]
    path = write_mp4(tmp_path / "v.ts", moving_square(50, 32, 48), pts=times, time_base=Fraction(1, 90_000))
    _, end, _ = snippets(path)
    assert end == pytest.approx(2.0, abs=0.1)


def test_frames_without_time_stamps_are_spaced_and_reported(tmp_path):
    path = tmp_path / "raw.h264"
    write_mp4(tmp_path / "v.mp4", moving_square(50, 32, 48))
    with av.open(str(tmp_path / "v.mp4")) as source, av.open(str(path), "w", format="h264") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    _, end, video = snippets(path)
    assert end == pytest.approx(50 / video.fps, abs=0.1)


def test_time_that_goes_back_is_dropped_and_counted():
    video = VideoSource("x", iter(()), 25.0, 0.04, duration=1.0)
    pairs = [(0.0, "a"), (0.04, "b"), (0.02, "c"), (0.08, "d"), (4e5, "e"), (0.12, "f"), (0.96, "g")]
    frames = list(_increasing(iter(pairs), video))
    assert [seconds for seconds, _ in frames] == [0.0, 0.04, 0.08, 0.12, 0.96]
    assert video.lost == 2
    assert "2 frames dropped" in video.warnings[0]


# -- time stamps that are wrong ----------------------------------------------------------------


def write_stamped(path, times):
    """Pictures that need no other one, muxed with any time stamps, in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuvj420p"
        stream.codec_context.time_base = MS
        for i, image in enumerate(moving_square(len(times), 32, 32)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = i, MS
            for packet in stream.encode(frame):
                packet.pts, packet.dts, packet.time_base = times[i], i, MS
                container.mux(packet)
    return path


@pytest.mark.parametrize("ending", ["mkv", "mov"])
def test_one_stamp_back_and_one_ahead_cost_two_frames(tmp_path, ending):
    times = [1000 + i * 40 for i in range(50)]
    times[20], times[30] = times[10], 6000
    with open_video(write_stamped(tmp_path / f"v.{ending}", times)) as video:
        seconds = [f.pts_seconds for f in video.frames]
    np.testing.assert_allclose(seconds, [0.04 * i for i in range(50) if i not in (20, 30)], atol=1e-6)
    assert video.lost == 2
    assert any("2 frames dropped" in w for w in video.warnings)


def test_a_long_pause_is_filled_and_reported(tmp_path):
    times = [i * 40 for i in range(25)] + [61_000 + i * 40 for i in range(25)]
    path = write_mp4(tmp_path / "v.mkv", moving_square(50, 32, 32), pts=times, time_base=MS)
    frames, end, video = snippets(path)
    assert end == pytest.approx(62.0, abs=0.5)
    assert len(frames) == pytest.approx(62 * 25 / 8, abs=2)
    assert (frames[10] == frames[150]).all()
    assert any("no frames between 0.96 and 61.00 s" in w for w in video.warnings)


def test_a_start_before_zero_is_zero():
    """A container whose clock starts below zero (the priming of its sound) moves nothing."""
    video = VideoSource("x", iter(()), 25.0, 0.04)
    frames = (SimpleNamespace(pts=i * 40 - 400, time_base=MS) for i in range(20))
    seconds = [s for s, _ in _increasing(_timed(frames, None, -0.4, video), video)]
    np.testing.assert_allclose(seconds, np.arange(20) * 0.04, atol=1e-9)


def test_frames_cut_off_by_an_edit_list_are_not_shown(tmp_path):
    times = [i * 40 - 400 for i in range(20)]
    keep = {"avoid_negative_ts": "disabled"}
    path = write_mp4(tmp_path / "v.mp4", moving_square(20, 32, 32), pts=times, time_base=MS, options=keep)
    with open_video(path) as video:
        seconds = [f.pts_seconds for f in video.frames]
    np.testing.assert_allclose(seconds, np.arange(10) * 0.04, atol=1e-6)


def test_pictures_that_start_after_the_sound(tmp_path):
    """The clock is the container's: the first picture stands still until its time has come."""
    times = [2000 + i * 40 for i in range(25)]
    frames = [np.full((32, 32, 3), 20 + 8 * i, np.uint8) for i in range(25)]
    path = write_mp4(tmp_path / "v.mkv", frames, pts=times, time_base=MS, audio=True)
    shown, end, _ = snippets(path, SnippetOptions(fps=25, window=1, stride=1, resize=32, crop=32, flow="none"))
    with av.open(str(path)) as container:
        first = 2.0 - container.start_time / av.time_base
    numbers = np.rint((shown.mean((1, 2, 3, 4)) - 20) / 8)
    centres = (np.arange(len(numbers)) + 0.5) / 25
    assert first == pytest.approx(2.0, abs=0.1)
    assert end == pytest.approx(first + 1.0, abs=0.01)
    np.testing.assert_array_equal(numbers, np.clip(np.floor((centres - first) * 25 + 1e-6), 0, 24))
