"""Frames as they are stored, converted by a graph: as the definitions say, and near what the usual way gives."""

from __future__ import annotations

import itertools
import platform

import av
import numpy as np
import onnx
import pytest

from tal_engine import TALEngine
from tal_engine._util.yuv import Layout, coefficients
from tal_engine.backends import open_backend
from tal_engine.errors import UsageError
from tal_engine.features import check_contract
from tal_engine.features.pixel_conversion import conversion_graph, weights
from tal_engine.options import DEVICE_PIXELS, SnippetOptions
from tal_engine.video import cut, open_video
from tal_engine.video.layout import layout_of
from tal_engine.video.planes import cut_planes, planes_of
from tests.makers import moving_square, tiny_plan, write_mp4
from tests.reference import yuv
from tests.unit.backends.test_on_card import ALL, engine

__all__ = ["engine"]

SIZES = [(16, 12), (17, 13), (13, 31), (2, 2), (1, 1)]
ALIKE = [("yuv420p", "bt601", False), ("nv12", "bt709", True), ("yuv420p", "bt2020", True), ("nv12", "bt601", False),
         ("yuv420p", "bt709", False)]  # fmt: skip
HOWS = [(0, 0, "area"), (8, 6, "area"), (8, 8, "bilinear"), (20, 15, "area")]


@pytest.mark.parametrize(("kind", "matrix", "full"), ALIKE)
@pytest.mark.parametrize(("resize", "crop", "interpolation"), HOWS)
def test_the_graph_is_the_textbook(rng, kind, matrix, full, resize, crop, interpolation):
    options = SnippetOptions(resize=resize, crop=crop, interpolation=interpolation, flow="none")
    for width, height in SIZES:
        layout = Layout(width, height, kind, matrix, full)
        data = rng.integers(0, 256, (2, layout.size), np.uint8)
        graph = conversion_graph(layout, options)
        found = open_backend(graph, "convert", "cpu").run({"planes": data})["frames"]
        for one, picture in zip(data, found, strict=True):
            wanted = yuv.picture(one, width, height, kind, matrix, full, resize, crop, interpolation)
            assert picture.dtype == np.uint8
            assert picture.shape == wanted.shape
            # Half of a step by rounding, and what float32 loses: a value at the middle may go either way.
            assert np.abs(picture - wanted).max() <= 0.5 + 1e-3


def test_extremes_stay_in_range():
    layout = Layout(4, 4, "yuv420p", "bt709", False)
    backend = open_backend(conversion_graph(layout, SnippetOptions(resize=0, crop=0, flow="none")), "convert", "cpu")
    for y, u, v in itertools.product((0, 16, 128, 235, 255), (0, 128, 255), (0, 128, 255)):
        data = np.repeat([y, u, v], [16, 4, 4]).astype(np.uint8)
        wanted = yuv.picture(data, 4, 4, "yuv420p", "bt709", False, 0, 0, "area")
        np.testing.assert_array_equal(backend.run({"planes": data[None]})["frames"][0], wanted)


@pytest.mark.parametrize(("matrix", "number"), [("bt601", 5), ("bt709", 1), ("bt2020", 9)])
@pytest.mark.parametrize("full", [False, True])
def test_the_coefficients_are_the_published_ones(matrix, number, full):
    """A definition's limits: grey of any range is grey, and the three primaries come back within a rounding."""
    luma, chroma = coefficients(Layout(4, 4, "yuv420p", matrix, full))
    red, blue = {5: (0.299, 0.114), 1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}[number]
    scale, span, black = (1.0, 255, 0) if full else (224 / 255, 219, 16)
    for rgb in np.eye(3):
        y = rgb @ [red, 1 - red - blue, blue]
        u, v = (rgb[2] - y) / (2 * (1 - blue)), (rgb[0] - y) / (2 * (1 - red))
        codes = [round(black + span * y) - black, round(255 * scale * u), round(255 * scale * v)]
        found = codes[0] * luma + np.array(
            [chroma["rv"] * codes[2], chroma["gu"] * codes[1] + chroma["gv"] * codes[2], chroma["bu"] * codes[1]]
        )
        np.testing.assert_allclose(found / 8192, 255 * rgb, atol=2.1)


def test_onnx_takes_the_graph():
    for kind, resize in itertools.product(("yuv420p", "nv12"), (0, 8)):
        graph = conversion_graph(Layout(17, 13, kind, "bt601", False), SnippetOptions(resize=resize, crop=resize))
        onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)


@pytest.mark.parametrize("area", [True, False])
def test_shares_add_up(area):
    for stored, scaled in ((7, 5), (640, 112), (9, 9), (3, 11)):
        found = weights(stored, scaled, 0, scaled, area=area)
        np.testing.assert_allclose(found.sum(1), 1)
        assert (found >= 0).all()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "nv12"])
@pytest.mark.parametrize("size", [(64, 48), (65, 47)])
def test_planes_are_those_of_the_frame(rng, pix_fmt, size):
    width, height = size
    frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (height, width, 3), np.uint8), "rgb24")
    frame = frame.reformat(format=pix_fmt)
    layout = layout_of(frame)
    assert (layout.width, layout.height, layout.full) == (width, height, pix_fmt == "yuvj420p")
    data = planes_of(frame, layout)
    y, u, _ = yuv.planes(data, width, height, layout.kind)
    np.testing.assert_array_equal(
        y, np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)[:height, :width]
    )
    chroma = np.frombuffer(frame.planes[1], np.uint8).reshape(-1, frame.planes[1].line_size)
    assert u[0, 2] == chroma[0, 1 if pix_fmt != "nv12" else 2]


