"""A plan in another precision: every graph of a float32 plan converted, and held against the original.

Needs no torch: `tal plan build` makes variants on machines that only deploy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from .._util.extras import need
from ..backends import Backend, open_backend
from ..errors import UsageError, require
from ..options import timeline_of
from ..plan.archive import Plan, with_members
from ..plan.fields import Graph
from . import gate
from .bfloat import emulated, to_bfloat
from .calibration import Calibration, Samples, read_samples
from .metadata import labelled
from .packed import unpacked
from .precision import Share, to_half
from .quantize import to_int8

Precision = Literal["fp16", "bf16", "int8"]
PRECISIONS = ("fp16", "bf16", "int8")
#: Float inputs of an evaluator that are places in time; see `precision.to_half`.
_PLACES = ("positions",)


def _others(plan: Plan) -> dict[str, bytes]:
    """Return the members that are neither graphs nor engines: they do not depend on the precision."""
    own = {g.member for g in plan.manifest.graphs} | {e.member for e in plan.manifest.engines}
    return {name: content for name, content in plan.files.items() if name not in own}


def make_variant(plan: Plan, precision: Precision, calibration: Calibration | None = None) -> Plan:
    """Convert every graph of a float32 plan: head, evaluator, encoders.

    bf16 is meant for TensorRT: ONNX Runtime's CPU cannot run it, and the gate compares a float32 graph that rounds as
    bfloat16 does. Engines inside the plan were built from its float32 graphs and are left out.

    Args:
        plan: in fp32.
        precision: of the new one.
        calibration: for "int8", and only for it.

    Returns:
        The new plan; its parity says how far each graph is from float32, and how much of it has the precision.

    Raises:
        UsageError: an unknown precision, a plan that is not in fp32, calibration that is missing or not wanted.
        ExportError: a graph cannot have the precision.
        ParityError: tensors or segments are not those of the float32 plan.
        FeatureError, VideoError: calibration data that cannot be used.
    """
    manifest = plan.manifest
    require(precision in PRECISIONS, "precision", precision, f"one of {', '.join(PRECISIONS)}")
    require(manifest.precision == "fp32", f"precision of plan {manifest.name}", manifest.precision, "'fp32'")
    require(manifest.online is None, f"plan {manifest.name}", "of an online head", "of a head that sees windows")
    if (precision == "int8") != (calibration is not None):
        raise UsageError(f"{precision} {'needs calibration data' if calibration is None else 'takes no calibration'}")
    samples = None if calibration is None else read_samples(plan, calibration)
    if samples is not None:
        samples.warn_too_small()
    files, shares = {}, {}
    for graph in manifest.graphs:
        places = _PLACES if graph == manifest.evaluator else ()
        convert = _converter(precision, places, samples)
        files[graph.member], shares[graph.member] = convert(unpacked(plan.files[graph.member]), graph.member)
    parity = _checked(plan, files, precision, samples)
    for graph, part in zip(manifest.graphs, parity.values(), strict=True):
        part |= {"against": "fp32", **shares[graph.member].figures()}
    for graph in manifest.graphs[: len(manifest.graphs) - len(manifest.graph_encoders)]:
        files[graph.member] = labelled(
            files[graph.member], name=manifest.name, method=manifest.method.name, precision=precision,
            vocabulary=manifest.vocabulary,
        )  # fmt: skip
    changes: dict[str, Any] = {
        "precision": precision,
        "parity": parity,
        "engines": [],
        "producer": {**manifest.producer, **_producer()},
    }
    if samples is not None:
        changes["provenance"] = {**manifest.provenance, "calibration": samples.figures}
    return with_members(manifest.model_copy(update=changes), _others(plan) | files)


def _converter(
    precision: Precision, places: tuple[str, ...], samples: Samples | None
) -> Callable[[bytes, str], tuple[bytes, Share]]:
    if samples is not None:
        return lambda content, member: to_int8(content, member, samples.train[member])
    to = to_half if precision == "fp16" else to_bfloat
    return lambda content, member: to(content, member, places)


def _checked(
    plan: Plan, files: dict[str, bytes], precision: Precision, samples: Samples | None
) -> dict[str, dict[str, Any]]:
    """Check each graph and return the parity figures, in the order of `Manifest.graphs`.

    Eight bits are checked on the user's data, since their scales fit no random features.
    """
    manifest, limits = plan.manifest, gate.LIMITS[precision]

    def both(graph: Graph) -> tuple[Backend, Backend]:
        content = files[graph.member]
        tested = open_backend(emulated(content) if precision == "bf16" else content, graph.member, "cpu")
        return open_backend(plan.files[graph.member], graph.member, "cpu"), tested

    def feeds(graph: Graph, otherwise: Callable[[Graph], Any]) -> Any:
        return otherwise(graph) if samples is None else samples.check[graph.member]

    head, pairs = both(manifest.head), (None, None) if manifest.evaluator is None else both(manifest.evaluator)
    wanted, found = zip(head, pairs, strict=True)
    stages = gate.Stages(manifest.proposal, manifest.nms, timeline_of(manifest.snippet))
    figures = gate.check_segments(
        wanted, found, manifest.head.member, stages, feeds(manifest.head, gate.random_features), limits
    )
    parity = {"head": figures}
    if manifest.evaluator is not None and pairs[0] is not None and pairs[1] is not None:
        its_feeds = feeds(manifest.evaluator, gate.random_proposals)
        parity["evaluator"] = gate.check_tensors(pairs[0], pairs[1], manifest.evaluator.member, its_feeds, limits)
    for e in manifest.graph_encoders:
        its_feeds = feeds(e.graph, gate.random_snippets)
        parity[f"encoder {e.stream}"] = gate.check_tensors(*both(e.graph), e.graph.member, its_feeds, limits)
    return parity


def runnable(plan: Plan) -> Plan:
    """Return the plan for a runtime without bfloat16: bf16 graphs are emulated in float32, others are unchanged."""
    if plan.manifest.precision != "bf16":
        return plan
    graphs = {graph.member: emulated(plan.files[graph.member]) for graph in plan.manifest.graphs}
    return with_members(plan.manifest, _others(plan) | graphs)


def _producer() -> dict[str, str]:
    return {name: str(need(name).__version__) for name in ("onnx", "onnxruntime")}
