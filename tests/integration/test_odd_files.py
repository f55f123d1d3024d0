"""Files as recorders, editors and cameras leave them: each picture is read at its time, each loss is accounted for.

The files are those of benchmarks/bench_files.py, which compares all of them with the ffmpeg program; true times are
known because the files are generated.
"""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from odd_cases import all_cases
from odd_files import B_FRAMES, STEP, X264, Recipe, even, write

from tal_engine.live.live_source import open_live
from tal_engine.options import LiveOptions
from tal_engine.video import open_video

#: What FFmpeg's own muxer of program streams writes is off by up to two frames at the second of its packets.
MUXER_S = {"mpg mpeg1video plain": 0.041, "vob mpeg2video B-frames": 0.081, "mpg mpeg1video joined": 0.081}
MUXER_S["vob mpeg2video joined, B-frames"] = 0.161
SLOW_ENCODERS = ("libsvtav1", "libx265", "libvpx-vp9", "prores_ks")
CASES = [c for c in all_cases() if not c.slow and c.codec not in SLOW_ENCODERS]


def asked(path):
    """What one names to have a file read; a playlist has to be asked for."""
    return f"playlist:{path}" if path.suffix == ".m3u8" else str(path)


@pytest.mark.parametrize("case", CASES, ids=[c.name.replace(" ", "-") for c in CASES])
def test_every_picture_is_read_at_its_time(tmp_path, case):
    with open_video(asked(case.make(tmp_path))) as video:
        seconds = np.array([frame.pts_seconds for frame in video.frames])
    assert len(seconds) == len(case.times)
    assert (np.diff(seconds) > 0).all()
    np.testing.assert_allclose(seconds - seconds[0], np.array(case.times, float), atol=MUXER_S.get(case.name, 0.0021))
    assert video.lost == 0
    assert video.decoded == len(seconds)
    if case.stays is not None:
        assert video.frame_seconds == pytest.approx(case.stays, abs=0.01)
    if "claims 500 s" in case.odd:
        assert any("ends early: 100.00 of 500.00 s" in w for w in video.warnings)
    else:
        assert not any("ends early" in w or "dropped" in w for w in video.warnings)


# -- what is lost --------------------------------------------------------------------------------------