def test_other_formats_have_no_layout():
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    assert layout_of(frame) is None
    assert layout_of(av.VideoFrame(64, 48, "yuv422p")) is None


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_mp4(tmp_path_factory.mktemp("clips") / "a.mp4", moving_square(100, 48, 64), fps=25)


def options(**changes):
    return SnippetOptions(window=8, stride=8, resize=32, crop=32, flow="none", **changes)


def both(path, how):
    """Frames of the snippets of a video, made in the usual way and by the graph."""
    with open_video(path) as video:
        wanted = np.concatenate([s.frames for s in cut(video, how, 4)])
    with open_video(path) as video:
        layout, stored = cut_planes(video, how, 4)
        backend = open_backend(conversion_graph(layout, how), "convert", "cpu")
        batches = [s.frames for s in stored]
    return np.concatenate([[backend.run({"planes": s})["frames"] for s in b] for b in batches]), wanted


def test_snippets_are_near_those_of_the_usual_way(clip):
    for interpolation in ("area", "bilinear"):
        found, wanted = both(clip, options(interpolation=interpolation))
        assert found.shape == wanted.shape
        assert np.abs(found.astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("tags", [{}, {"colorspace": 1}, {"color_range": 2}, {"colorspace": 1, "color_range": 2}])
def test_frames_as_decoded_are_those_of_the_usual_way(tmp_path, rng, tags):
    """Bit for bit where libswscale has its converter for x86; elsewhere it rounds in its own way, by 3 at most."""

    def tagged(stream):
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)

    noise = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(8)]
    path = write_mp4(tmp_path / "a.mp4", noise, prepare=tagged)
    with open_video(path) as video:
        stored = next(iter(video.frames)).stored
    layout = layout_of(stored)
    assert (layout.matrix == "bt709", layout.full) == ("colorspace" in tags, "color_range" in tags)
    found, wanted = both(path, SnippetOptions(window=8, stride=8, resize=0, crop=0, flow="none"))
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    assert np.abs(found.astype(int) - wanted).max() <= (0 if x86 else 3)


def test_a_size_that_changes_is_brought_to_the_first(tmp_path):
    frames = [*moving_square(8, 48, 64), *moving_square(8, 48, 64)]
    path = write_mp4(tmp_path / "a.mp4", frames)
    with open_video(path) as video:
        shown = list(video.frames)
        other = shown[9].stored.reformat(width=96, height=80, format="yuv444p")
        changed = [*shown[:9], type(shown[9])(shown[9].pts_seconds, shown[9].image, stored=other), *shown[10:]]
        changed[11] = type(shown[11])(shown[11].pts_seconds, shown[11].image)  # one that had to be turned
        video.frames = iter(changed)
        layout, stored = cut_planes(video, options(), 4)
        frames = np.concatenate([s.frames for s in stored])
    assert frames.shape == (2, 8, layout.size)
    assert video.warnings.count("frames change their size or pixel format: converted to those of the first one") == 1
    for i in (9, 11):
        assert np.abs(frames[1, i - 8].astype(int) - planes_of(shown[i].stored, layout)).mean() < 2


def test_an_engine_converts_on_its_device_and_says_so(engine, clip):
    how = {"snippet": options()}
    usual = engine(False, **how)
    here, there = (engine(kept, convert_on_device=True, **how) for kept in (False, True))
    results = [e.localize(clip, min_score=ALL, top_k=0) for e in (usual, here, there)]
    assert list(results[1]) == list(results[2])
    assert results[0].info.warnings == []
    (said,) = results[2].info.warnings
    assert "convert_on_device makes them by" in said
    assert DEVICE_PIXELS in said
    np.testing.assert_allclose(results[2].activations.cas, results[0].activations.cas, atol=0.1)
    assert there.device.empty
    assert [n for n, _ in there.sent].count("convert") == len(there.features(clip)), "a snippet at a time"
    record = there.features(clip).contract
    assert record["pixels"] == DEVICE_PIXELS
    (warning,) = check_contract(record, usual.contract, "f.npz")
    assert "pixels is" in warning


def test_flow_that_nobody_reads_is_not_computed(engine, clip):
    """The options name a flow, and the plan's encoder reads frames."""
    one, other = (engine(True, convert_on_device=True, **how) for how in ({}, {"snippet": options()}))
    assert one.plan.manifest.snippet.flow != "none"
    assert list(one.localize(clip, min_score=ALL)) == list(other.localize(clip, min_score=ALL))


def test_what_is_not_stored_so_goes_the_usual_way(engine, tmp_path):
    path = write_mp4(tmp_path / "a.mp4", moving_square(40, 48, 64), pix_fmt="yuv444p")
    usual, here = (engine(False, snippet=options(), convert_on_device=on) for on in (False, True))
    a, b = (e.localize(path, min_score=ALL) for e in (usual, here))
    assert list(a) == list(b)
    assert b.info.warnings == ["frames are not stored as 8-bit 4:2:0 YUV that is shown as it is: converted here"]
    frames = np.stack(list(moving_square(40, 48, 64)))
    assert list(here.localize(frames, fps=25)) == list(usual.localize(frames, fps=25))


def test_flow_takes_pictures_on_the_processor():
    with pytest.raises(UsageError, match=r"convert_on_device: encoder .* reads flow"):
        TALEngine.load("demo", "cpu", convert_on_device=True)
    assert tiny_plan().manifest.encoders[0].reads == "frames"
