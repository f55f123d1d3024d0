"""A student's network and its teacher's head -> plan, behind the gate.

The head stays the teacher's: its graph gets one input, the student's features, which it splits into the streams that it
was trained on.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .. import __version__
from .._util.extras import need
from ..backends import Backend, open_backend
from ..errors import require
from ..features.contract import contract_of
from ..options import SnippetOptions, timeline_of
from ..plan.archive import Plan, with_calibration, with_members
from ..plan.fields import Graph, Tensor
from ..plan.manifest import parse_manifest
from ..records import Features
from . import gate
from .encoder_graphs import encoder_graph
from .fit_domain import LEAST_VIDEOS, fit_domain
from .metadata import labelled

#: The stream of a student's features, and its encoder's name.
STREAM = "student"


def make_student_plan(
    teacher: Plan,
    net: nn.Module,
    snippet: SnippetOptions,
    *,
    name: str,
    preprocess: Mapping[str, str],
    record: Mapping[str, Any],
    seen: Sequence[Features] = (),
) -> Plan:
    """Put a student's network before its teacher's head.

    Args:
        teacher: in float32.
        net: reads frames; gives all of the teacher's streams one after another, in the manifest's order.
        snippet: what the net reads; covers the same stretches of time as the teacher's.
        name: of the plan.
        preprocess: what the net does, for the contract; the teacher's name and hash are added.
        record: how the student came to be, for the plan's provenance.
        seen: the student's features of training videos, by the stream "student"; what they look like goes into the
            plan, if they are at least `fit_domain.LEAST_VIDEOS`.

    Raises:
        UsageError: the teacher is not in float32.
        ParityError: a graph gives something else than what it was made of.
    """
    manifest = teacher.manifest
    require(manifest.precision == "fp32", f"precision of plan {manifest.name}", manifest.precision, "'fp32'")
    signed = {"teacher": manifest.name, "teacher_sha256": teacher.sha256}
    encoder, content = encoder_graph(net, f"{STREAM} of {manifest.name}", STREAM, snippet, {**preprocess, **signed})
    joined, head = joined_head(teacher.files[manifest.head.member], manifest.head, manifest.streams)
    parity = _checked(teacher, joined, head)
    told: dict[str, Any] = {"name": name, "method": manifest.method.name, "vocabulary": manifest.vocabulary}
    files = {head.member: labelled(joined, precision="fp32", **told), encoder.graph.member: content}
    if manifest.evaluator is not None:
        files[manifest.evaluator.member] = teacher.files[manifest.evaluator.member]
    changes = {
        "name": name,
        "description": f"A student of plan {manifest.name}, which reads no flow. {manifest.description}".strip(),
        "snippet": snippet,
        "encoders": [encoder],
        "streams": {STREAM: encoder.dim},
        "head": head,
        "domain": None,
        "engines": [],
        "producer": _producer(),
        "provenance": {
            "contract": contract_of(snippet, [encoder]),
            "distilled": {**signed, **record, "contract": _contract_of(teacher)},
        },
        "parity": {"head": parity},
        "members": {},
    }
    plan = with_members(manifest.model_copy(update=changes), files)
    if len(seen) >= LEAST_VIDEOS:
        domain = fit_domain(seen, [STREAM], fitted_on=f"{len(seen)} videos of tal distill")
        plan = with_calibration(plan, domain=domain.stored())
    parse_manifest(plan.document, name)
    return plan


def joined_head(content: bytes, head: Graph, streams: Mapping[str, int]) -> tuple[bytes, Graph]:
    """Give a head one input, whose columns are those of its streams one after another.

    Args:
        content: the head's graph.
        head: its tensors.
        streams: widths by name, in the order of the columns.
    """
    onnx = need("onnx")
    helper, model = onnx.helper, onnx.load_from_string(content)
    graph = model.graph
    batch, time = head.inputs[0].shape[:2]
    width = sum(streams.values())
    sizes = onnx.numpy_helper.from_array(_int64(list(streams.values())), f"{STREAM}_widths")
    split = helper.make_node("Split", [STREAM, sizes.name], list(streams), name=f"{STREAM}_split", axis=2)
    nodes = [split, *graph.node]
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del graph.node[:], graph.input[:]
    graph.node.extend(copies)
    graph.input.append(helper.make_tensor_value_info(STREAM, onnx.TensorProto.FLOAT, [batch, time, width]))
    graph.initializer.append(sizes)
    only = Tensor(name=STREAM, dtype="float32", shape=[batch, time, width])
    return bytes(model.SerializeToString()), head.model_copy(update={"inputs": [only]})


def _checked(teacher: Plan, joined: bytes, head: Graph) -> dict[str, Any]:
    """Hold the joined head against the teacher's, on the same random features."""
    manifest, widths = teacher.manifest, teacher.manifest.streams
    opened = [open_backend(content, head.member, "cpu") for content in (teacher.files[manifest.head.member], joined)]
    pair = None
    if manifest.evaluator is not None:
        pair = open_backend(teacher.files[manifest.evaluator.member], manifest.evaluator.member, "cpu")
    stages = gate.Stages(manifest.proposal, manifest.nms, timeline_of(manifest.snippet))
    return gate.check_segments(
        (_Split(opened[0], widths), pair), (opened[1], pair), head.member, stages, gate.random_features(head),
        gate.FP32,
    )  # fmt: skip


class _Split:
    """The teacher's head, fed with the columns of the joined one."""

    def __init__(self, head: Backend, widths: Mapping[str, int]) -> None:
        self._head, self._widths = head, widths
        self.description = head.description

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Run the head on the parts of the joined features."""
        parts, first = {}, 0
        for name, width in self._widths.items():
            parts[name] = feeds[STREAM][..., first : first + width]
            first += width
        found: dict[str, Any] = self._head.run(parts)
        return found


def _contract_of(teacher: Plan) -> dict[str, Any]:
    """Return what made the teacher's features, as its plan says it."""
    manifest = teacher.manifest
    return contract_of(manifest.snippet, manifest.encoders)


def _int64(values: list[int]) -> Any:
    return torch.tensor(values, dtype=torch.int64).numpy()


def _producer() -> dict[str, str]:
    return {
        "tal_engine": __version__,
        "torch": torch.__version__,
        "onnx": str(need("onnx").__version__),
        "python": platform.python_version(),
    }
