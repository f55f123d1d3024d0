"""Encoders by name: specs, weights, the snippets they share, frames as decoded, and plans that hold what they need."""

from __future__ import annotations

from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tal_engine.cli.export import export
from tal_engine.errors import ExportError, UsageError
from tal_engine.export import bundle
from tal_engine.export.encoder_graphs import EncoderSet, open_encoders, tiny_encoders, weights_hash
from tal_engine.features import contract_of
from tal_engine.inference.extraction import Extractor
from tal_engine.lab.methods import load_method
from tal_engine.lab.nn import i3d_weights
from tal_engine.lab.nn.encoders import ENCODERS, NATIVE, geometry, open_parts, parse
from tal_engine.lab.training import checkpoint
from tal_engine.options import I3D_SNIPPETS, SnippetOptions
from tal_engine.plan.archive import read_plan
from tal_engine.video import cut, open_video
from tal_engine.video.flow import dis_pairs, snippet_flow, with_flow
from tal_engine.video.source import Frame, VideoSource
from tests.learning import OPTIONS, run_fit, small_config

# -- specs


def test_specs_name_streams_and_architectures():
    assert [(p.key, p.stream) for p in parse("i3d + clip:ViT-B-32")] == [
        ("i3d:rgb", "rgb"), ("i3d:flow", "flow"), ("clip:ViT-B-32", "clip"),
    ]  # fmt: skip
    assert [p.stream for p in parse("lite0+tiny:flow")] == ["rgb", "flow"]
    names = [n + (":RN50" if n == "clip" else "") for n in ENCODERS if ENCODERS[n].variants != "files"]
    assert {p.family for name in names for p in parse(name)} == set(ENCODERS) - {"onnx"}


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        (
            "resnet",
            r"unknown encoder 'resnet'; known: clip:ARCHITECTURE .*i3d, i3d:STREAM \(rgb or flow\); lite0; "
            r"onnx:NET\.onnx \(with its contract, encoder\.yaml\); pose, pose:SIZE \(lite or full\); tiny",
        ),
        ("i3d+", "unknown encoder ''"),
        ("clip", "encoder 'clip' is not of a known form"),
        ("lite0:big", "encoder 'lite0:big' is not of a known form"),
        ("i3d:depth", "encoder 'i3d:depth' is not of a known form"),
        ("i3d+lite0", "i3d:rgb and lite0 both make the stream 'rgb'; one encoder a stream"),
        ("videoclip-xl+clip:RN50", "videoclip-xl and clip:RN50 both make the stream 'clip'"),
    ],
)
def test_bad_specs_are_named(spec, match):
    with pytest.raises(UsageError, match=match):
        parse(spec)


def test_snippets_that_encoders_share():
    def shared(spec):
        return geometry(parse(spec))

    assert shared("i3d") == I3D_SNIPPETS
    assert shared("i3d:rgb") == replace(I3D_SNIPPETS, flow="none")
    assert shared("i3d+clip:RN50") == replace(I3D_SNIPPETS, resize=0, crop=0)
    assert shared("lite0") == shared("videoclip-xl") == NATIVE
    assert shared("tiny") == SnippetOptions()
    with pytest.raises(UsageError, match="lite0 and tiny cannot share snippets"):
        shared("tiny:flow+lite0")


def test_weights_that_are_missing_or_not_wanted(tmp_path):
    parts = parse("i3d:rgb+clip:RN50")
    with pytest.raises(UsageError, match=r"weights of 'rgb': no encoder takes them; .* clip, clip:RN50, i3d, i3d:rgb"):
        open_parts(parts, {"rgb": tmp_path / "x.pt"}, NATIVE)
    with pytest.raises(UsageError, match="I3D rgb needs its weights file"):
        open_parts(parts, {}, NATIVE)
    with pytest.raises(UsageError, match="CLIP RN50 needs its weights file"):
        open_parts(parts, {}, NATIVE, ["clip"])
    with pytest.raises(UsageError, match="tiny reads frames of 112 x 112 pixels, the snippets have 224"):
        open_encoders("tiny", snippet=I3D_SNIPPETS)


# -- frames as decoded


def test_sizes_as_decoded_are_options():
    assert (NATIVE.resize, NATIVE.crop) == (0, 0)
    names = {
        "fps",
        "window",
        "stride",
        "resize",
        "crop",
        "interpolation",
        "resize_of",
        "flow",
        "flow_of",
        "flow_clip",
        "tail",
    }
    assert set(asdict(NATIVE)) == names
    assert (NATIVE.for_flow.resize, NATIVE.for_flow.crop) == (256, 224)
    assert I3D_SNIPPETS.for_flow is I3D_SNIPPETS
    with pytest.raises(UsageError, match="crop is 112, must be 0, as resize is"):
        SnippetOptions(resize=0)
    with pytest.raises(UsageError, match="resize is -1"):
        SnippetOptions(resize=-1, crop=-1)


