"""Encoders as graphs: torch weights to ONNX, described as the plan wants them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from ..backends import Backend, open_backend
from ..features import EncoderGraph, SnippetEncoder
from ..lab.nn.encoders import geometry, open_parts, parse
from ..lab.nn.text import TextEncoder
from ..lab.nn.tiny import TINY_WEIGHTS
from ..lab.training.snippets import SNIPPET
from ..options import SnippetOptions
from ..plan.fields import Encoder, Graph, PoseEncoder
from ..pose.encoder import PoseFeatures, pose_encoder
from .onnx_encoder import onnx_encoder
from .parity import check_encoder
from .to_onnx import to_onnx

#: Height and width of the frames that graphs of any size are traced on.
NATIVE_SIZE = {"H": 120, "W": 160}


@dataclass(frozen=True)
class EncoderSet:
    """Encoders that belong together: one snippet geometry, one graph a stream, a text tower if there is one.

    poses: the members that find poses, if an encoder reads them.
    """

    snippet: SnippetOptions
    specs: Mapping[str, Encoder | PoseEncoder]
    graphs: dict[str, bytes]
    text: TextEncoder | None
    poses: Mapping[str, bytes] = field(default_factory=dict)

    def open(self, streams: Iterable[str], device: str = "auto") -> list[SnippetEncoder]:
        """Load the encoders of some streams on a device."""

        def load(graph: Graph) -> Backend:
            # A thread each: the graphs are small, and two threads spend twice the work on them.
            return open_backend(self.poses[graph.member], graph.member, device, threads=1, spec=graph)

        opened: list[SnippetEncoder] = []
        for e in (self.specs[s] for s in streams):
            if isinstance(e, PoseEncoder):
                opened.append(PoseFeatures.opened(e, self.snippet, load))
            else:
                opened.append(EncoderGraph(e, open_backend(self.graphs[e.stream], e.name, device, spec=e.graph)))
        return opened

    def members(self, streams: Iterable[str]) -> dict[str, bytes]:
        """Return the files of the encoders of some streams, as plans hold them."""
        files: dict[str, bytes] = {}
        for e in (self.specs[s] for s in streams):
            files |= self.poses if isinstance(e, PoseEncoder) else {e.graph.member: self.graphs[e.stream]}
        return files


def tiny_encoders(streams: Iterable[str], weights: Path = TINY_WEIGHTS) -> EncoderSet:
    """Open the tiny encoders of some of the streams "rgb", "flow", "clip"."""
    return open_encoders("tiny", {"tiny": weights}, streams=streams, snippet=SNIPPET)


def open_encoders(
    spec: str,
    weights: Mapping[str, Path] = MappingProxyType({}),
    *,
    streams: Iterable[str] | None = None,
    snippet: SnippetOptions | None = None,
) -> EncoderSet:
    """Open encoders by name, as graphs that passed the parity check.

    Args:
        spec: names joined by "+": "i3d", "i3d:rgb+clip:ViT-B-32", "lite0"; `nn.encoders` lists them.
        weights: files by name: "i3d:rgb", "i3d:flow", "clip" (or "clip:ViT-B-32"), "videoclip-xl".
        streams: only these, in this order; the others need no weights.
        snippet: replaces the choice of `nn.encoders.geometry`.

    Raises:
        UsageError: unknown names, two encoders of one stream, encoders that cannot share snippets, weights that are
            needed and missing or that nothing takes.
        CheckpointError: weights that cannot be used.
        MissingExtraError: a package that an encoder needs.
        ExportError, ParityError: as for `encoder_graph`.
    """
    parts = parse(spec)
    streams = None if streams is None else tuple(streams)
    snippet = snippet or geometry(parts)
    opened, text = open_parts(parts, weights, snippet, streams)
    exported = {o.stream: encoder_graph(o.graph, o.name, o.stream, snippet, o.preprocess, o.net) for o in opened}
    specs: dict[str, Encoder | PoseEncoder] = {stream: record for stream, (record, _) in exported.items()}
    poses, given = dict[str, bytes](), dict[str, bytes]()
    for part in parts:
        if part.family == "pose" and (streams is None or part.stream in streams):
            specs[part.stream], poses = pose_encoder(part.variant)
        if part.family == "onnx" and (streams is None or part.stream in streams):
            specs[part.stream], given[part.stream] = onnx_encoder(Path(part.variant))
    order = [p.stream for p in parts] if streams is None else [s for s in streams if s in specs]
    graphs = {s: exported[s][1] for s in order if s in exported} | given
    return EncoderSet(snippet, {s: specs[s] for s in order}, graphs, text, poses)


def encoder_graph(
    net: nn.Module,
    name: str,
    stream: str,
    snippet: SnippetOptions,
    preprocess: Mapping[str, str] = MappingProxyType({}),
    weights: nn.Module | None = None,
) -> tuple[Encoder, bytes]:
    """Export an encoder for a plan and check its parity; return its record and its graph.

    Args:
        net: reads "frames", uint8 [N, window, H, W, 3], or "flow", float32 [N, window, H, W, 2], by that name;
            returns [N, dim].
        name: of the encoder, for people and contracts.
        stream: name of the features.
        snippet: geometry of its inputs; where that leaves frames as decoded, their H and W are free.
        preprocess: what the net does to its inputs, for contracts.
        weights: the part of the net whose weights are hashed; default: all of it.

    Raises:
        ExportError: it cannot be traced on such snippets.
        ParityError: graph and network differ.
    """
    frames = net.reads == "frames"
    free = {0: "B"} if snippet.resize or not frames else {0: "B", 2: "H", 3: "W"}
    side = [NATIVE_SIZE[free[i]] if i in free else snippet.for_flow.crop for i in (2, 3)]
    shape = (2, snippet.window, *side)
    example = torch.zeros(*shape, 3, dtype=torch.uint8) if frames else torch.zeros(*shape, 2)
    content, graph = to_onnx(net, {str(net.reads): example}, free, f"encoder_{stream}.onnx")
    check_encoder(net, content, graph)
    record = Encoder(
        name=name,
        stream=stream,
        reads="frames" if frames else "flow",
        dim=int(graph.outputs[0].shape[-1]),
        weights_sha256=weights_hash(weights or net),
        graph=graph,
        preprocess=dict(preprocess),
    )
    return record, content


def weights_hash(net: nn.Module) -> str:
    """Hash of a network's weights: names, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
