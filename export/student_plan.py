"""A student's network and its teacher's head -> plan, behind the gate.

The head stays the teacher's: its graph gets an input for the features of each part of the student, and splits them into
the streams that it was trained on.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .. import __version__
from .._util.extras import need
from ..backends import Backend, open_backend
from ..errors import require
from ..features.contract import contract_of
from ..lab.distilling.parts import Part
from ..options import SnippetOptions, timeline_of
from ..plan.archive import Plan, with_calibration, with_members
from ..plan.fields import Encoder, Graph, Tensor
from ..plan.manifest import parse_manifest
from ..records import Features
from . import gate
from .encoder_graphs import encoder_graph
from .fit_domain import LEAST_VIDEOS, fit_domain
from .metadata import labelled

#: The streams of a student's features, and its encoders' names, by what they read.
STREAMS = {"frames": "student", "flow": "student_flow"}
#: Encoders, each with the streams of the teacher that it stands for and their widths.
Parts = Sequence[tuple[Part, Mapping[str, int]]]


def make_student_plan(
    teacher: Plan,
    parts: Parts,
    snippet: SnippetOptions,
    *,
    name: str,
    preprocess: Mapping[str, Mapping[str, str]],
    record: Mapping[str, Any],
    seen: Sequence[Features] = (),
    kept: Sequence[str] = (),
) -> Plan:
    """Put a student's networks before its teacher's head.

    Args:
        teacher: in float32.
        parts: networks that read frames or flow, one of each at most; each gives some of the teacher's streams one
            after another, and together they give all that are not kept.
        snippet: what they read; covers the same stretches of time as the teacher's.
        name: of the plan.
        preprocess: what a network does, by what it reads, for the contract; the teacher's name and hash are added.
        record: how the student came to be, for the plan's provenance.
        seen: the student's features of training videos, by the streams `STREAMS`; what they look like goes into the
            plan, if they are at least `fit_domain.LEAST_VIDEOS`.
        kept: streams whose encoders stay, and see each frame as often as the teacher's rate has it.

    Raises:
        UsageError: the teacher is not in float32.
        ParityError: a graph gives something else than what it was made of.
    """
    manifest = teacher.manifest
    require(manifest.precision == "fp32", f"precision of plan {manifest.name}", manifest.precision, "'fp32'")
    signed = {"teacher": manifest.name, "teacher_sha256": teacher.sha256}
    encoders, files = list[Encoder](), dict[str, bytes]()
    for part, _ in parts:
        stream, drawn = STREAMS[part.reads], {**preprocess[part.reads], **signed}
        encoder, content = encoder_graph(part, f"{stream} of {manifest.name}", stream, snippet, drawn)
        encoders.append(encoder)
        files[encoder.graph.member] = content
    for former in (e for e in manifest.graph_encoders if e.stream in kept):
        encoder, content = with_slower_frames(former, teacher.files[former.graph.member], snippet.window)
        encoders.append(encoder)
        files[encoder.graph.member] = content
    shares = {STREAMS[part.reads]: streams for part, streams in parts} | {s: {s: manifest.streams[s]} for s in kept}
    joined, head = joined_head(teacher.files[manifest.head.member], manifest.head, shares)
    parity = _checked(teacher, joined, head, shares)
    told: dict[str, Any] = {"name": name, "method": manifest.method.name, "vocabulary": manifest.vocabulary}
    files[head.member] = labelled(joined, precision="fp32", **told)
    if manifest.evaluator is not None:
        files[manifest.evaluator.member] = teacher.files[manifest.evaluator.member]
    said = "no flow" if snippet.flow == "none" else f"flow {snippet.flow}"
    changes = {
        "name": name,
        "description": f"A student of plan {manifest.name}, which reads {said}. {manifest.description}".strip(),
        "snippet": snippet,
        "encoders": encoders,
        "streams": {e.stream: e.dim for e in encoders},
        "head": head,
        "domain": None,
        "engines": [],
        "producer": _producer(),
        "provenance": {
            "contract": contract_of(snippet, encoders),
            "distilled": {**signed, **record, "contract": _contract_of(teacher)},
        },
        "parity": {"head": parity},
        "members": {},
    }
    plan = with_members(manifest.model_copy(update=changes), files)
    if len(seen) >= LEAST_VIDEOS:
        domain = fit_domain(seen, list(shares), fitted_on=f"{len(seen)} videos of tal distill")
        plan = with_calibration(plan, domain=domain.stored())
    parse_manifest(plan.document, name)
    return plan


def joined_head(content: bytes, head: Graph, shares: Mapping[str, Mapping[str, int]]) -> tuple[bytes, Graph]:
    """Give a head other inputs, each of which holds the columns of some of its streams one after another.

    Args:
        content: the head's graph.
        head: its tensors.
        shares: widths of the head's streams, in the order of the columns, by the input that holds them.
    """
    onnx = need("onnx")
    helper, model = onnx.helper, onnx.load_from_string(content)
    graph = model.graph
    batch, time = head.inputs[0].shape[:2]
    nodes, inputs = [], []
    for name, streams in shares.items():
        inputs.append(Tensor(name=name, dtype="float32", shape=[batch, time, sum(streams.values())]))
        if list(streams) == [name]:
            continue
        sizes = onnx.numpy_helper.from_array(np.asarray(list(streams.values()), np.int64), f"{name}_widths")
        nodes.append(helper.make_node("Split", [name, sizes.name], list(streams), name=f"{name}_split", axis=2))
        graph.initializer.append(sizes)
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in (*nodes, *graph.node)]
    del graph.node[:], graph.input[:]
    graph.node.extend(copies)
    graph.input.extend(helper.make_tensor_value_info(t.name, onnx.TensorProto.FLOAT, t.shape) for t in inputs)
    return bytes(model.SerializeToString()), head.model_copy(update={"inputs": inputs})


def with_slower_frames(encoder: Encoder, content: bytes, frames: int) -> tuple[Encoder, bytes]:
    """Let an encoder read frames of a lower rate, each of which its graph sees several times.

    Args:
        encoder: reads frames.
        content: its graph.
        frames: of a snippet; a divisor of those that the encoder reads now.
    """
    onnx = need("onnx")
    (read,) = encoder.graph.inputs
    times = int(read.shape[1]) // frames
    shape = [read.shape[0], frames, *read.shape[2:]]
    model, slow = onnx.load_from_string(content), f"{read.name}_{frames}"
    graph = model.graph
    places = onnx.numpy_helper.from_array(np.arange(frames).repeat(times), f"{slow}_places")
    nodes = [onnx.helper.make_node("Gather", [slow, places.name], [read.name], name=f"{slow}_repeated", axis=1)]
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in (*nodes, *graph.node)]
    del graph.node[:], graph.input[:]
    graph.node.extend(copies)
    graph.initializer.append(places)
    graph.input.append(onnx.helper.make_tensor_value_info(slow, onnx.TensorProto.UINT8, shape))
    inputs = [read.model_copy(update={"name": slow, "shape": shape})]
    changes = {
        "graph": encoder.graph.model_copy(update={"inputs": inputs}),
        "preprocess": {**encoder.preprocess, "rate": f"{frames} frames, each seen {times} times"},
    }
    return encoder.model_copy(update=changes), bytes(model.SerializeToString())


def _checked(teacher: Plan, joined: bytes, head: Graph, shares: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Hold the joined head against the teacher's, on the same random features."""
    manifest = teacher.manifest
    opened = [open_backend(content, head.member, "cpu") for content in (teacher.files[manifest.head.member], joined)]
    pair = None
    if manifest.evaluator is not None:
        pair = open_backend(teacher.files[manifest.evaluator.member], manifest.evaluator.member, "cpu")
    stages = gate.Stages(manifest.proposal, manifest.nms, timeline_of(manifest.snippet))
    return gate.check_segments(
        (_Split(opened[0], shares), pair), (opened[1], pair), head.member, stages, gate.random_features(head),
        gate.FP32,
    )  # fmt: skip


class _Split:
    """The teacher's head, fed with the columns of the joined one."""

    def __init__(self, head: Backend, shares: Mapping[str, Mapping[str, int]]) -> None:
        self._head, self._shares = head, shares
        self.description = head.description

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Run the head on the parts of the joined features."""
        parts = {}
        for name, streams in self._shares.items():
            first = 0
            for stream, width in streams.items():
                parts[stream] = feeds[name][..., first : first + width]
                first += width
        found: dict[str, Any] = self._head.run(parts)
        return found


def _contract_of(teacher: Plan) -> dict[str, Any]:
    """Return what made the teacher's features, as its plan says it."""
    manifest = teacher.manifest
    return contract_of(manifest.snippet, manifest.encoders)


def _producer() -> dict[str, str]:
    return {
        "tal_engine": __version__,
        "torch": torch.__version__,
        "onnx": str(need("onnx").__version__),
        "python": platform.python_version(),
    }