def test_frames_stay_as_decoded_and_flow_is_of_i3ds_size(clip):
    options = replace(NATIVE, window=4, stride=4, flow="dis")
    with open_video(clip) as video:
        batch = next(with_flow(cut(video, options, batch=2), options))
    assert batch.frames.shape == (2, 4, 64, 96, 3)
    fitted = replace(options, resize=256, crop=224)
    with open_video(clip) as video:
        wanted = next(with_flow(cut(video, fitted, batch=2), fitted))
    np.testing.assert_array_equal(batch.flow, wanted.flow)


@pytest.mark.parametrize("native", [False, True])
def test_flow_of_whole_frames_is_cropped_with_them(clip, native):
    """As I3D's protocol has it: resize, flow, then the same centre of both; frames are what they are without flow."""
    options = replace(I3D_SNIPPETS, window=4, stride=4, resize=48, crop=32, flow="dis")
    if native:
        options = replace(options, resize=0, crop=0)
    with open_video(clip) as video:
        batch = next(with_flow(cut(video, options, batch=2), options))
    with open_video(clip) as video:
        plain = next(cut(video, replace(options, flow="none"), batch=2))
    np.testing.assert_array_equal(batch.frames, plain.frames)
    assert batch.frames.flags.c_contiguous
    assert batch.flow.flags.c_contiguous
    with open_video(clip) as video:
        whole = next(cut(video, replace(options, resize=0, crop=0), batch=2)).frames
    side, crop = (256, 224) if native else (48, 32)
    wide = round(side * 96 / 64)
    pictures = np.stack(
        [cv2.resize(f, (wide, side), interpolation=cv2.INTER_LINEAR) for f in whole.reshape(-1, 64, 96, 3)]
    )
    wanted = snippet_flow(pictures.reshape(2, 4, side, wide, 3), options.flow_clip, dis_pairs())
    top, left = (side - crop) // 2, (wide - crop) // 2
    np.testing.assert_array_equal(batch.flow, wanted[:, :, top : top + crop, left : left + crop])
    of_crop = replace(options, flow_of="crop")
    with open_video(clip) as video:
        other = next(with_flow(cut(video, of_crop, batch=2), of_crop))
    np.testing.assert_array_equal(other.frames, batch.frames)
    assert np.abs(other.flow - batch.flow).max() > 0.01


def test_a_video_that_changes_its_size_keeps_the_first():
    sizes = [(8, 12)] * 3 + [(16, 24)] * 5
    frames = (Frame(i / 25, lambda i=i, s=s: np.full((*s, 3), i, np.uint8)) for i, s in enumerate(sizes))
    options = replace(NATIVE, window=4, stride=4)
    (batch,) = cut(VideoSource("grows", frames, 25.0, 1 / 25), options)
    assert batch.frames.shape == (2, 4, 8, 12, 3)
    assert batch.frames[:, :, 0, 0, 0].ravel().tolist() == list(range(8))


# -- I3D, alone and beside an encoder that resizes itself


class Standin(nn.Module):
    """Reads what I3D reads and costs little: a linear map of 8 x 8 average colours, or motions, over time."""

    def __init__(self, stream):
        super().__init__()
        self.reads, self.channels = ("frames", 3) if stream == "rgb" else ("flow", 2)
        self.out = nn.Linear(64 * self.channels, 64)

    def forward(self, **given):
        x = given[self.reads].float().mean(1).permute(0, 3, 1, 2) / 20.0
        return self.out(functional.avg_pool2d(x, 28).flatten(1))


class StandinRGB(Standin):
    def forward(self, frames):
        return super().forward(frames=frames)


class StandinFlow(Standin):
    def forward(self, flow):
        return super().forward(flow=flow)


@pytest.fixture
def narrow(monkeypatch):
    """A stand-in for I3D, which is tested on its own."""

    def load(path, stream):
        torch.manual_seed(0)
        net = StandinRGB("rgb") if stream == "rgb" else StandinFlow("flow")
        return net.eval().requires_grad_(False)

    monkeypatch.setattr(i3d_weights, "load_i3d", load)
    return load


def test_i3d_on_frames_as_decoded(narrow, clip):
    """Resized in the graph as OpenCV's bilinear does; flow of fitted frames; one hash in both geometries."""
    options = replace(I3D_SNIPPETS, resize=0, crop=0, flow="dis")
    made = open_encoders("i3d", snippet=options)
    assert made.specs["rgb"].graph.inputs[0].shape == ["B", 16, "H", "W", 3]
    assert made.specs["flow"].graph.inputs[0].shape == ["B", 16, 224, 224, 2]
    assert made.specs["rgb"].weights_sha256 == weights_hash(narrow(None, "rgb"))
    assert made.specs["rgb"].preprocess == {
        "size": "shorter side to 256, bilinear", "crop": "centre 224", "values": "-1..1", "frames": "all",
    }  # fmt: skip
    features = Extractor(options, made.open(["rgb", "flow"], "cpu"))(clip).features
    assert {s: f.shape for s, f in features.streams.items()} == {"rgb": (6, 64), "flow": (6, 64)}
    assert features.contract["encoders"]["rgb"]["crop"] == "centre 224"
    with open_video(clip) as video:
        (batch,) = cut(video, options)
    resized = [cv2.resize(f, (384, 256))[16:240, 80:304] for f in batch.frames[0]]
    with torch.no_grad():
        wanted = narrow(None, "rgb")(torch.from_numpy(np.stack(resized)[None])).numpy()[0]
    np.testing.assert_allclose(features.streams["rgb"][0], wanted, atol=1e-2 * np.abs(wanted).max())


