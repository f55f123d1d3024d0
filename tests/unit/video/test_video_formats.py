"""What cameras and editors store, and what must come out: the picture a viewer sees, or a warning."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.errors import VideoError, VideoFault
from tal_engine.options import SnippetOptions
from tal_engine.video import cut, open_video
from tal_engine.video.pixels import Display
from tal_engine.video.snippet import fit, resized
from tests.makers import moving_square, write_mp4
from tests.unit.video.test_video import snippets

#: Red above, green at the left, blue: no two of the eight turns and mirror images look alike.
FLAG = np.zeros((48, 64, 3), np.uint8)
FLAG[:12] = (220, 30, 40)
FLAG[12:, :20] = (30, 200, 60)
FLAG[12:, 20:] = (40, 60, 210)


def pictures(path):
    with open_video(path) as video:
        images = [f.image() for f in video.frames]
    assert all(i.dtype == np.uint8 for i in images)
    return images, video


def flag(path, codec="ffv1", pix_fmt="yuv444p", frame=FLAG, prepare=None):
    """The picture of a video of one flag, and its warnings."""
    images, video = pictures(write_mp4(path, [frame], codec=codec, pix_fmt=pix_fmt, prepare=prepare))
    assert len(images) == 1
    return images[0], video.warnings


def tagged(**values):
    """Sets fields of the encoder, as a camera does."""

    def prepare(stream):
        for name, value in values.items():
            setattr(stream.codec_context, name, value)

    return prepare


def inside(image):
    """Without the borders of colours, which chroma subsampling mixes."""
    rows, columns = np.r_[0:8, 16:48], np.r_[0:16, 24:64]
    return image[rows][:, columns].astype(int)


# -- shapes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(33, 47), (96, 32), (17, 200), (240, 320)])
def test_any_shape_is_fitted(tmp_path, height, width):
    path = write_mp4(tmp_path / "v.mkv", moving_square(20, height, width), codec="ffv1", pix_fmt="bgr0")
    frames, _, _ = snippets(path)
    assert frames.shape[1:] == (8, 32, 32, 3)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(3, 90), st.integers(3, 90), st.integers(3, 70), st.data(), st.sampled_from(["area", "bilinear"]),
    st.sampled_from([np.uint8, np.float32]),
)  # fmt: skip
def test_what_the_crop_leaves_out_is_not_missed(height, width, resize, choice, how, kind):
    """Only what the crop shows is resized; pictures are those of the whole, flow within 1e-4 (of 255)."""
    crop = choice.draw(st.integers(1, resize))
    options = SnippetOptions(resize=resize, crop=crop, interpolation=how, flow="none")
    image = np.random.default_rng(height * width).integers(0, 256, (height, width, 3)).astype(kind)
    h, w = options.fitted_size(height, width)
    method = cv2.INTER_AREA if how == "area" and resize < min(height, width) else cv2.INTER_LINEAR
    whole = image if (h, w) == (height, width) else cv2.resize(image, (w, h), interpolation=method)
    # Vectors of floats end elsewhere, so that sums are rounded in another order.
    alike = partial(np.testing.assert_allclose, rtol=0, atol=0 if kind is np.uint8 else 1e-4)
    alike(resized(image, options), whole)
    top, left = (h - crop) // 2, (w - crop) // 2
    alike(fit(image, options), whole[top : top + crop, left : left + crop])


@pytest.mark.parametrize(("how", "taken"), [("area", slice(0, 4)), ("bilinear", slice(1, 3))])
def test_interpolation_by_hand(rng, how, taken):
    """At a quarter of the size a pixel is the mean of 4 x 4 (area) or of the 2 x 2 in their middle (bilinear)."""
    image = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    options = SnippetOptions(resize=4, crop=4, interpolation=how, flow="none")
    blocks = image.reshape(4, 4, 6, 4, 3)[:, taken, :, taken].mean((1, 3))[:, 1:5]
    assert np.abs(fit(image, options) - blocks).max() <= 1
    grown = replace(options, resize=32, crop=32)
    wanted = cv2.resize(image, (48, 32), interpolation=cv2.INTER_LINEAR)[:, 8:40]
    np.testing.assert_array_equal(fit(image, grown), wanted)


def test_gray_video(tmp_path):
    path = write_mp4(tmp_path / "v.mkv", moving_square(20, 64, 64, gray=True), codec="ffv1", pix_fmt="gray")
    frames, _, _ = snippets(path)
    assert (frames[..., 0] == frames[..., 1]).all()


def test_lossless_frames_arrive_unchanged(tmp_path, rng):
    images = rng.integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    path = write_mp4(tmp_path / "v.mkv", images, codec="ffv1", pix_fmt="bgr0")
    np.testing.assert_array_equal(snippets(path)[0][0], images)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv420p10le"])
def test_odd_sizes_with_shared_chroma(tmp_path, pix_fmt):
    path = write_mp4(tmp_path / "v.mkv", moving_square(3, 33, 47), codec="ffv1", pix_fmt=pix_fmt)
    assert pictures(path)[0][0].shape == (33, 47, 3)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_and_mirrored(tmp_path, degrees, mirror):
    """The eight ways to hold a phone; degrees count against the clock."""
    found, warnings = flag(
        tmp_path / "v.mp4", "libx264", "yuv444p", prepare=lambda s: s.set_display_rotation(degrees, hflip=mirror)
    )
    expected = np.rot90(FLAG, degrees // 90)
    expected = expected[:, ::-1] if mirror else expected
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() < 12
    assert not warnings


@pytest.mark.parametrize(
    ("ratio", "size"), [(Fraction(2), (48, 128)), (Fraction(16, 11), (48, 93)), (Fraction(1, 2), (96, 64))]
)
def test_pixels_become_square(tmp_path, ratio, size):
    found, warnings = flag(tmp_path / "v.mp4", "libx264", prepare=tagged(sample_aspect_ratio=ratio))
    assert found.shape[:2] == size
    assert f"{ratio.numerator}:{ratio.denominator}" in warnings[0]
    y, x = round(30 * size[0] / 48), round(size[1] * 0.8)
    assert np.abs(found[y, x].astype(int) - (40, 60, 210)).max() < 12


def test_absurd_pixels_are_shown_square(tmp_path):
    found, warnings = flag(tmp_path / "v.mp4", "libx264", prepare=tagged(sample_aspect_ratio=Fraction(9)))
    assert found.shape == FLAG.shape
    assert "said to be 9 times" in warnings[0]


@pytest.mark.parametrize("second", [(96, 32), (40, 66)])
@pytest.mark.parametrize("fields", [False, True])
def test_size_that_changes_midway(tmp_path, second, fields):
    parts = []
    for name, (h, w) in (("a", (48, 64)), ("b", second)):
        path = write_mp4(tmp_path / f"{name}.h264", moving_square(6, h, w), prepare=interlace if fields else None)
        parts.append(path.read_bytes())
    (tmp_path / "v.h264").write_bytes(b"".join(parts))
    images, video = pictures(tmp_path / "v.h264")
    assert [i.shape[:2] for i in images] == [(48, 64)] * 6 + [second] * 6
    assert video.lost == 0


# -- fields ------------------------------------------------------------------------------------


def interlace(stream):
    stream.options = {**stream.options, "flags": "+ilme+ildct", "x264-params": "tff=1", "crf": "4"}


def combed(count):
    """A bright bar that moves 8 pixels between the even lines of a frame and the odd ones."""
    for i in range(count):
        frame = np.full((64, 128, 3), 40, np.uint8)
        for odd in (0, 1):
            x = 8 * (2 * i + odd) % 100
            frame[odd::2, x : x + 20] = 200
        yield frame


def comb(image):
    """How much more neighbouring lines differ than lines of one field."""
    gray = image.astype(int).mean(2)
    return np.abs(gray[1:] - gray[:-1]).mean() - np.abs(gray[2:] - gray[:-2]).mean()


def test_interlaced_is_deinterlaced(tmp_path):
    stored = list(combed(12))
    images, video = pictures(write_mp4(tmp_path / "v.mp4", stored, prepare=interlace))
    assert len(images) == 12
    assert comb(stored[5]) > 15
    assert max(comb(i) for i in images[1:-1]) < 3
    assert [w for w in video.warnings if "interlaced" in w]
    with open_video(tmp_path / "v.mp4") as again:
        np.testing.assert_allclose([f.pts_seconds for f in again.frames], np.arange(12) / 25, atol=1e-6)


def test_deinterlacing_keeps_colours_and_a_lone_frame(tmp_path):
    frame = av.VideoFrame.from_ndarray(FLAG, format="rgb24").reformat(format="yuv444p", dst_colorspace=1)

    def prepare(stream):
        interlace(stream)
        tagged(colorspace=1, color_range=1)(stream)

    found, warnings = flag(tmp_path / "v.mp4", "libx264", frame=frame, prepare=prepare)
    assert np.abs(inside(found) - inside(FLAG)).max() <= 3
    assert len(warnings) == 1


def test_interlaced_frames_too_small_for_the_filter_are_named(tmp_path):
    path = write_mp4(tmp_path / "v.mp4", moving_square(3, 4, 16), prepare=interlace)
    with pytest.raises(VideoError, match=r"v\.mp4: 16 x 4 yuv420p cannot be deinterlaced"):
        pictures(path)


def test_combs_in_a_progressive_video_stay(tmp_path):
    """Without the mark it is a pattern; nothing is guessed from pixels."""
    images, video = pictures(write_mp4(tmp_path / "v.mkv", combed(3), codec="ffv1", pix_fmt="bgr0"))
    np.testing.assert_array_equal(images, list(combed(3)))
    assert not video.warnings


# -- levels and colours ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pix_fmt", "bits"),
    [("yuv420p10le", 10), ("yuv422p12le", 12), ("yuv444p10le", 10), ("gbrp10le", 10), ("rgb48le", 16), ("yuv420p", 8)],
)
def test_more_bits_become_eight_and_it_is_said(tmp_path, pix_fmt, bits):
    found, warnings = flag(tmp_path / "v.mkv", pix_fmt=pix_fmt)
    assert np.abs(inside(found) - inside(FLAG)).max() <= 3
    said = [w.partition(" (")[0] for w in warnings]  # codecs store some formats as others
    assert said == ([f"{bits} bits a channel"] if bits > 8 else [])


def test_less_than_a_window_is_filled_and_it_is_said(tmp_path):
    path = write_mp4(tmp_path / "v.mkv", moving_square(3, 48, 64), codec="ffv1", pix_fmt="bgr0")
    with open_video(path) as video:
        (batch,) = cut(video, SnippetOptions(window=8, stride=8, flow="none", tail="drop"))
    assert (batch.frames[0, 3:] == batch.frames[0, 2]).all()
    assert video.warnings == ["0.12 s, shorter than a window of 0.32 s: filled with its last frame"]


@pytest.mark.parametrize("matrix", [1, 5])
@pytest.mark.parametrize("full", [False, True])
def test_range_and_matrix_follow_the_tags(tmp_path, matrix, full):
    kind = 2 if full else 1
    frame = av.VideoFrame.from_ndarray(FLAG, format="rgb24")
    frame = frame.reformat(format="yuv444p", dst_colorspace=matrix, dst_color_range=kind)
    tags = tagged(color_range=kind, colorspace=matrix)
    found, warnings = flag(tmp_path / "v.mkv", frame=frame, prepare=tags)
    assert np.abs(inside(found) - inside(FLAG)).max() <= 3
    assert not warnings


def test_transparency_is_ignored_and_said(tmp_path):
    picture = np.dstack([FLAG, np.full((48, 64), 90, np.uint8)])
    frame = av.VideoFrame.from_ndarray(picture, format="rgba")
    found, warnings = flag(tmp_path / "v.mkv", pix_fmt="bgra", frame=frame)
    np.testing.assert_array_equal(found, FLAG)
    assert "transparency (bgra)" in warnings[0]


@pytest.mark.parametrize(
    ("transfer", "white", "name"), [(16, 0.5807, "PQ, SMPTE ST 2084"), (18, 0.75, "HLG, ARIB STD-B67")]
)
def test_hdr_is_brought_down_to_bt709(tmp_path, transfer, white, name):
    """The white of a page (203 cd/m2) is 58 % of PQ and 75 % of HLG, and nearly white for us."""
    stored = np.zeros((48, 64, 3), np.uint16)
    for i, level in enumerate((0.0, 0.5 * white, white, 1.0)):
        stored[:, 16 * i : 16 * i + 16] = round(65535 * level)
    tags = tagged(color_trc=transfer, color_primaries=9)
    found, warnings = flag(tmp_path / "v.mkv", pix_fmt="rgb48le", frame=stored, prepare=tags)
    black, dark, page, peak = found[20, [8, 24, 40, 56]].astype(int)
    assert black.max() == 0
    assert 240 <= page.min() <= page.max() <= 250
    assert peak.min() >= 254
    assert 40 < dark.min() < 130
    assert np.ptp(found, axis=2).max() <= 1  # gray stays gray
    assert name in warnings[0]


def test_hdr_colours_move_to_bt709(tmp_path):
    """BT.709 green inside BT.2020 is a paler code; shown, it is as green as before."""
    light = np.array([0.3293, 0.9195, 0.0880]) * 0.5 * 203 / 10_000  # ITU-R BT.2087, half of page white
    power = light ** (2610 / 16384)
    code = ((3424 / 4096 + power * 2413 / 128) / (1 + power * 2392 / 128)) ** (2523 / 32)
    stored = np.broadcast_to(np.round(65535 * code), (48, 64, 3)).astype(np.uint16)
    tags = tagged(color_trc=16, color_primaries=9)
    found, _ = flag(tmp_path / "v.mkv", pix_fmt="rgb48le", frame=stored, prepare=tags)
    red, green, blue = found[20, 20].astype(int)
    assert green == pytest.approx(255 * 0.5 ** (1 / 2.4), abs=3)
    assert max(red, blue) < 25


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"color_primaries": 9, "color_trc": 14}, "primaries are BT.2020"),
        ({"color_primaries": 12, "color_trc": 13}, "primaries are Display P3"),
        ({"color_trc": 8}, "characteristic is linear"),
    ],
)
def test_colours_that_are_not_converted_are_named(tmp_path, tags, words):
    found, warnings = flag(tmp_path / "v.mkv", prepare=tagged(**tags))
    assert np.abs(inside(found) - inside(FLAG)).max() <= 3
    assert words in warnings[0]


def test_pixels_that_cannot_be_converted_are_named():
    frame = av.VideoFrame(16, 16, "bgr4")
    with pytest.raises(VideoError, match=r"x\.mp4: pixels in bgr4 cannot be turned into RGB \(.*not supported\)") as e:
        Display("x.mp4").rgb(frame)
    assert e.value.fault is VideoFault.BAD_FRAMES


@pytest.mark.parametrize("size", [(240, 320), (33, 47)])
def test_one_converter_gives_what_a_new_one_a_frame_gives(rng, size):
    """It is kept over frames whose size, format and range change; every pixel is as a fresh conversion has it."""
    shown = Display("x.mp4")
    for pix_fmt in ("yuv420p", "yuvj420p", "yuv422p10le", "yuv420p", "gray", "bgr0"):
        for h, w in (size, (96, 64)):
            picture = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            np.testing.assert_array_equal(shown.rgb(frame), Display("x.mp4").rgb(frame))
