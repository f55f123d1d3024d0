"""Stored frames scaled and converted in one pass (`resize_of="yuv"`): by the definition, and near the usual way."""

from __future__ import annotations

import av
import numpy as np
import pytest

from tal_engine import ops
from tal_engine._util.yuv import Layout
from tal_engine.errors import UsageError, VideoError
from tal_engine.features import check_contract
from tal_engine.features.contract import contract_of
from tal_engine.limits import Limits
from tal_engine.options import SnippetOptions
from tal_engine.video import cut, open_video
from tal_engine.video.picture import Picture, _colours
from tal_engine.video.pixels import Display
from tests.makers import moving_square, write_mp4
from tests.reference import yuv

#: Height and width of the frame, shorter side of the picture, side of the crop.
SIZES = [(24, 32, 8, 6), (17, 29, 9, 9), (31, 13, 12, 5), (40, 30, 29, 29), (9, 100, 8, 8)]


def both(path, **options):
    """Pictures of a video by the usual way and in one pass, and the warnings of the second."""
    found = []
    for way in ("rgb", "yuv"):
        with open_video(path) as video:
            batches = list(cut(video, SnippetOptions(resize_of=way, **options)))
            found.append(np.concatenate([b.frames for b in batches]))
    return found


@pytest.mark.parametrize("kind", ["yuv420p", "nv12"])
@pytest.mark.parametrize(("matrix", "full"), [("bt601", False), ("bt709", True), ("bt2020", False)])
@pytest.mark.parametrize(("height", "width", "resize", "crop"), SIZES)
def test_a_picture_is_the_textbook(rng, kind, matrix, full, height, width, resize, crop):
    layout = Layout(width, height, kind, matrix, full)
    data = rng.integers(0, 256, layout.size, np.uint8)
    tall, wide = SnippetOptions(resize=resize, crop=crop).fitted_size(height, width)
    columns = layout.chroma[1]
    luma, chroma = np.split(data, [height * width])
    planes = [luma, chroma] if kind == "nv12" else [luma, *np.split(chroma, 2)]
    lines = [width, 2 * columns] if kind == "nv12" else [width, columns, columns]
    place = (tall - crop) // 2, (wide - crop) // 2, crop, crop
    found = ops.scaled_picture(planes, lines, (height, width), (tall, wide), place, _colours(layout))
    wanted = yuv.picture_of_planes(data, width, height, kind, matrix, full, resize, crop)
    assert found.shape == wanted.shape == (crop, crop, 3)
    # Half of a step by rounding; weights of 1/8192 are off by up to 255 / 16384 of a step each.
    assert np.abs(found - wanted).max() <= 0.5 + 0.05


@pytest.mark.parametrize("kind", ["yuv420p", "nv12"])
def test_converting_first_gives_the_same_but_for_rounding(rng, kind):
    """Codes that stay inside of 0..255: whole numbers are cut twice there, at each of three products."""
    height, width, resize, crop = 24, 34, 10, 8
    data = rng.integers(100, 150, Layout(width, height, kind, "bt601", False).size).astype(np.uint8)
    usual = yuv.picture(data, width, height, kind, "bt601", False, resize, crop, "area")
    ours = yuv.picture_of_planes(data, width, height, kind, "bt601", False, resize, crop)
    assert np.abs(ours - usual).max() <= 3.0


def test_lines_may_be_longer_than_rows(rng):
    """Decoders pad rows; what stands there is not read."""
    y, u, v = rng.integers(0, 256, (3, 16, 40), np.uint8)
    grey = (16.0, 1.0, 1.4, -0.3, -0.7, 1.7)
    args = (16, 24), (8, 12), (1, 2, 6, 7), grey
    tight = [np.ascontiguousarray(y[:, :24]), *(np.ascontiguousarray(c[:8, :12]) for c in (u, v))]
    padded = ops.scaled_picture([y, u, v], [40, 40, 40], *args)
    np.testing.assert_array_equal(padded, ops.scaled_picture(tight, [24, 12, 12], *args))


@pytest.mark.parametrize("pixels", ["yuv420p", "yuvj420p"])
def test_a_file_gives_nearly_the_same_pictures(tmp_path, pixels):
    path = write_mp4(tmp_path / "v.mp4", moving_square(20, 96, 128), 25.0, pix_fmt=pixels)
    usual, ours = both(path, resize=40, crop=36)
    assert ours.shape == usual.shape
    assert 0 < np.abs(ours.astype(int) - usual).mean() < 2.0