def test_i3d_alone_reads_fitted_frames(narrow):
    made = open_encoders("i3d", streams=["rgb"])
    assert made.snippet == I3D_SNIPPETS
    assert made.text is None
    assert (list(made.specs), made.specs["rgb"].graph.inputs[0].shape) == (["rgb"], ["B", 16, 224, 224, 3])
    with pytest.raises(UsageError, match="i3d reads frames of 224 x 224 pixels, the snippets have 112"):
        open_encoders("i3d", snippet=SnippetOptions())


# -- plans


def trained(folder, text, contract, **config):
    """A PVLR head as it was built."""
    pvlr = load_method("pvlr")
    changed = small_config(pvlr, **config)
    options = replace(OPTIONS, steps=0)
    return run_fit(folder, text, options, config=changed, provenance={"data": "test", "contract": contract})


@pytest.fixture(scope="module")
def tiny():
    return tiny_encoders(("rgb", "flow", "clip"))


def test_a_plan_holds_the_encoders_that_inference_needs(tmp_path, text, tiny):
    """PVLR is trained on CLIP's image features too, and its plan has no image tower."""
    contract = contract_of(tiny.snippet, tiny.specs.values())
    trained(tmp_path / "c", text, contract, rgb=128, flow=128)
    export(tmp_path / "c", tmp_path / "p.plan")
    plan = read_plan(tmp_path / "p.plan")
    assert [e.stream for e in plan.manifest.encoders] == ["rgb", "flow"]
    assert set(plan.files) == {"head.onnx", "encoder_rgb.onnx", "encoder_flow.onnx"}
    export(tmp_path / "c", tmp_path / "q.plan", encoders="none")
    assert set(read_plan(tmp_path / "q.plan").files) == {"head.onnx"}
    with pytest.raises(UsageError, match=r"--weights clip with --encoders none"):
        export(tmp_path / "c", tmp_path / "q.plan", encoders="none", weights=["clip=x.pt"])
    with pytest.raises(UsageError, match=r"'clip' names no file: use NAME=PATH"):
        export(tmp_path / "c", tmp_path / "q.plan", weights=["clip"])


def test_encoders_are_asked_for_where_they_are_not_known(tmp_path, text):
    record = {"rgb": {"name": "i3d-rgb", "weights_sha256": "a"}, "flow": {"name": "i3d-flow", "weights_sha256": "b"}}
    trained(tmp_path / "c", text, {"encoders": record})
    with pytest.raises(UsageError, match=r"was trained on features of i3d-flow, i3d-rgb: name them with --encoders"):
        export(tmp_path / "c", tmp_path / "p.plan")
    trained(tmp_path / "d", text, {})
    with pytest.raises(UsageError, match=r"does not record its encoders: name them .* --encoders none"):
        export(tmp_path / "d", tmp_path / "p.plan")


def test_a_head_without_a_record_takes_the_encoders_that_are_named(tmp_path, text, narrow, capsys):
    trained(tmp_path / "c", text, {}, rgb=64, flow=64)
    export(tmp_path / "c", tmp_path / "p.plan", encoders="i3d")
    assert "nothing proves that i3d is what it was trained on" in " ".join(capsys.readouterr().err.split())
    manifest = read_plan(tmp_path / "p.plan").manifest
    assert ([e.name for e in manifest.encoders], manifest.snippet) == (["i3d-rgb", "i3d-flow"], I3D_SNIPPETS)


def test_other_preprocessing_than_in_training_is_refused(tmp_path, text, tiny):
    other = {s: e.model_copy(update={"preprocess": {"values": "0..1"}}) for s, e in tiny.specs.items()}
    trained(tmp_path / "c", text, contract_of(tiny.snippet, other.values()), rgb=128, flow=128)
    given = {s: e.model_copy(update={"preprocess": {"values": "-1..1"}}) for s, e in tiny.specs.items()}
    with pytest.raises(
        ExportError, match=r"encoders\.rgb\.values is '0\.\.1' in what it was trained on, '-1\.\.1' here"
    ):
        bundle.make_plan(checkpoint.load(tmp_path / "c"), EncoderSet(tiny.snippet, given, tiny.graphs, None), name="p")
    slower = replace(tiny.snippet, stride=8)
    with pytest.raises(ExportError, match=r"snippet\.stride is 16 in what it was trained on, 8 here"):
        bundle.make_plan(checkpoint.load(tmp_path / "c"), replace(tiny, snippet=slower, specs=other), name="p")
