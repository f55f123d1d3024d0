"""Checkpoint + encoders -> plan, behind the gate."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

import tal_engine

from .._util.extras import need
from ..errors import ExportError, require
from ..features.contract import contract_of, differences, not_known
from ..inference.domain import DomainModel
from ..lab.heads.streams import width_of
from ..lab.training.checkpoint import Checkpoint
from ..options import (
    I3D_SNIPPETS,
    BoundaryOptions,
    NmsOptions,
    ProposalOptions,
    PyramidOptions,
    SegmentOptions,
    SnippetOptions,
    StreamOptions,
    timeline_of,
)
from ..plan.archive import Plan, with_calibration, with_members, write_plan
from ..plan.fields import Graph
from ..plan.fields import Method as MethodRecord
from ..plan.manifest import Manifest
from ..plan.score_fields import ScoreCalibration, ScoreThresholds
from ..timeline import Timeline
from .encoder_graphs import EncoderSet
from .metadata import labelled
from .operators import warn_unsupported
from .parity import check_evaluator, check_head
from .to_onnx import to_onnx
from .variant import make_variant

log = logging.getLogger("tal_engine")

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
    proposal: ProposalOptions | BoundaryOptions | PyramidOptions | None = None,
    nms: NmsOptions | None = None,
    segment: SegmentOptions | None = None,
    stream: StreamOptions | None = None,
    calibration: ScoreCalibration | None = None,
    thresholds: ScoreThresholds | None = None,
    domain: DomainModel | None = None,
    precision: Precision = "fp32",
) -> Plan:
    """Freeze a checkpoint, convert it and put it together with its encoders.

    Args:
        checkpoint: a trained head.
        encoders: the encoders of its features; they go inside, so that the plan localizes videos. Without them it
            localizes features.
        name: name of the plan, for people.
        description: description of the plan, for people.
        proposal: replaces the method's own proposal options.
        nms: replaces the method's own suppression options.
        segment: the operating point.
        calibration: what its scores mean.
        thresholds: least scores that are enough, class by class.
        domain: what its training features looked like (`fit_domain`); `plan.archive.with_calibration` adds all three
            to a plan later.
        stream: default stream options, which also set the promised latency.
        precision: of all its graphs; other than "fp32" it is `variant.make_variant` of the plan in float32.

    Raises:
        UsageError: an unknown precision.
        ExportError: the encoders are not those the head was trained on, or a graph cannot have the precision.
        ParityError: the ONNX output differs from the network's.
    """
    require(precision in PRECISIONS, "precision", precision, "fp32, fp16 or bf16")
    method, config = checkpoint.method, checkpoint.config
    if encoders is not None:
        _check_encoders(checkpoint, encoders)
    snippet = encoders.snippet if encoders is not None else _snippet_options(checkpoint)
    streams = {s: width_of(config, s) for s in method.inference_streams(config)}
    proposal = proposal or method.proposal_options(config)
    nms = nms or method.nms_options(config)
    files, head, evaluator, parity = _graphs(checkpoint, streams, proposal, nms, timeline_of(snippet))
    labels: dict[str, Any] = {"name": name, "method": method.name, "vocabulary": list(checkpoint.vocabulary)}
    files = {member: labelled(content, precision="fp32", **labels) for member, content in files.items()}
    if encoders is not None:  # they passed the gate when they were made
        files |= encoders.members(streams)
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
    known_of = None if domain is None else domain.stored()
    if calibration is not None or thresholds is not None or known_of is not None:
        plan = with_calibration(plan, calibration=calibration, thresholds=thresholds, domain=known_of)
    warn_unsupported(plan)
    return plan if precision == "fp32" else make_variant(plan, precision)


def _graphs(
    checkpoint: Checkpoint,
    streams: Mapping[str, int],
    proposal: ProposalOptions | BoundaryOptions | PyramidOptions,
    nms: NmsOptions,
    timeline: Timeline,
) -> tuple[dict[str, bytes], Graph, Graph | None, dict[str, Any]]:
    """Export the members of the plan, the head's graph, the evaluator's if there is one, and the parity figures."""
    method, net = checkpoint.method, checkpoint.network()
    frozen = method.freeze(net)
    example = {s: torch.randn(1, 23, dim) for s, dim in streams.items()}
    content, graph = to_onnx(frozen, example, {0: "B", 1: "T"}, "head.onnx")
    if not isinstance(proposal, BoundaryOptions):
        parity = check_head(frozen, content, graph, proposal, nms, timeline)
        return {"head.onnx": content}, graph, None, {"head": parity}
    module = method.freeze_evaluator(net)
    evaluator, its_graph = evaluator_to_onnx(module, graph, proposal)
    exported = (module, evaluator, its_graph)
    parity = {
        "head": check_head(frozen, content, graph, proposal, nms, timeline, exported),
        "evaluator": check_evaluator(*exported),
    }
    return {"head.onnx": content, EVALUATOR: evaluator}, graph, its_graph, parity


def evaluator_to_onnx(module: nn.Module, head: Graph, proposal: BoundaryOptions) -> tuple[bytes, Graph]:
    """Export an evaluator of proposals, which reads the head's output "embedding"."""
    width = next(int(t.shape[-1]) for t in head.outputs if t.name == "embedding")
    example = {"embedding": torch.randn(23, width), "positions": torch.rand(7, proposal.points) * 22}
    return to_onnx(module, example, {}, EVALUATOR, own={"embedding": {0: "T"}, "positions": {0: "P"}})