def test_the_flow_stage_gets_whole_pictures(tmp_path):
    path = write_mp4(tmp_path / "v.mp4", moving_square(20, 48, 96), 25.0)
    usual, ours = both(path, resize=24, crop=20, flow_of="whole")
    assert ours.shape == usual.shape == (2, 16, 24, 48, 3)


@pytest.mark.parametrize(
    ("size", "pixels", "resize"), [((48, 64), "yuv444p", 24), ((48, 64), "yuv420p", 48), ((48, 64), "yuv420p", 60)]
)
def test_what_cannot_go_in_one_pass_goes_the_usual_way(tmp_path, size, pixels, resize):
    """Other formats, and pictures that keep their size or grow."""
    path = write_mp4(tmp_path / "v.mp4", moving_square(16, *size), 25.0, pix_fmt=pixels)
    usual, ours = both(path, resize=resize, crop=20)
    np.testing.assert_array_equal(ours, usual)


@pytest.mark.parametrize("how", [{"swap": True}, {"mirror_x": True}, {"mirror_y": True}])
def test_turned_frames_go_the_usual_way(how):
    frame = av.VideoFrame(64, 48, "yuv420p")
    assert Picture(Display("v", **how), frame).scaled(SnippetOptions(resize=24, crop=20), whole=False) is None


def test_the_limits_hold():
    picture = Picture(Display("v", limits=Limits(max_pixels=1000)), av.VideoFrame(64, 48, "yuv420p"))
    with pytest.raises(VideoError, match="a picture is"):
        picture.scaled(SnippetOptions(resize=24, crop=20), whole=False)


def test_frames_in_memory_are_scaled_as_ever(rng):
    frames = rng.integers(0, 256, (20, 48, 64, 3), np.uint8)
    found = []
    for way in ("rgb", "yuv"):
        with open_video(frames, fps=25.0) as video:
            found.append(np.concatenate([b.frames for b in cut(video, SnippetOptions(resize_of=way))]))
    np.testing.assert_array_equal(*found)


def test_the_record_says_so_and_a_head_takes_both():
    usual, ours = (contract_of(SnippetOptions(resize_of=way), []) for way in ("rgb", "yuv"))
    assert check_contract(usual, usual, "v") == []
    (said,) = check_contract(ours, usual, "v")
    assert "snippet.resize_of is 'yuv', the head was trained on 'rgb': scores may be off" in said
    old = {**usual, "snippet": {k: v for k, v in usual["snippet"].items() if k != "resize_of"}}
    assert check_contract(old, usual, "v") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resize_of": "yiq"}, "resize_of is 'yiq', must be 'rgb' or 'yuv'"),
        ({"resize_of": "yuv", "resize": 0, "crop": 0}, "resize is 0, must be 1 or more with resize_of 'yuv'"),
        (
            {"resize_of": "yuv", "interpolation": "bilinear"},
            "interpolation is 'bilinear', must be 'area' with",
        ),
    ],
)
def test_options_that_do_not_go_together(options, words):
    with pytest.raises(UsageError, match=words):
        SnippetOptions(**options)


GREY = (16.0, 1.0, 1.4, -0.3, -0.7, 1.7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"planes": [np.zeros(16, np.uint8)], "lines": [4]}, "planes must be 3, or 2"),
        ({"lines": [4, 2]}, "planes must be 3, or 2"),
        (
            {"planes": [np.zeros(15, np.uint8), *2 * [np.zeros(4, np.uint8)]]},
            "Y has 15 bytes in lines of 4, must have",
        ),
        (
            {"planes": [np.zeros(16, np.uint8), *2 * [np.zeros(3, np.uint8)]]},
            "U has 3 bytes in lines of 2, must have",
        ),
        ({"lines": [3, 2, 2]}, "Y has 16 bytes in lines of 3, must have 13 in lines of 4 or more"),
        ({"lines": [-4, 2, 2]}, "Y has 16 bytes in lines of -4"),
        ({"stored": (0, 4)}, "stored sides must be in"),
        ({"crop": (0, 0, 3, 2)}, "the crop ends at row 3"),
        ({"crop": (0, 0, 2, 0)}, "a side of 0"),
    ],
)
def test_bad_input_is_refused(change, words):
    given = {
        "planes": [np.zeros(16, np.uint8), np.zeros(4, np.uint8), np.zeros(4, np.uint8)], "lines": [4, 2, 2],
        "stored": (4, 4), "scaled": (2, 2), "crop": (0, 0, 2, 2), "colours": GREY,
    }  # fmt: skip
    assert ops.scaled_picture(**given).shape == (2, 2, 3)
    with pytest.raises(ValueError, match=words):
        ops.scaled_picture(**given | change)
