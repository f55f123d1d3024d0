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
from tal_engine.nn.text import TextEncoder
from tal_engine.nn.tiny import DIM, TINY_WEIGHTS, TinyFlow, TinyImage, TinyRGB, load_tiny
from tal_engine.options import SnippetOptions
from tal_engine.plan import Encoder
from tal_engine.train.snippets import SNIPPET

from .parity import check_encoder
from .to_onnx import to_onnx


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
    parts: dict[str, TinyRGB | TinyFlow | TinyImage] = {"rgb": towers.rgb, "flow": towers.flow, "clip": towers.image}
    shape = (2, SNIPPET.window, SNIPPET.crop, SNIPPET.crop)
    specs, graphs = {}, {}
    for stream in streams:
        net = parts[stream]
        example = torch.zeros(*shape, 3, dtype=torch.uint8) if net.reads == "frames" else torch.zeros(*shape, 2)
        content, graph = to_onnx(net, {net.reads: example}, {0: "B"}, f"encoder_{stream}.onnx")
        check_encoder(net, content, graph)
        specs[stream] = Encoder(
            name=f"tiny-{stream}",
            stream=stream,
            reads=net.reads,
            dim=DIM,
            weights_sha256=weights_hash(net),
            graph=graph,
        )
        graphs[stream] = content
    return EncoderSet(SNIPPET, specs, graphs, towers.text)


def weights_hash(net: nn.Module) -> str:
    """Hash of a network's weights: names, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