def export(checkpoint: Checkpoint, encoders: EncoderSet | None, path: Path, **options: Any) -> Plan:
    """`make_plan`, then write it; nothing is written if the gate refuses."""
    plan = make_plan(checkpoint, encoders, **options)
    write_plan(path, plan)
    return plan


def _snippet_options(checkpoint: Checkpoint) -> SnippetOptions:
    """Return the snippets that the features were made of; those of I3D where that is not recorded."""
    recorded = checkpoint.provenance.get("contract", {}).get("snippet")
    known = {f.name for f in fields(SnippetOptions)}  # imported features may lack all of it
    return SnippetOptions(**{k: v for k, v in recorded.items() if k in known}) if recorded else I3D_SNIPPETS


def _check_encoders(checkpoint: Checkpoint, encoders: EncoderSet) -> None:
    """Check the encoders against the record of the features; an imported head has no record and accepts any."""
    contract = checkpoint.provenance.get("contract", {})
    trained = contract.get("encoders", {})
    streams = checkpoint.method.inference_streams(checkpoint.config)
    for stream in streams:
        spec = encoders.specs.get(stream)
        if spec is None:
            raise ExportError(f"{checkpoint.folder}: reads stream {stream!r}, no encoder was given for it")
        wanted = trained.get(stream, {}).get("weights_sha256")
        if trained and wanted is None and not_known(contract):
            log.warning(
                "%s: nobody knows which weights made its features of stream %r; those of %s may be others",
                checkpoint.folder, stream, spec.name,
            )  # fmt: skip
        elif trained and wanted != spec.weights_sha256:
            raise ExportError(
                f"{checkpoint.folder}: stream {stream!r} was trained on encoder weights {str(wanted)[:12]}, "
                f"{spec.name} has {spec.weights_sha256[:12]}"
            )
    given = contract_of(encoders.snippet, [encoders.specs[s] for s in streams])
    for field, had, has in differences(contract, given):
        if had is not None:
            raise ExportError(f"{checkpoint.folder}: {field} is {had!r} in what it was trained on, {has!r} here")


def _provenance(checkpoint: Checkpoint) -> dict[str, Any]:
    record = {"step": checkpoint.step, "weights": checkpoint.result, "train": asdict(checkpoint.train)}
    return {**checkpoint.provenance, **record}


def _producer() -> dict[str, str]:
    return {
        "tal_engine": tal_engine.__version__,
        "torch": torch.__version__,
        "onnx": str(need("onnx").__version__),
        "python": platform.python_version(),
    }