def given(path):
    """Pictures that the demuxer gives, counted by itself."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sum(p.size > 8 and not p.is_discard for p in container.demux(stream))


def hurt(which, how):
    """Packets of these numbers become something that is no picture."""

    def change(packets):
        for i in which:
            old = packets[i]
            new = av.Packet(bytes(old)[:5] + b"\x5a" * (len(bytes(old)) + 20) if how == "garbage" else b"\x00" * 64)
            new.pts, new.dts, new.time_base, new.stream = old.pts, old.dts, old.time_base, old.stream
            packets[i] = new

    return change


def shifted(which, seconds):
    """Presentation times of these packets are moved; decoding times stay in order."""

    def change(packets):
        for i, packet in enumerate(packets):
            step = seconds if i in which else 0.0
            packet.pts, packet.dts = round((float(packet.pts * packet.time_base) + step) * 1000) + 2000, i
            packet.time_base = Fraction(1, 1000)

    return change


def lossy(folder, kind):
    """A file of 4 s, 100 pictures, of which some cannot be seen."""
    container, codec, what = kind.split()
    recipe = Recipe(codec=codec, times=even(100), base=STEP, options=dict(X264 if codec == "libx264" else {}))
    if "B" in what:
        recipe.options = dict(B_FRAMES)
    changes = {
        "whole": None,
        "middle": hurt(range(40, 45), "garbage"),
        "zeros": hurt(range(40, 45), "zeros"),
        "key": hurt([48], "garbage"),
        "first": hurt([0], "garbage"),
        "last": hurt(range(95, 100), "garbage"),
        "back": shifted([50], -1.0),
        "ahead": shifted([50], 1.5),
    }
    recipe.stamp = changes.get(what.removesuffix("-B"))
    if container == "mp4":
        recipe.mux = {"movflags": "faststart"}
    path = write(folder / f"v.{container}", recipe)
    data = path.read_bytes()
    if what == "cut":
        path.write_bytes(data[: len(data) * 6 // 10])
    if what == "headless":  # a recording cut off anywhere
        path.write_bytes(data[: 188 * 2] + data[188 * 25 :])
    if what == "hole":
        third = len(data) // 188 // 3 * 188
        path.write_bytes(data[:third] + data[third + 188 * 30 :])
    return path


LOSSES = [
    "mp4 libx264 whole", "mkv libx264 whole-B", "mp4 mjpeg middle", "avi mjpeg middle", "mkv mjpeg zeros",
    "mp4 libx264 middle-B", "avi libx264 middle-B", "mp4 mpeg4 middle", "mkv libx264 key",
    "mp4 libx264 key-B", "mkv mpeg4 key", "mkv libx264 first", "mkv mjpeg last", "mp4 libx264 last",
    "mp4 libx264 last-B", "mkv mjpeg back", "mkv mjpeg ahead", "mp4 libx264 cut", "mkv libx264 cut", "avi mpeg4 cut",
    "ts libx264 hole",
]  # fmt: skip


@pytest.mark.parametrize("kind", LOSSES)
def test_what_is_not_analysed_is_on_the_map_and_in_the_warnings(tmp_path, kind):
    """Frames that the demuxer gave against frames that were seen; moments that nothing was seen of against the map."""
    path = lossy(tmp_path, kind)
    packets = given(path)
    with open_live(str(path), LiveOptions(policy="wait")) as source:
        seconds = np.array([frame.pts_seconds for frame in source.frames()])
        coverage, warnings = source.coverage, source.warnings
    with open_video(path) as video:
        assert sum(1 for _ in video.frames) == len(seconds)
    frames = coverage.frames
    torn = 1 if kind == "ts libx264 hole" else 0  # a packet cut short: what was behind it never came out of the demuxer
    assert frames["arrived"] == len(seconds)
    assert frames["arrived"] + frames["damaged"] == packets + torn
    assert (frames["damaged"], frames["corrupt"]) == (video.lost, video.corrupt)
    expected = [t for t in np.arange(100) / 25 if t < video.duration]
    unseen = [t for t in expected if np.abs(seconds - t).min() > 0.002]
    assert [t for t in unseen if not any(m.start - 0.001 <= t < m.end for m in coverage.missed)] == []
    assert coverage.missed_seconds == pytest.approx(len(unseen) / 25, abs=0.002)
    if "whole" in kind:
        assert not unseen
        assert not video.warnings
    else:
        assert unseen or video.corrupt
        assert video.warnings == warnings
        assert any(words in w for w in warnings for words in ("could not be decoded", "dropped", "damaged", "early"))


def test_the_page_about_files_comes_from_the_stored_results():
    command = [sys.executable, "benchmarks/files_section.py", "--check"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- streams of files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd", ["joined", "joined, B-frames", "counter wraps", "discontinuity", "last picture stays 10 s"]
)
def test_a_stream_of_a_file_sees_what_the_file_has(tmp_path, odd):
    case = next(c for c in all_cases() if c.odd == odd)
    end = float(case.times[-1]) + (case.stays or 0.04)
    with open_live(asked(case.make(tmp_path)), LiveOptions(policy="wait")) as source:
        seconds = [frame.pts_seconds for frame in source.frames()]
        assert seconds == pytest.approx([float(t) for t in case.times], abs=0.002)
        assert source.frame_seconds == pytest.approx(case.stays or 0.04, abs=0.01)
    assert source.coverage.missed == ()
    assert source.coverage.end == pytest.approx(end, abs=0.01)


def test_a_pipe_is_timed_as_a_file(tmp_path):
    """A container on stdin, in which the clock is set back."""
    case = next(c for c in all_cases() if c.odd == "joined, B-frames" and c.codec == "libx264")
    code = (
        "from tal_engine.live.live_source import open_live\n"
        "with open_live('-') as s:\n    t = [f.pts_seconds for f in s.frames()]\n"
        "print(len(t), round(t[-1], 3), sum(s.coverage.frames.values()), s.coverage.missed_seconds)"
    )
    with case.make(tmp_path).open("rb") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=pipe, capture_output=True, text=True, timeout=60, check=True
        )
    assert done.stdout.split() == ["125", "4.96", "125", "0.0"]
