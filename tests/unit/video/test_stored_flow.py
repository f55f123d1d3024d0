"""Flow from files: jpg pairs and npz on the grid of slots, and every way in which they do not fit."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tal_engine.errors import FlowError
from tal_engine.features import EncoderGraph
from tal_engine.inference.extraction import Extractor
from tal_engine.options import SnippetOptions
from tal_engine.plan.fields import Encoder, Graph, Tensor
from tal_engine.video import cut, open_video
from tal_engine.video.stored_flow import FlowFiles, open_flow, with_stored_flow
from tests.makers import moving_square, write_mp4

OPTIONS = SnippetOptions(window=4, stride=4, resize=32, crop=32)
SLOTS = 10


def fields(count=SLOTS - 1, height=32, width=40):
    """Field i is 0.5 i to the right and -1 up or down, everywhere."""
    out = np.zeros((count, height, width, 2), np.float32)
    out[..., 0] = 0.5 * np.arange(count)[:, None, None]
    out[..., 1] = -1
    return out


def write_jpgs(folder, flow, first=1, bound=20.0):
    folder.mkdir(parents=True)
    for i, field in enumerate(flow):
        for axis, name in enumerate("xy"):
            image = np.rint((field[..., axis] + bound) * 255 / (2 * bound)).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"flow_{name}_{first + i:05d}.jpg"), image)
    return folder


def snippets_with(flow, options=OPTIONS, frames=None):
    frames = np.stack(list(moving_square(SLOTS, 32, 40))) if frames is None else frames
    with open_video(frames, 25.0) as video:
        batches = list(with_stored_flow(cut(video, options), options, flow, lambda: video.seen))
    return np.concatenate([b.flow for b in batches])


@pytest.mark.parametrize("first", [0, 1])
def test_jpgs_follow_the_grid_and_the_last_is_repeated(tmp_path, first):
    write_jpgs(tmp_path / "v", fields(), first)
    found = snippets_with(open_flow(tmp_path, "v"))
    assert found.shape == (3, 4, 32, 32, 2)
    # The last snippet has two frames of its own; its padding does not move, and that is repeated.
    wanted = np.array([[0, 0.5, 1, 1], [2, 2.5, 3, 3], [4, 0, 0, 0]])
    np.testing.assert_allclose(found[..., 0].mean((2, 3)), wanted, atol=40 / 255)
    np.testing.assert_allclose(found[:2, ..., 1], -1, atol=40 / 255)
    np.testing.assert_array_equal(found[2, 1:], 0)


@pytest.mark.parametrize("count", [SLOTS - 1, SLOTS])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_npz_gives_what_is_in_it(tmp_path, count, dtype):
    np.savez(tmp_path / "v.npz", flow=fields(count).astype(dtype))
    found = snippets_with(open_flow(tmp_path, "v"))
    np.testing.assert_array_equal(found[1, :, 0, 0, 0], [2, 2.5, 3, 3])


def test_flow_grows_with_the_resize_and_is_clipped(tmp_path):
    np.savez(tmp_path / "v.npz", flow=fields(height=16, width=20))
    options = SnippetOptions(window=4, stride=4, resize=32, crop=32, flow_clip=1.5)
    found = snippets_with(open_flow(tmp_path, "v"), options)
    np.testing.assert_allclose(found[0, :, 0, 0], [[0, -1.5], [1, -1.5], [1.5, -1.5], [1.5, -1.5]])


def test_frames_left_whole_for_flow_are_cropped_here(tmp_path):
    """Stored flow is of whole frames, so `flow_of` changes nothing but who crops the frames."""
    np.savez(tmp_path / "v.npz", flow=fields(height=16, width=20))
    frames = np.stack(list(moving_square(SLOTS, 32, 40)))
    made = []
    for options in (OPTIONS, replace(OPTIONS, flow_of="whole")):
        flow = open_flow(tmp_path, "v")
        with open_video(frames, 25.0) as video:
            made.append(list(with_stored_flow(cut(video, options), options, flow, lambda v=video: v.seen)))
    (a,), (b,) = made
    assert b.frames.shape == (3, 4, 32, 32, 3)
    np.testing.assert_array_equal(b.frames, a.frames)
    np.testing.assert_array_equal(b.flow, a.flow)


def test_frames_that_repeat_do_not_move(tmp_path):
    frames = np.stack(list(moving_square(SLOTS, 32, 40)))
    frames[2] = frames[1]
    write_jpgs(tmp_path / "v", np.zeros_like(fields()))
    found = snippets_with(open_flow(tmp_path, "v"), frames=frames)
    np.testing.assert_array_equal(found[0, 1], 0)
    assert found[0, 0].any()  # 8 bits have no exact zero


@pytest.mark.parametrize(("count", "words"), [(5, "needs field 5"), (8, "needs field 8"), (12, "takes 9")])
def test_miscounted(tmp_path, count, words):
    np.savez(tmp_path / "v.npz", flow=fields(count))
    with pytest.raises(FlowError, match=words) as e:
        snippets_with(open_flow(tmp_path, "v"))
    assert f"has {count} fields" in str(e.value)


@pytest.mark.parametrize("name", ["flow_x_00001.jpg", "flow_y_00004.jpg", "flow_y_00009.jpg"])
def test_missing_jpg_is_named(tmp_path, name):
    (write_jpgs(tmp_path / "v", fields()) / name).unlink()
    with pytest.raises(FlowError, match=f"1 files are missing, the first is {name}"):
        open_flow(tmp_path, "v")


def test_jpgs_that_cannot_be_read(tmp_path):
    folder = write_jpgs(tmp_path / "v", fields())
    (folder / "flow_x_00001.jpg").write_bytes(b"no picture")
    with pytest.raises(FlowError, match="is not a picture"):
        snippets_with(open_flow(tmp_path, "v"))
    cv2.imwrite(str(folder / "flow_x_00001.jpg"), np.zeros((32, 41), np.uint8))
    with pytest.raises(FlowError, match=r"\[32, 41\] in x and \[32, 40\] in y"):
        snippets_with(open_flow(tmp_path, "v"))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": fields()}, "array 'flow'"),
        ({"flow": fields()[..., 0]}, "must be"),
        ({"flow": fields().astype(np.uint8)}, "of uint8"),
        ({"flow": fields() * np.nan}, "NaN"),
    ],
)
def test_bad_npz(tmp_path, arrays, words):
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(FlowError, match=words):
        open_flow(tmp_path, "v")


def test_no_flow(tmp_path):
    with pytest.raises(FlowError, match="no flow of 'v'; looked for"):
        open_flow(tmp_path, "v")
    (tmp_path / "v").mkdir()
    with pytest.raises(FlowError, match="looked for files such as"):
        open_flow(tmp_path, "v")
    (tmp_path / "v.npz").write_bytes(b"PK no zip")
    (tmp_path / "v").rmdir()
    with pytest.raises(FlowError, match=r"not an archive \(\.npz\) with an array 'flow'"):
        open_flow(tmp_path, "v")


class MeanFlow:
    """A graph that gives the mean flow of a snippet."""

    description = "mean flow"

    def run(self, feeds):
        return {"feature": feeds["flow"].mean((1, 2, 3))}


def test_extraction_reads_flow_files_and_records_it(tmp_path):
    video = write_mp4(tmp_path / "clip.mp4", moving_square(8, 32, 32))
    np.savez(tmp_path / "clip.npz", flow=fields(7, 32, 32))
    spec = Encoder(
        name="mean", stream="flow", reads="flow", dim=2, weights_sha256="0" * 64,
        graph=Graph(
            member="encoder_flow.onnx",
            inputs=[Tensor(name="flow", dtype="float32", shape=["B", 4, 32, 32, 2])],
            outputs=[Tensor(name="feature", dtype="float32", shape=["B", 2])],
        ),
    )  # fmt: skip
    extractor = Extractor(OPTIONS, [EncoderGraph(spec, MeanFlow())], FlowFiles(tmp_path))
    features = extractor(video).features
    np.testing.assert_allclose(features.streams["flow"], [[0.625, -1], [2.625, -1]])
    assert features.contract["flow_by"] == "stored"
    assert "flow_by" not in Extractor(OPTIONS, []).contract
