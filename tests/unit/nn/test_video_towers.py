"""Video encoders from folders in the hub's layout: random weights, small, against the library's own classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from tal_engine.backends import open_backend
from tal_engine.errors import CheckpointError, UsageError
from tal_engine.export.precision import to_half
from tal_engine.export.quantize import to_int8
from tal_engine.export.to_onnx import to_onnx
from tal_engine.lab.nn.encoders import geometry, parse
from tal_engine.lab.nn.video_towers import SNIPPETS, load_video

transformers = pytest.importorskip("transformers", reason="video encoders need the extra [video-encoders]")

VJEPA = {"crop_size": 32, "patch_size": 16, "frames_per_clip": 4, "hidden_size": 24, "num_attention_heads": 2,
         "num_hidden_layers": 2, "pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1,
         "num_pooler_layers": 1}  # fmt: skip
MAE = {"image_size": 32, "num_frames": 4, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
       "intermediate_size": 48, "decoder_hidden_size": 24, "decoder_num_hidden_layers": 1,
       "decoder_num_attention_heads": 2, "decoder_intermediate_size": 24}  # fmt: skip
PIXELS = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "resample": 2,
          "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}  # fmt: skip


def folder_of(path, family):
    torch.manual_seed(0)
    if family == "vjepa2":
        net = transformers.VJEPA2Model(transformers.VJEPA2Config(**VJEPA))
        state, config = net.state_dict(), VJEPA
    else:  # as checkpoints that were fine-tuned are
        whole = transformers.VideoMAEForVideoClassification(transformers.VideoMAEConfig(**MAE, num_labels=3))
        net, state, config = whole.videomae, whole.state_dict(), MAE
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape) * 0.1)
    safetensors.torch.save_file({k: v.clone().contiguous() for k, v in state.items()}, str(path / "model.safetensors"))
    (path / "config.json").write_text(json.dumps({"model_type": family, **config}))
    (path / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    return net.eval()


@pytest.mark.parametrize("family", ["vjepa2", "videomae"])
def test_a_folder_gives_what_the_library_gives(family, tmp_path):
    net = folder_of(tmp_path, family)
    tower = load_video(family, tmp_path)
    clips = torch.randn(2, 4, 3, 32, 32)
    with torch.no_grad():
        tokens = net.get_vision_features(clips) if family == "vjepa2" else net(clips).last_hidden_state
        torch.testing.assert_close(tower.embed(clips), tokens.mean(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["vjepa2", "videomae"])
@pytest.mark.filterwarnings("ignore")
def test_a_folder_as_the_library_writes_it(family, tmp_path):
    """The hub's files have names of their own for some tensors."""
    torch.manual_seed(0)
    if family == "vjepa2":
        net = transformers.VJEPA2Model(transformers.VJEPA2Config(**VJEPA))
    else:
        net = transformers.VideoMAEForVideoClassification(transformers.VideoMAEConfig(**MAE, num_labels=3))
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape) * 0.1)
    net.eval().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    tower, clips = load_video(family, tmp_path), torch.randn(2, 4, 3, 32, 32)
    with torch.no_grad():
        tokens = net.get_vision_features(clips) if family == "vjepa2" else net.videomae(clips).last_hidden_state
        torch.testing.assert_close(tower.embed(clips), tokens.mean(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["vjepa2", "videomae"])
@pytest.mark.parametrize(("precision", "allowed"), [("fp16", 2e-3), ("int8", 5e-2)])
def test_its_graph_has_other_precisions(family, precision, allowed, tmp_path):
    """Half precision and eight bits convert, and stay near on snippets that were not calibrated on."""
    folder_of(tmp_path, family)
    tower, window = load_video(family, tmp_path), SNIPPETS[family].window
    example = {"frames": torch.zeros(2, window, 120, 160, 3, dtype=torch.uint8)}
    content, _ = to_onnx(tower, example, {0: "B", 2: "H", 3: "W"}, "video.onnx")

    def noise(seed, batch=2):
        return {"frames": np.random.default_rng(seed).integers(0, 256, (batch, window, 36, 36, 3), np.uint8)}

    made, share = to_half(content, "e") if precision == "fp16" else to_int8(content, "e", [noise(s) for s in range(3)])
    assert share.precision == precision
    wanted, found = (open_backend(c, "video", "cpu").run(noise(9, 3))["feature"] for c in (content, made))
    assert 0 < np.abs(found - wanted).max() / (1 + np.abs(wanted).max()) < allowed


@pytest.mark.parametrize("family", ["vjepa2", "videomae"])
def test_its_graph_is_the_network_at_other_sizes_and_batches(family, tmp_path):
    """Frames that need no resize agree to the last bits; of others a value next to a half may round otherwise, and in a
    network as small as this one that shows.
    """
    folder_of(tmp_path, family)
    tower, window = load_video(family, tmp_path), SNIPPETS[family].window
    assert geometry(parse(family)) == SNIPPETS[family]
    example = {"frames": torch.zeros(2, window, 120, 160, 3, dtype=torch.uint8)}
    content, graph = to_onnx(tower, example, {0: "B", 2: "H", 3: "W"}, "video.onnx")
    assert graph.inputs[0].shape == ["B", window, "H", "W", 3]
    assert graph.outputs[0].shape == ["B", 24]
    backend = open_backend(content, "video", "cpu")
    for batch, height, width, allowed in ((1, 36, 36, 2e-5), (3, 36, 36, 2e-5), (3, 57, 90, 5e-3)):
        frames = np.random.default_rng(batch).integers(0, 256, (batch, window, height, width, 3), np.uint8)
        with torch.no_grad():
            wanted = tower(torch.from_numpy(frames)).numpy()
        assert np.abs(backend.run({"frames": frames})["feature"] - wanted).max() < allowed


def test_frames_are_taken_evenly(tmp_path):
    folder_of(tmp_path, "videomae")
    tower = load_video("videomae", tmp_path)
    assert tower.describe(64)["frames"] == "0, 16, 32, 48 of 64"
    frames = np.random.default_rng(0).integers(0, 256, (1, 8, 40, 50, 3), np.uint8)
    with torch.no_grad():
        x = tower.prepare(torch.from_numpy(frames[0, ::2]))[None]
        torch.testing.assert_close(tower(torch.from_numpy(frames)), tower.embed(x))
    with pytest.raises(UsageError, match="window is 3, the network reads 4 frames"):
        tower(torch.zeros(1, 3, 32, 32, 3, dtype=torch.uint8))


def test_folders_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"vjepa2 needs its weights and nothing is downloaded: give a folder"):
        load_video("vjepa2", None)
    with pytest.raises(CheckpointError, match=r"config\.json: cannot be read"):
        load_video("vjepa2", tmp_path)
    folder_of(tmp_path, "videomae")
    with pytest.raises(UsageError, match="is of 'videomae', not vjepa2"):
        load_video("vjepa2", tmp_path)
    weights = safetensors.torch.load_file(str(tmp_path / "model.safetensors"))
    gone = weights.pop("videomae.encoder.layer.0.output.dense.bias")
    safetensors.torch.save_file(weights, str(tmp_path / "model.safetensors"))
    with pytest.raises(CheckpointError, match=r"missing encoder\.layer\.0\.output\.dense\.bias; unexpected nothing"):
        load_video("videomae", tmp_path)
    safetensors.torch.save_file(
        weights | {"videomae.encoder.layer.0.output.dense.bias": gone[:3].clone()}, str(tmp_path / "model.safetensors")
    )
    with pytest.raises(CheckpointError, match=r"weights have other shapes than config\.json says"):
        load_video("videomae", tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="does not say how pixels are prepared"):
        load_video("videomae", tmp_path)


def test_grids_that_differ_cannot_be_shared():
    with pytest.raises(UsageError, match="both make the stream 'video'"):
        parse("vjepa2+videomae")
    assert geometry(parse("vjepa2+clip:ViT-B-32")) == SNIPPETS["vjepa2"]
