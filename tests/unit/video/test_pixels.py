"""Pictures are those of the ffmpeg program, whatever the pixel format."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from tal_engine.options import PIXELS
from tal_engine.video import open_video
from tal_engine.video.color_conversion import Converter

FFMPEG = shutil.which("ffmpeg")
W, H, COUNT = 162, 90, 3


def pattern(path, codec, pix_fmt, **options):
    """Coloured edges, chroma samples said to lie at the left, as cameras have them."""
    y, x = np.mgrid[:H, :W]
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options={k: str(v) for k, v in options.items()})
        stream.width, stream.height, stream.pix_fmt = W, H, pix_fmt
        for k in range(COUNT):
            picture = np.stack([255 * ((x + k) // 7 % 2), 255 * (y // 5 % 2), 255 * ((x + y) // 11 % 2)], -1)
            frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            out.mux(stream.encode(frame.reformat(format=pix_fmt)))
        out.mux(stream.encode())


FORMATS = [
    ("libx264", "yuv420p"), ("libx264", "yuv422p"), ("libx264", "yuv444p"), ("libx264", "yuv420p10le"),
    ("libx264", "yuv422p10le"), ("libx264", "yuv444p10le"), ("libx265", "yuv420p10le"), ("libx265", "yuv420p12le"),
    ("libx265", "yuv422p10le"), ("ffv1", "yuv420p10le"), ("ffv1", "yuv420p16le"), ("ffv1", "yuv440p"),
    ("ffv1", "yuv411p"), ("ffv1", "yuv410p"), ("prores_ks", "yuv422p10le"), ("rawvideo", "nv12"),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "pix_fmt"), FORMATS)
def test_pictures_are_those_of_the_ffmpeg_program(codec, pix_fmt, tmp_path):
    if FFMPEG is None:
        pytest.skip("no ffmpeg program")
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV has no {codec}")
    path = tmp_path / ("v.mov" if codec == "prores_ks" else "v.nut")
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    pattern(path, codec, pix_fmt, **quiet)
    command = [FFMPEG, "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    wanted = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    with open_video(path) as video:
        found = np.stack([f.image() for f in video.frames])
    assert found.shape == (COUNT, H, W, 3)
    np.testing.assert_array_equal(found, wanted.reshape(found.shape))


def test_a_converter_follows_sizes_and_formats():
    """What is kept from frame to frame belongs to one kind of frame."""
    convert, rng = Converter(), np.random.default_rng(0)
    picture = av.VideoFrame.from_ndarray(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8), "rgb24")
    for pix_fmt, width, target in (
        ("yuv420p10le", 96, "rgb24"), ("yuv420p10le", 120, "rgb24"), ("yuv422p10le", 96, "rgb24"),
        ("yuv422p10le", 96, "rgb48le"), ("yuv444p10le", 96, "rgb24"), ("yuv420p10le", 96, "rgb24"),
    ):  # fmt: skip
        frame = picture.reformat(format=pix_fmt)
        found = convert(frame, width, 64, target)
        assert (found.width, found.height, found.format.name) == (width, 64, target)
        np.testing.assert_array_equal(found.to_ndarray(), Converter()(frame, width, 64, target).to_ndarray())


def test_the_rules_have_a_new_name():
    assert PIXELS.endswith("rules 2")
