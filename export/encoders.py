"""Encoders as graphs: torch weights to ONNX, described as the plan wants them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tal_engine.backends import open_backend
from tal_engine.features import EncoderGraph
from tal_engine.nn.i3d import I3DRGB, I3DFlow
from tal_engine.nn.text import TextEncoder
from tal_engine.nn.tiny import TINY_WEIGHTS, TinyFlow, TinyImage, TinyRGB, load_tiny
from tal_engine.options import SnippetOptions
from tal_engine.plan import Encoder
from tal_engine.train.snippets import SNIPPET

from .parity import check_encoder
from .to_onnx import to_onnx

#: Networks from snippets to features.
SnippetEncoder = TinyRGB | TinyFlow | TinyImage | I3DRGB | I3DFlow


@dataclass(frozen=True)
class EncoderSet:
    """Encoders that belong together: one snippet geometry, one graph a stream, one text tower."""

    snippet: SnippetOptions
    specs: dict[str, Encoder]
    graphs: dict[str, bytes]
    text: TextEncoder

    def open(self, streams: Iterable[str], device: str = "auto") -> list[EncoderGraph]:
        """Load the encoders of some streams on a device."""
        return [EncoderGraph(self.specs[s], open_backend(self.graphs[s], self.specs[s].name, device)) for s in streams]


def tiny_encoders(streams: Iterable[str], weights: Path = TINY_WEIGHTS) -> EncoderSet:
    """The tiny encoders of some of the streams "rgb", "flow", "clip"."""
    towers = load_tiny(weights)
    parts: dict[str, SnippetEncoder] = {"rgb": towers.rgb, "flow": towers.flow, "clip": towers.image}
    made = {s: encoder_graph(parts[s], f"tiny-{s}", s, SNIPPET) for s in streams}
    specs, graphs = {s: spec for s, (spec, _) in made.items()}, {s: content for s, (_, content) in made.items()}
    return EncoderSet(SNIPPET, specs, graphs, towers.text)


def encoder_graph(net: SnippetEncoder, name: str, stream: str, snippet: SnippetOptions) -> tuple[Encoder, bytes]:
    """An encoder as the plan wants it, behind the gate: its record and its graph.

    Args:
        net: reads "frames", uint8 [N, window, crop, crop, 3], or "flow", float32 [N, window, crop, crop, 2], by that
            name; gives [N, dim].
        name: of the encoder, for people and contracts.
        stream: what the features are called.
        snippet: the geometry of what it will be given.

    Raises:
        ExportError: it cannot be traced on such snippets.
        ParityError: the graph does not give what the network gives.
    """
    shape = (2, snippet.window, snippet.crop, snippet.crop)
    example = torch.zeros(*shape, 3, dtype=torch.uint8) if net.reads == "frames" else torch.zeros(*shape, 2)
    content, graph = to_onnx(net, {net.reads: example}, {0: "B"}, f"encoder_{stream}.onnx")
    check_encoder(net, content, graph)
    dim = int(graph.outputs[0].shape[-1])
    spec = Encoder(name=name, stream=stream, reads=net.reads, dim=dim, weights_sha256=weights_hash(net), graph=graph)
    return spec, content


def weights_hash(net: nn.Module) -> str:
    """Hash of a network's weights: names, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
