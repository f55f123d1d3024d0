"""What the graphs of a plan must read and give, so that the stages around them can use it.

Compares the manifest with itself; whether the ONNX files agree with it is `backends.checked`'s matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .._util.repeats import repeated
from ..options import BoundaryOptions, ProposalOptions, PyramidOptions, SnippetOptions
from .fields import Encoder, Graph, PoseEncoder, Tensor
from .online_fields import OnlineOptions

Shape = list[int | str]

#: What an online head remembers, [B, M]: its input and its output.
MEMORY, NEXT_MEMORY = "memory", "next_memory"


class PlanGraphs(Protocol):
    """What the rules read of a manifest."""

    @property
    def graphs(self) -> list[Graph]:
        """Every graph of the plan."""

    @property
    def head(self) -> Graph:
        """From features to activations or boundaries."""

    @property
    def evaluator(self) -> Graph | None:
        """Scores proposals that pair boundaries."""

    @property
    def encoders(self) -> Sequence[Encoder | PoseEncoder]:
        """From snippets to features."""

    @property
    def streams(self) -> dict[str, int]:
        """Widths of the features by name."""

    @property
    def vocabulary(self) -> list[str]:
        """Class names."""

    @property
    def snippet(self) -> SnippetOptions:
        """How the video is cut."""

    @property
    def proposal(self) -> ProposalOptions | BoundaryOptions | PyramidOptions | OnlineOptions:
        """How proposals are made."""


def check_graphs(manifest: PlanGraphs) -> None:
    """Compare the tensors of head, evaluator and encoders with streams, classes and snippets.

    Raises:
        ValueError: a name, type, rank or size that its stage does not read or give; the message names the graph.
    """
    for graph in manifest.graphs:
        twice = repeated(t.name for t in (*graph.inputs, *graph.outputs))
        if twice:
            raise ValueError(f"{graph.member}: tensor {twice[0]!r} is listed twice")
    _check_head(manifest)
    if manifest.evaluator is not None:
        _check_evaluator(manifest, manifest.evaluator)
    twice = repeated(e.stream for e in manifest.encoders)
    if twice:
        raise ValueError(f"two encoders give stream {twice[0]!r}, one is allowed")
    for encoder in manifest.encoders:
        if isinstance(encoder, PoseEncoder):
            _check_poses(encoder)
        else:
            _check_encoder(manifest, encoder)
    if sum(e.reads == "pose" for e in manifest.encoders) > 1:
        raise ValueError("two encoders read poses, one is allowed")


def _check_head(manifest: PlanGraphs) -> None:
    head = manifest.head
    online = isinstance(manifest.proposal, OnlineOptions)
    reads = [t for t in head.inputs if not (online and t.name == MEMORY)]
    if {t.name for t in reads} != set(manifest.streams) or len(head.inputs) - len(reads) != online:
        beside = f", beside {MEMORY!r}" if online else ""
        names = [t.name for t in head.inputs]
        raise ValueError(f"head reads {names}, streams are {sorted(manifest.streams)}{beside}")
    batch, time = _free(head, reads[0], 3)
    for tensor in reads:
        _expect(head, tensor, "float32", [batch, time, manifest.streams[tensor.name]])
    classes = len(manifest.vocabulary)
    sizes: dict[str, Shape] = {
        "cas": [batch, time, classes + getattr(manifest.proposal, "background", False)],
        "video": [batch, classes],
        "embedding": [batch, time, head.outputs[-1].shape[-1]],
    }
    if isinstance(manifest.proposal, PyramidOptions):
        moments = _rows(head, batch, time)
        sizes |= {"score": [batch, moments, classes], "distance": [batch, moments, 2]}
    if online:
        sizes |= {"now": [batch, time, classes], NEXT_MEMORY: _memory(head, batch)}
    for tensor in head.outputs:
        if tensor.name == "embedding" and isinstance(tensor.shape[-1], str):
            raise ValueError(f"{head.member}: the width of 'embedding' is {tensor.shape[-1]!r}, must be a number")
        _expect(head, tensor, "float32", sizes.get(tensor.name, [batch, time]))


def _memory(head: Graph, batch: str) -> Shape:
    """Check what the head remembers, a vector for each stream: what goes in is what came out."""
    tensor = next(t for t in head.inputs if t.name == MEMORY)
    if len(tensor.shape) != 2 or not isinstance(tensor.shape[1], int):
        raise ValueError(f"{head.member}: {MEMORY} is {tensor.shape}, must be [{batch!r}, a number]")
    _expect(head, tensor, "float32", [batch, tensor.shape[1]])
    return list(tensor.shape)


def _rows(head: Graph, batch: str, time: str) -> str:
    """Name the moments' dimension: how many there are follows from the length, but is another number."""
    shape = head.outputs[0].shape
    name = shape[1] if len(shape) == 3 else None
    if not isinstance(name, str) or name in (batch, time):
        allowed = f"must have 3 dimensions, the second free and not {time!r}"
        raise ValueError(f"{head.member}: {head.outputs[0].name} is {shape}, {allowed}")
    return name


