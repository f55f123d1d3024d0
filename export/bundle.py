"""Checkpoint + encoders -> plan, behind the gate."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

import tal_engine
from tal_engine.errors import ExportError, require
from tal_engine.extras import need
from tal_engine.features.contract import contract_of, differences
from tal_engine.manifest import Graph, Manifest
from tal_engine.manifest import Method as MethodRecord
from tal_engine.options import (
    I3D_SNIPPETS,
    BoundaryOptions,
    NmsOptions,
    ProposalOptions,
    SegmentOptions,
    SnippetOptions,
    StreamOptions,
    timeline_of,
)
from tal_engine.plan import Plan, with_members, write_plan
from tal_engine.timeline import Timeline
from tal_engine.train.checkpoint import Checkpoint

from .encoders import EncoderSet
from .metadata import labelled
from .operators import warn_unsupported
from .parity import check_evaluator, check_head
from .to_onnx import to_onnx
from .variant import make_variant

#: The member that scores proposals, in plans that pair boundaries.
EVALUATOR = "evaluator.onnx"

#: What needs no calibration data; `variant.make_variant` makes the other one.
Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS = ("fp32", "fp16", "bf16")


def make_plan(
    checkpoint: Checkpoint,
    encoders: EncoderSet | None,
    *,
    name: str,
    description: str = "",
    proposal: ProposalOptions | BoundaryOptions | None = None,
    nms: NmsOptions | None = None,
    segment: SegmentOptions | None = None,
    stream: StreamOptions | None = None,
    precision: Precision = "fp32",
) -> Plan:
    """Freeze a checkpoint, convert it and put it together with its encoders.

    Args:
        checkpoint: a trained head.
        encoders: what its features were made with; they go inside, so that the plan localizes
            videos. Without them it localizes features.
        name, description: for people.
        proposal, nms: instead of the method's own.
        segment: the operating point.
        stream: how streams are localized where nothing else is said, and so the lateness that is promised.
        precision: of all its graphs; other than "fp32" it is `variant.make_variant` of the plan in float32.

    Raises:
        UsageError: an unknown precision.
        ExportError: the encoders are not those the head was trained on, or a graph cannot have the precision.
        ParityError: the graph does not give what the network gives.
    """
    require(precision in PRECISIONS, "precision", precision, "fp32, fp16 or bf16")
    method, config = checkpoint.method, checkpoint.config
    if encoders is not None:
        _check_encoders(checkpoint, encoders)
    snippet = encoders.snippet if encoders is not None else _snippet_options(checkpoint)
    # Configs name the width of a stream as the stream.
    streams = {s: int(getattr(config, s)) for s in method.inference_streams(config)}
    proposal = proposal or method.proposal_options(config)
    nms = nms or method.nms_options(config)
    files, head, evaluator, parity = _graphs(checkpoint, streams, proposal, nms, timeline_of(snippet))
    known: dict[str, Any] = {"name": name, "method": method.name, "vocabulary": list(checkpoint.vocabulary)}
    files = {member: labelled(content, precision="fp32", **known) for member, content in files.items()}
    if encoders is not None:  # they passed the gate when they were made
        files |= {encoders.specs[s].graph.member: encoders.graphs[s] for s in streams}
    manifest = Manifest(
        name=name,
        description=description,
        method=MethodRecord(name=method.name, config=asdict(config)),
        vocabulary=list(checkpoint.vocabulary),
        snippet=snippet,
        encoders=[encoders.specs[s] for s in streams] if encoders is not None else [],
        streams=streams,
        head=head,
        evaluator=evaluator,
        proposal=proposal,
        nms=nms,
        segment=segment or SegmentOptions(),
        stream=stream or StreamOptions(),
        producer=_producer(),
        provenance=_provenance(checkpoint),
        parity=parity,
    )
    plan = with_members(manifest, files)
    warn_unsupported(plan)
    return plan if precision == "fp32" else make_variant(plan, precision)


def _graphs(
    checkpoint: Checkpoint,
    streams: Mapping[str, int],
    proposal: ProposalOptions | BoundaryOptions,
    nms: NmsOptions,
    timeline: Timeline,
) -> tuple[dict[str, bytes], Graph, Graph | None, dict[str, Any]]:
    """Members of the plan, the head's graph, the evaluator's if there is one, and the gate's figures."""
    method, net = checkpoint.method, checkpoint.network()
    frozen = method.freeze(net)
    example = {s: torch.randn(1, 23, dim) for s, dim in streams.items()}
    content, graph = to_onnx(frozen, example, {0: "B", 1: "T"}, "head.onnx")
    if isinstance(proposal, ProposalOptions):
        parity = check_head(frozen, content, graph, proposal, nms, timeline)
        return {"head.onnx": content}, graph, None, {"head": parity}
    module = method.freeze_evaluator(net)
    evaluator, its_graph = evaluator_to_onnx(module, graph, proposal)
    made = (module, evaluator, its_graph)
    parity = {
        "head": check_head(frozen, content, graph, proposal, nms, timeline, made),
        "evaluator": check_evaluator(*made),
    }
    return {"head.onnx": content, EVALUATOR: evaluator}, graph, its_graph, parity


