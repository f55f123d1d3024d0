"""Encoders by name: what ``--encoders`` and ``--weights`` may say, and which networks that gives.

A spec joins names by "+": "i3d", "i3d:rgb+clip:ViT-B-32", "lite0". What follows the colon is the stream of an encoder
that has several, or the architecture of CLIP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from ...errors import UsageError
from ...options import I3D_SNIPPETS, SnippetOptions
from ...pose.features import POSE_SNIPPETS
from ...pose.weights import VARIANTS as SIZES
from .onnx_contract import read_contract
from .preprocess import Preprocess
from .text import TextEncoder
from .tiny import TINY_WEIGHTS, load_tiny
from .video_towers import SNIPPETS as VIDEO

#: Frames as they were decoded, for networks that resize themselves.
NATIVE = SnippetOptions(resize=0, crop=0, flow="none")


@dataclass(frozen=True)
class Opened:
    """An encoder of one stream, with its weights.

    net: the weights, whose hash is on record. preprocess: what is done to what it reads. graph: what is exported; the
    net, or the net behind a resize.
    """

    name: str
    stream: str
    net: nn.Module
    preprocess: dict[str, str]
    graph: nn.Module


@dataclass(frozen=True)
class Part:
    """One stream of one name of a spec. key: what the weights are called in ``--weights``."""

    family: str
    variant: str
    stream: str

    @property
    def key(self) -> str:
        return f"{self.family}:{self.variant}" if self.variant else self.family


#: The name of a tokenizer's folder among weights; as a key of `Files` it is a part of no encoder.
TOKENIZER = Part("tokenizer", "", "")

#: Weights by part, and what a family makes of them: networks, and the text tower that belongs to them.
Files = Mapping[Part, Path | None]
Made = tuple[list[Opened], TextEncoder | None]


@dataclass(frozen=True)
class Family:
    """Encoders of one name.

    streams: what they make. snippet: of what, unless one says otherwise. any_size: they resize in the graph, whatever
    comes in. weights: "needed", "optional" (some ship with the package) or "none". variants: what may follow the
    colon: "streams", "names" (of architectures; one is needed), "sizes" (`SIZES`; the first is the default), "files"
    (of networks, whose contract names their stream) or "none".
    open: parts, weights by part and snippets to networks and the text tower that belongs to them; None where the graphs
    ship with the package.
    """

    streams: tuple[str, ...]
    snippet: SnippetOptions
    any_size: bool
    weights: Literal["needed", "optional", "none"]
    variants: Literal["streams", "names", "sizes", "files", "none"]
    open: Callable[[Sequence[Part], Files, SnippetOptions], Made] | None


class Fitted(nn.Module):
    """A network that reads frames of one size, behind a resize that takes any: frames [N, T, H, W, 3] uint8."""

    reads: Literal["frames", "flow"] = "frames"

    def __init__(self, net: nn.Module, prepare: Preprocess) -> None:
        super().__init__()
        self.net, self.prepare = net, prepare

    def forward(self, frames: Tensor) -> Tensor:
        x = self.prepare(frames.flatten(0, 1)).permute(0, 2, 3, 1)
        return self.net(x.reshape(-1, frames.shape[1], *x.shape[1:]))


def _tiny(parts: Sequence[Part], weights: Files, snippet: SnippetOptions) -> Made:
    _needs_size("tiny", snippet, SnippetOptions().crop)
    towers = load_tiny(weights[parts[0]] or TINY_WEIGHTS)
    nets = {"rgb": towers.rgb, "flow": towers.flow, "clip": towers.image}
    opened = [Opened(f"tiny-{p.stream}", p.stream, nets[p.stream], {}, nets[p.stream]) for p in parts]
    return opened, towers.text


def _i3d(parts: Sequence[Part], weights: Files, snippet: SnippetOptions) -> Made:
    from .i3d_weights import load_i3d

    opened = []
    for p in parts:
        net = load_i3d(weights[p], "rgb" if p.stream == "rgb" else "flow")
        name, values = f"i3d-{p.stream}", "-1..1" if p.stream == "rgb" else "+-20 pixels to -1..1"
        preprocess: dict[str, str] = {"frames": "all", "values": values}
        graph: nn.Module = net
        if snippet.resize:
            _needs_size("i3d", snippet, I3D_SNIPPETS.crop)
        elif p.stream == "rgb":
            prepare = Preprocess(I3D_SNIPPETS.resize, I3D_SNIPPETS.crop, method="bilinear")
            preprocess, graph = {**prepare.describe(), **preprocess}, Fitted(net, prepare)
        else:  # flow is computed before the graph, on frames of that size
            preprocess |= {"size": f"frames fitted to {I3D_SNIPPETS.resize}, crop {I3D_SNIPPETS.crop}"}
        opened.append(Opened(name, p.stream, net, preprocess, graph))
    return opened, None


def _clip(parts: Sequence[Part], weights: Files, snippet: SnippetOptions) -> Made:
    from .clip import ClipText, read_clip
    from .clip_image import image_of
    from .open_clip_models import find
    from .tokens import tokenizer_of

    (part,) = parts
    model, folder = find(part.variant), weights.get(TOKENIZER)
    # A tokenizer that cannot be used is told before gigabytes are read; without one the texts stay unread.
    tokens = tokenizer_of(model, folder) if folder is not None or not model.hub_tokenizer else None
    file = read_clip(part.variant, weights[part])
    net = image_of(file)
    opened = Opened(f"clip-{file.name}", part.stream, net, net.describe(snippet.window), net)
    return [opened], None if tokens is None else ClipText(file.text_tower(), tokens)


def _videoclip(parts: Sequence[Part], weights: Files, snippet: SnippetOptions) -> Made:
    from .videoclip import load_videoclip

    (part,) = parts
    net, text = load_videoclip(weights[part])
    return [Opened("videoclip-xl", part.stream, net, net.describe(snippet.window), net)], text


def _lite0(parts: Sequence[Part], weights: Files, snippet: SnippetOptions) -> Made:
    from .efficientnet_lite import load_lite0

    (part,) = parts
    net = load_lite0()
    return [Opened("lite0", part.stream, net, net.describe(snippet.window), net)], None


def _video(parts: Sequence[Part], weights: Files, snippet: SnippetOptions) -> Made:
    from .video_towers import load_video

    (part,) = parts
    net = load_video(part.family, weights[part])
    return [Opened(part.family, part.stream, net, net.describe(snippet.window), net)], None


#: Every encoder, by the name in front of the colon.
ENCODERS = {
    "clip": Family(("clip",), NATIVE, True, "needed", "names", _clip),
    "i3d": Family(("rgb", "flow"), I3D_SNIPPETS, False, "needed", "streams", _i3d),
    "lite0": Family(("rgb",), NATIVE, True, "none", "none", _lite0),
    "onnx": Family(("video",), NATIVE, True, "none", "files", None),
    "pose": Family(("pose",), POSE_SNIPPETS, True, "none", "sizes", None),
    "tiny": Family(("rgb", "flow", "clip"), SnippetOptions(), False, "optional", "streams", _tiny),
    "videomae": Family(("video",), VIDEO["videomae"], True, "needed", "none", _video),
    "vjepa2": Family(("video",), VIDEO["vjepa2"], True, "needed", "none", _video),
    "videoclip-xl": Family(("clip",), NATIVE, True, "needed", "none", _videoclip),
}


def known() -> str:
    """List what a spec may name, for messages."""
    forms = {"names": "clip:ARCHITECTURE (ViT-B-32, RN50, ...)", "streams": "{0}, {0}:STREAM ({1})", "none": "{0}"}
    forms["files"] = "{0}:NET.onnx (with its contract, encoder.yaml)"
    forms["sizes"] = f"{{0}}, {{0}}:SIZE ({' or '.join(SIZES)})"
    return "; ".join(forms[f.variants].format(n, " or ".join(f.streams)) for n, f in ENCODERS.items())


def parse(spec: str) -> list[Part]:
    """Split a spec into its parts.

    Raises:
        UsageError: an unknown encoder or variant, or two encoders of one stream.
    """
    parts: list[Part] = []
    for name in spec.split("+"):
        head, _, variant = name.strip().partition(":")
        family = ENCODERS.get(head)
        if family is None:
            raise UsageError(f"unknown encoder {name!r}; known: {known()}; several are joined by +")
        streams = family.streams
        if family.variants == "streams":
            streams = tuple(s for s in streams if variant in ("", s))
        elif family.variants == "sizes":
            variant = variant or SIZES[0]
            streams = streams if variant in SIZES else ()
        elif family.variants == "files":
            streams = (read_contract(Path(variant)).stream,) if variant else ()
        elif bool(variant) != (family.variants == "names"):
            streams = ()
        if not streams:
            raise UsageError(f"encoder {name!r} is not of a known form; known: {known()}")
        several = family.variants == "streams"
        parts += [Part(head, s if several else variant, s) for s in streams]
    for i, p in enumerate(parts):
        other = next((q for q in parts[:i] if q.stream == p.stream), None)
        if other is not None:
            raise UsageError(f"{other.key} and {p.key} both make the stream {p.stream!r}; one encoder a stream")
    return parts


def geometry(parts: Sequence[Part]) -> SnippetOptions:
    """Choose the snippets that these parts share.

    Encoders that resize by themselves get frames as decoded, and so does I3D beside them; alone it gets frames of its
    protocol's size, which are much smaller. Flow is computed if a part reads it.

    Raises:
        UsageError: a part that reads frames of one size only beside one that resizes by itself.
    """
    families = {p.family: ENCODERS[p.family] for p in parts}
    sizes = {n: f.snippet for n, f in families.items() if not f.any_size}
    if len(sizes) > 1 or ("tiny" in sizes and len(families) > 1):
        raise UsageError(f"{' and '.join(sorted(families))} cannot share snippets: tiny reads frames of its own size")
    native = len(sizes) < len(families)
    declared = [read_contract(Path(p.variant)).snippet for p in parts if p.family == "onnx"]
    declared += [VIDEO[p.family] for p in parts if p.family in VIDEO]
    if any(d != declared[0] for d in declared) or (declared and (sizes or "pose" in families)):
        raise UsageError(f"{' and '.join(p.key for p in parts)} cannot share snippets: their grids differ")
    base = next(iter(sizes.values()), POSE_SNIPPETS if "pose" in families else (declared or [NATIVE])[0])
    flow = base.flow if any(p.stream == "flow" for p in parts) else "none"
    return replace(base, resize=0, crop=0, flow=flow) if native else replace(base, flow=flow)


def open_parts(
    parts: Sequence[Part], weights: Mapping[str, Path], snippet: SnippetOptions, streams: Iterable[str] | None = None
) -> Made:
    """Load the networks of the parts that are networks of torch, and the text tower of the first part that has one.

    Args:
        parts: the parts of a spec.
        streams: only these, if given; parts of other streams need no weights.
        weights: files by the key of a part ("clip:ViT-B-32", "i3d:rgb") or by its family's name ("clip"); "tokenizer"
            is the folder of a tokenizer that lies in a hub.
        snippet: geometry of their inputs.

    Raises:
        UsageError: weights that no part takes, or that a part needs and are not given.
        CheckpointError: weights that cannot be used.
        MissingExtraError: a package that an encoder needs.
    """
    takes = {k for p in parts if ENCODERS[p.family].weights != "none" for k in (p.key, p.family)}
    if any(p.family == "clip" for p in parts):
        takes.add(TOKENIZER.key)
    for name in weights:
        if name not in takes:
            raise UsageError(
                f"weights of {name!r}: no encoder takes them; they are for {', '.join(sorted(takes)) or 'none'}"
            )
    chosen = list(parts) if streams is None else [p for p in parts if p.stream in set(streams)]
    networks, text = list[Opened](), None
    for family in dict.fromkeys(p.family for p in chosen):
        own = [p for p in chosen if p.family == family]
        files = {p: weights.get(p.key, weights.get(p.family)) for p in own}
        files |= {TOKENIZER: weights.get(TOKENIZER.key)}
        load = ENCODERS[family].open
        opened, tower = ([], None) if load is None else load(own, files, snippet)
        networks += opened
        text = text or tower
    return networks, text


def _needs_size(name: str, snippet: SnippetOptions, size: int) -> None:
    if snippet.crop != size:
        raise UsageError(
            f"{name} reads frames of {size} x {size} pixels, the snippets have {snippet.crop or 'any size'}"
        )
