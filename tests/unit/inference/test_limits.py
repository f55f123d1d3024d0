"""A small file must not ask for more than anybody would give: the limits hold before the work."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.errors import UsageError, VideoError, VideoFault
from tal_engine.limits import Limits
from tal_engine.options import SnippetOptions
from tal_engine.video import cut, open_video
from tests.makers import moving_square, write_mp4
from tests.waiting import alone


def clip(path, width, height, times=(0, 1, 2), codec="ffv1"):
    """Pictures of one colour at times in seconds."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for t in times:
            frame = av.VideoFrame.from_ndarray(np.full((height * 3 // 2, width), 90, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = t * 1000, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def snippets(path, limits=None, made=None, **options):
    """How many snippets a video has; `made` gets the size of each batch on the way."""
    made = [] if made is None else made
    with open_video(path, limits=limits) as video:
        made.extend(len(s.frames) for s in cut(video, SnippetOptions(flow="none", **options)))
    return sum(made)


#: A process of its own that refuses the video of its argument; prints by how many KiB its largest size grew.
PEAK = """
import json, resource, sys
from tal_engine.errors import VideoError
from tests.unit.inference.test_limits import snippets

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    snippets(sys.argv[1], resize=256, crop=224)
except VideoError:
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def test_an_extreme_aspect_ratio_is_refused_before_it_is_scaled(tmp_path):
    path = clip(tmp_path / "wide.mkv", 8192, 2)
    with pytest.raises(VideoError, match=r"wide\.mkv: .* 1048576 x 256 .* max_pixels is 67108864") as e:
        snippets(path, resize=256, crop=224)
    assert e.value.fault is VideoFault.TOO_LARGE
    assert alone(PEAK, path) < 256 << 10
    assert snippets(path, resize=16, crop=16) == 4  # what can be scaled is read
    assert snippets(clip(tmp_path / "small.mkv", 64, 2), resize=256, crop=224) == 4


def test_a_declared_size_is_refused_before_a_frame_is_decoded(tmp_path):
    path = clip(tmp_path / "a.mkv", 320, 240)
    with pytest.raises(VideoError, match=r"a\.mkv: its pictures are 320 x 240 .* max_pixels is 1000"):
        open_video(path, limits=Limits(max_pixels=1000))
    assert snippets(path, Limits(max_pixels=76800)) == 4


def test_a_picture_that_grows_on_the_way(tmp_path):
    """The size of each frame counts, not only what the container declares."""
    path = tmp_path / "grows.mjpeg"
    sizes = [(64, 48), (640, 480)]
    path.write_bytes(b"".join(cv2.imencode(".jpg", np.zeros((h, w, 3), np.uint8))[1].tobytes() for w, h in sizes * 4))
    with pytest.raises(VideoError, match=r"grows\.mjpeg: .*640 x 480"):
        snippets(path, Limits(max_pixels=64 * 48), resize=0, crop=0)


def test_frames_that_are_years_apart(tmp_path):
    path = clip(tmp_path / "years.mkv", 64, 48, times=(0, 1, 20_000_000))
    made = []
    with pytest.raises(VideoError, match=r"years\.mkv: a frame at .* s makes it \d+ snippets.*max_snippets is 1000000"):
        snippets(path, made=made)
    assert sum(made) < 10, "none is made of the years between"
    path = clip(tmp_path / "minute.mkv", 64, 48, times=(0, 60))
    with pytest.raises(VideoError, match="max_snippets is 90"):
        snippets(path, Limits(max_snippets=90))
    assert snippets(path, Limits(max_snippets=96)) > 90


def test_an_array_and_the_engine(tmp_path):
    frames = np.zeros((40, 8, 8, 3), np.uint8)
    with pytest.raises(VideoError, match=r"frames: .*max_snippets is 2"):
        TALEngine.load(limits=Limits(max_snippets=2)).localize(frames, fps=0.5)
    for wrong in ({"max_pixels": 0}, {"max_snippets": -1}):
        with pytest.raises(UsageError, match="at least 1"):
            Limits(**wrong)


def test_the_command_line_goes_on_with_the_next_video(tmp_path):
    good = write_mp4(tmp_path / "a.mp4", moving_square(40, 64, 64))
    bad = clip(tmp_path / "b.mkv", 320, 240)
    tal = Path(sys.executable).with_name("tal")
    command = [tal, "localize", good, bad, "--max-pixels", "20000", "-o", tmp_path / "r.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    assert "max_pixels is 20000" in done.stderr.replace("\n", " ")
    assert '"a"' in (tmp_path / "r.json").read_text()