def _check_evaluator(manifest: PlanGraphs, graph: Graph) -> None:
    by_name = {t.name: t for t in (*graph.inputs, *graph.outputs)}
    width = next(t.shape[-1] for t in manifest.head.outputs if t.name == "embedding")
    time = _free(graph, by_name["embedding"], 2)[0]
    pairs = _free(graph, by_name["positions"], 2)[0]
    assert isinstance(manifest.proposal, BoundaryOptions)  # noqa: S101 - the manifest has compared kinds
    _expect(graph, by_name["embedding"], "float32", [time, width])
    _expect(graph, by_name["positions"], "float32", [pairs, manifest.proposal.points])
    _expect(graph, by_name["score"], "float32", [pairs, len(manifest.vocabulary)])


def _check_encoder(manifest: PlanGraphs, encoder: Encoder) -> None:
    """Check for one input, snippets of the manifest's geometry, and one output, a feature for each."""
    graph, snippet = encoder.graph, manifest.snippet
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        counts = f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs"
        raise ValueError(f"{graph.member}: an encoder has one input and one output, this has {counts}")
    frames = encoder.reads == "frames"
    (reads,), (gives,) = graph.inputs, graph.outputs
    if len(reads.shape) != 5:
        raise ValueError(f"{graph.member}: reads {reads.name} {reads.shape}, snippets are [B, window, H, W, channels]")
    side = snippet.crop if frames else snippet.for_flow.crop
    # A graph that resizes takes any size; frames that stay as decoded need such a one.
    sides: Shape = [d if isinstance(d, str) else side or "any size" for d in reads.shape[2:4]]
    batch = _free(graph, reads, 5)[0]
    _expect(graph, reads, "uint8" if frames else "float32", [batch, snippet.window, *sides, 3 if frames else 2])
    _expect(graph, gives, "float32", [batch, encoder.dim])


#: What the graphs of BlazePose give, by name, for each picture; the heat map may be left out.
_DETECTED = {"boxes": [2254, 12], "scores": [2254, 1]}
_LANDMARKS = {"landmarks": [195], "presence": [1], "world": [117]}
_HEATMAP = {"heatmap": [64, 64, 39]}


def _check_poses(encoder: PoseEncoder) -> None:
    """Check the graphs that find people and joints: a batch of square pictures in, what decodes them out."""
    for graph, side, sizes in ((encoder.detector, 224, _DETECTED), (encoder.landmarks, 256, _LANDMARKS | _HEATMAP)):
        missing = {"boxes", "scores", *_LANDMARKS} & set(sizes) - {t.name for t in graph.outputs}
        extra = {t.name for t in graph.outputs} - set(sizes)
        if len(graph.inputs) != 1 or missing or extra:
            names = [t.name for t in (*graph.inputs, *graph.outputs)]
            raise ValueError(f"{graph.member}: reads and gives {names}, must read pictures and give {list(sizes)}")
        batch = _free(graph, graph.inputs[0], 4)[0]
        _expect(graph, graph.inputs[0], "uint8", [batch, side, side, 3])
        for tensor in graph.outputs:
            _expect(graph, tensor, "float32", [batch, *sizes[tensor.name]])


def _free(graph: Graph, tensor: Tensor, rank: int) -> list[str]:
    """Name the leading dimensions that stages choose: batch and time of three, else the first."""
    names = tensor.shape[: 2 if rank == 3 else 1]
    found = [d for d in names if isinstance(d, str)]
    if len(tensor.shape) != rank or len(set(found)) < len(names):
        many = "first two dimensions" if rank == 3 else "first dimension"
        raise ValueError(f"{graph.member}: {tensor.name} is {tensor.shape}, must have {rank} with free {many}")
    return found


def _expect(graph: Graph, tensor: Tensor, dtype: str, shape: Sequence[int | str]) -> None:
    if tensor.dtype != dtype or tensor.shape != list(shape):
        raise ValueError(
            f"{graph.member}: {tensor.name} is {tensor.dtype} {tensor.shape}, must be {dtype} {list(shape)}"
        )