def evaluator_to_onnx(module: nn.Module, head: Graph, proposal: BoundaryOptions) -> tuple[bytes, Graph]:
    """The graph of an evaluator of proposals; it reads what the head gives as "embedding"."""
    width = next(int(t.shape[-1]) for t in head.outputs if t.name == "embedding")
    example = {"embedding": torch.randn(23, width), "positions": torch.rand(7, proposal.points) * 22}
    return to_onnx(module, example, {}, EVALUATOR, own={"embedding": {0: "T"}, "positions": {0: "P"}})


def export(checkpoint: Checkpoint, encoders: EncoderSet | None, path: Path, **options: Any) -> Plan:
    """`make_plan`, then write it; nothing is written if the gate refuses."""
    plan = make_plan(checkpoint, encoders, **options)
    write_plan(path, plan)
    return plan


def _snippet_options(checkpoint: Checkpoint) -> SnippetOptions:
    """The snippets its features were made of; those of I3D where that is not on record."""
    known = checkpoint.provenance.get("contract", {}).get("snippet")
    return SnippetOptions(**known) if known else I3D_SNIPPETS


def _check_encoders(checkpoint: Checkpoint, encoders: EncoderSet) -> None:
    """What is on record of the features must agree; an imported head has no record, and takes what is given."""
    contract = checkpoint.provenance.get("contract", {})
    trained = contract.get("encoders", {})
    streams = checkpoint.method.inference_streams(checkpoint.config)
    for stream in streams:
        spec = encoders.specs.get(stream)
        if spec is None:
            raise ExportError(f"{checkpoint.folder}: reads stream {stream!r}, no encoder was given for it")
        wanted = trained.get(stream, {}).get("weights_sha256")
        if trained and wanted != spec.weights_sha256:
            raise ExportError(
                f"{checkpoint.folder}: stream {stream!r} was trained on encoder weights {str(wanted)[:12]}, "
                f"{spec.name} has {spec.weights_sha256[:12]}"
            )
    given = contract_of(encoders.snippet, [encoders.specs[s] for s in streams])
    for field, had, has in differences(contract, given):
        if had is not None:
            raise ExportError(f"{checkpoint.folder}: {field} is {had!r} in what it was trained on, {has!r} here")


def _provenance(checkpoint: Checkpoint) -> dict[str, Any]:
    made = {"step": checkpoint.step, "weights": checkpoint.result, "train": asdict(checkpoint.train)}
    return {**checkpoint.provenance, **made}


def _producer() -> dict[str, str]:
    return {
        "tal_engine": tal_engine.__version__,
        "torch": torch.__version__,
        "onnx": str(need("onnx").__version__),
        "python": platform.python_version(),
    }
