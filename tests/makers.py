"""Makes what tests read: video files in all shapes, and a plan that needs no training."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tal_engine.options import NmsOptions, ProposalOptions, SegmentOptions, SnippetOptions
from tal_engine.plan.archive import with_members, write_plan
from tal_engine.plan.fields import Encoder, Graph, Method, Tensor
from tal_engine.plan.manifest import Manifest

#: Geometry of the test plan: small, so that tests are quick.
SNIPPET = SnippetOptions(window=8, stride=8, resize=32, crop=32)


def moving_square(count, height, width, gray=False):
    """Frames whose square moves right; its grey level tells the frame's number."""
    for i in range(count):
        frame = np.full((height, width, 3), 40, np.uint8)
        x = int(i * 2) % max(width - 12, 1)
        frame[height // 4 : height // 2 + 1, x : x + 12] = 60 + (i % 8) * 20
        yield frame[..., 0] if gray else frame


def write_mp4(
    path,
    frames,
    fps=25,
    pts=None,
    time_base=None,
    codec="libx264",
    pix_fmt="yuv420p",
    options=None,
    audio=False,
    prepare=None,
):
    """Encode arrays (RGB or gray; uint16 is 16-bit RGB) or PyAV frames.

    `pts` (in `time_base` units) makes the frame rate variable; `prepare` gets the stream before the
    first frame, to set what a camera would have set.
    """
    path = Path(path)
    frames = [_frame(f) for f in frames]
    rate = Fraction(fps).limit_denominator(100000)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].height, frames[0].width
        stream.pix_fmt = pix_fmt
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "10"}
        if time_base is not None:
            stream.codec_context.time_base = time_base
        if prepare:
            prepare(stream)
        if audio:
            add_silence(container, len(frames) / fps)
        for i, frame in enumerate(frames):
            if pts is not None:
                frame.pts, frame.time_base = pts[i], time_base
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def _frame(image):
    if isinstance(image, av.VideoFrame):
        return image
    kind = "gray" if image.ndim == 2 else "rgb48le" if image.dtype == np.uint16 else "rgb24"
    return av.VideoFrame.from_ndarray(image, format=kind)


def add_silence(container, seconds):
    audio = container.add_stream("aac", rate=16000)
    audio.layout = "mono"
    for _ in range(max(1, int(seconds * 16000) // 1024)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        for packet in audio.encode(frame):
            container.mux(packet)
    for packet in audio.encode(None):
        container.mux(packet)


def write_audio_only(path):
    with av.open(str(path), "w") as container:
        add_silence(container, 1.0)


def tiny_plan(path=None, *, segment=None, encoders=True, **changes):
    """A plan made of two hand-written ONNX graphs; needs the onnx package and nothing trained.

    The rgb encoder gives mean and deviation of the red channel at four places of the snippet; the
    head is a linear map, so expected activations can be computed by hand.
    """
    manifest = tiny_manifest(segment=segment, encoders=encoders, **changes)
    files = {"head.onnx": head_graph()}
    if encoders:
        files["encoder_rgb.onnx"] = encoder_graph()
    plan = with_members(manifest, files)
    if path is not None:
        write_plan(path, plan)
    return plan


#: Weights of the test head: [4, 4] to three classes and background.
HEAD = np.random.default_rng(5).normal(0, 2, (4, 4)).astype(np.float32)


def tiny_manifest(segment=None, encoders=True, **changes):
    rgb = Encoder(
        name="test-rgb",
        stream="rgb",
        reads="frames",
        dim=4,
        weights_sha256="0" * 64,
        graph=Graph(
            member="encoder_rgb.onnx",
            inputs=[Tensor(name="frames", dtype="uint8", shape=["B", 8, 32, 32, 3])],
            outputs=[Tensor(name="feature", dtype="float32", shape=["B", 4])],
        ),
    )
    fields = {
        "name": "tiny",
        "method": Method(name="test"),
        "vocabulary": ["jump", "run", "sit"],
        "snippet": SNIPPET,
        "encoders": [rgb] if encoders else [],
        "streams": {"rgb": 4},
        "head": Graph(
            member="head.onnx",
            inputs=[Tensor(name="rgb", dtype="float32", shape=["B", "T", 4])],
            outputs=[
                Tensor(name="cas", dtype="float32", shape=["B", "T", 4]),
                Tensor(name="attention", dtype="float32", shape=["B", "T"]),
            ],
        ),
        "proposal": ProposalOptions(),
        "nms": NmsOptions(),
        "segment": segment or SegmentOptions(),
    }
    return Manifest(**{**fields, **changes})


def _model(nodes, inputs, outputs, initializers):
    from onnx import TensorProto, helper, numpy_helper

    kinds = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}

    def info(spec):
        return helper.make_tensor_value_info(spec[0], kinds[spec[1]], spec[2])

    graph = helper.make_graph(
        [helper.make_node(*n[0], **n[1]) for n in nodes],
        "test",
        [info(s) for s in inputs],
        [info(s) for s in outputs],
        [numpy_helper.from_array(v, k) for k, v in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()


def encoder_graph():
    """Mean colour of four places of the middle frame: [B, 8, 32, 32, 3] uint8 -> [B, 4]."""
    from onnx import TensorProto

    nodes = [
        (("Gather", ["frames", "middle"], ["one"]), {"axis": 1}),
        (("Cast", ["one"], ["real"]), {"to": TensorProto.FLOAT}),
        (("ReduceMean", ["real", "colour"], ["gray"]), {"keepdims": 0}),
        (("Reshape", ["gray", "halves"], ["cells"]), {}),
        (("ReduceMean", ["cells", "within"], ["means"]), {"keepdims": 0}),
        (("Reshape", ["means", "flat"], ["sums"]), {}),
        (("Sub", ["sums", "offset"], ["centred"]), {}),
        (("Div", ["centred", "scale"], ["feature"]), {}),
    ]
    constants = {
        "middle": np.array(4, np.int64),
        "colour": np.array([3], np.int64),
        "halves": np.array([-1, 2, 16, 2, 16], np.int64),
        "within": np.array([2, 4], np.int64),
        "flat": np.array([-1, 4], np.int64),
        "offset": np.array(50, np.float32),
        "scale": np.array(10, np.float32),
    }
    return _model(nodes, [("frames", "uint8", ["B", 8, 32, 32, 3])], [("feature", "float32", ["B", 4])], constants)


def head_graph():
    """cas = rgb @ HEAD, attention = sigmoid of the first column."""
    nodes = [
        (("MatMul", ["rgb", "weight"], ["cas"]), {}),
        (("Gather", ["cas", "first"], ["logit"]), {"axis": 2}),
        (("Sigmoid", ["logit"], ["attention"]), {}),
    ]
    constants = {"weight": HEAD, "first": np.array(0, np.int64)}
    outputs = [("cas", "float32", ["B", "T", 4]), ("attention", "float32", ["B", "T"])]
    return _model(nodes, [("rgb", "float32", ["B", "T", 4])], outputs, constants)
