"""Networks that others exported, with a contract, as encoders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tal_engine.backends import open_backend
from tal_engine.errors import ExportError, UsageError
from tal_engine.export.encoder_graphs import open_encoders
from tal_engine.export.onnx_encoder import onnx_encoder
from tal_engine.inference.extraction import Extractor
from tal_engine.lab.nn.encoders import geometry, parse
from tal_engine.lab.nn.preprocess import Preprocess
from tal_engine.video import open_video

yaml = pytest.importorskip("yaml")
pytest.importorskip("onnx")

VIDEO = {"stream": "video", "window": 8, "stride": 4, "frames": 4, "resize": 20, "crop": 16, "layout": "NCTHW",
         "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "pooling": "mean", "channels": "first"}  # fmt: skip
IMAGE = {"window": 6, "stride": 6, "resize": 16, "crop": 16, "layout": "NCHW", "interpolation": "opencv-bilinear",
         "pooling": "cls", "colors": "bgr"}  # fmt: skip


class Clips(nn.Module):
    """[N, 3, T, H, W] to maps [N, 5, T, h, w]."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 5, 3, stride=(1, 2, 2))

    def forward(self, x):
        return self.conv(x).relu()


class Tokens(nn.Module):
    """[N, 3, H, W] to tokens [N, L, 7]."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 7, 8, 8)

    def forward(self, x):
        return self.patch(x / 100).flatten(2).transpose(1, 2)


def written(folder, net, shape, contract, *, name="net", free=True, contract_name=None):
    path, axes = folder / f"{name}.onnx", {"x": {0: "N"}, "y": {0: "N"}}
    torch.onnx.export(
        net.eval(), (torch.zeros(shape),), str(path), input_names=["x"], output_names=["y"], opset_version=17,
        dynamo=False, dynamic_axes=axes if free else None,
    )  # fmt: skip
    (folder / (contract_name or "encoder.yaml")).write_text(yaml.safe_dump(contract))
    return path


@pytest.fixture(autouse=True)
def quiet():
    """The exporter of older files warns that it is old: such files are what others have."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_a_video_network_gives_what_torch_gives(tmp_path):
    net = Clips()
    path = written(tmp_path, net, (2, 3, 4, 16, 16), VIDEO)
    record, content = onnx_encoder(path)
    assert (record.dim, record.stream, record.name) == (5, "video", "net")
    assert record.graph.inputs[0].shape == ["B", 8, "H", "W", 3]
    assert record.preprocess["frames"] == "0, 2, 4, 6 of 8"
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 40, 31, 3), np.uint8)
    found = open_backend(content, "n", "cpu").run({"frames": frames})["feature"]
    prepare = Preprocess(20, 16, method="bicubic", mean=VIDEO["mean"], std=VIDEO["std"])
    with torch.no_grad():
        for row, clip in zip(found, frames, strict=True):
            x = prepare(torch.from_numpy(clip[::2])).permute(1, 0, 2, 3)[None]
            np.testing.assert_allclose(row, net(x).mean((2, 3, 4))[0].numpy(), atol=1e-4)


def test_an_image_network_reads_the_middle_frame(tmp_path):
    net = Tokens()
    record, content = onnx_encoder(written(tmp_path, net, (2, 3, 16, 16), IMAGE, contract_name="net.yaml"))
    frames = np.random.default_rng(0).integers(0, 256, (2, 6, 16, 16, 3), np.uint8)
    found = open_backend(content, "n", "cpu").run({"frames": frames})["feature"]
    with torch.no_grad():
        wanted = net(torch.from_numpy(frames[:, 3, :, :, ::-1].copy()).permute(0, 3, 1, 2).float())[:, 0]
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)
    assert (record.dim, record.preprocess["frames"], record.preprocess["colors"]) == (7, "3 of 6", "bgr")


def test_features_of_a_video_through_it(tmp_path, clip):
    path = written(tmp_path, Clips(), (2, 3, 4, 16, 16), VIDEO)
    spec = f"onnx:{path}"
    snippet = geometry(parse(spec))
    assert (snippet.window, snippet.stride, snippet.resize) == (8, 4, 0)
    encoders = open_encoders(spec)
    with open_video(clip) as video:
        made = Extractor(encoders.snippet, encoders.open(["video"], "cpu")).encode(video)
    features = made.features
    assert features.streams["video"].shape[1] == 5
    assert features.contract["encoders"]["video"]["name"] == "net"
    with pytest.raises(UsageError, match="cannot share snippets: their grids differ"):
        geometry(parse(f"{spec}+i3d:rgb"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"layout": "NCHW"}, "layout NCHW reads one frame, frames is 4"),
        ({"frames": 9}, "frames is 9, a window has 8"),
        ({"crop": 24}, "crop is 24, must be at most resize"),
        ({"std": None}, "mean and std belong together"),
        ({"padding": 3}, "padding: Extra inputs are not permitted"),
        ({"layout": None}, "layout: Input should be"),
    ],
)
def test_contracts_that_make_no_sense(tmp_path, change, match):
    (tmp_path / "encoder.yaml").write_text(yaml.safe_dump(VIDEO | change))
    with pytest.raises(UsageError, match=match):
        parse(f"onnx:{tmp_path / 'net.onnx'}")


def test_networks_that_are_not_what_is_declared(tmp_path):
    with pytest.raises(UsageError, match=r"nothing says what it reads; write net\.yaml or encoder\.yaml beside it"):
        parse(f"onnx:{tmp_path / 'net.onnx'}")
    fixed = written(tmp_path, Clips(), (1, 3, 4, 16, 16), VIDEO, free=False)
    with pytest.raises(ExportError, match="1 at a time: export it with a free first dimension"):
        onnx_encoder(fixed)
    free = written(tmp_path, Clips(), (1, 3, 4, 16, 16), VIDEO | {"crop": 18})
    with pytest.raises(ExportError, match="by the contract H is 18"):
        onnx_encoder(free)
    maps = written(tmp_path, Clips(), (1, 3, 4, 16, 16), VIDEO | {"pooling": "none"})
    with pytest.raises(ExportError, match=r"gives \[1, 5, 2, 7, 7\] for 1 snippets; choose a pooling"):
        onnx_encoder(maps)
    (tmp_path / "net.onnx").write_bytes(b"junk")
    with pytest.raises(ExportError, match="not an ONNX file that can be read"):
        onnx_encoder(tmp_path / "net.onnx")


def test_features_that_are_no_numbers_are_named(tmp_path):
    """A square root of what may be negative: what a wrong mean and std make of a sound network."""

    class Root(nn.Module):
        def forward(self, x):
            return (x - 128).sqrt().flatten(2).mean(2)

    contract = {**IMAGE, "pooling": "none"}
    path = written(tmp_path, Root(), (2, 3, 16, 16), contract)
    with pytest.raises(ExportError, match=r"gives NaN or infinite features for random pictures: look at mean and std"):
        onnx_encoder(path)
