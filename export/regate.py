"""The gate on another machine: a plan's graphs as this processor runs them, against what they say.

The float32 plan that a variant was made from is not inside it. What can be asked anywhere is whether the runtime
computes what the graph means: the reference is the same graph with ONNX Runtime's optimizations off. Eight bits are
then pairs of QuantizeLinear and DequantizeLinear with float32 between them, which no processor saturates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._util.instructions import instructions
from ..backends import Backend, RunOptions, open_backend
from ..backends.ort import OrtBackend
from ..options import timeline_of
from ..plan.archive import Plan
from ..plan.fields import Graph
from . import gate
from .variant import runnable


def gated_elsewhere(plan: Plan) -> list[str]:
    """List the instruction sets, other than this machine's, on which parity was checked.

    "not recorded" stands for older plans.
    """
    recorded = {str(part.get("instructions", "not recorded")) for part in plan.manifest.parity.values()}
    return sorted(recorded - {str(instructions())})


def gate_here(plan: Plan) -> dict[str, dict[str, Any]]:
    """Run the gate on this machine's CPU, on random input.

    Returns:
        Figures by part, as `Manifest.parity` has them.

    Raises:
        ParityError: a graph does not compute here what it says.
        BackendError: a graph does not load.
    """
    manifest, limits = plan.manifest, gate.LIMITS[plan.manifest.precision]
    files = runnable(plan).files

    def both(graph: Graph) -> tuple[Backend, Backend]:
        content = files[graph.member]
        return _literal(content, graph.member), open_backend(content, graph.member, "cpu")

    def tensors(graph: Graph, feeds: Callable[[Graph], Iterable[gate.Feeds]]) -> dict[str, Any]:
        return gate.check_tensors(*both(graph), graph.member, feeds(graph), limits)

    if manifest.online is not None:  # what it finds takes more than one call
        figures = {"head": tensors(manifest.head, gate.random_features)}
        return figures | {
            f"encoder {e.stream}": tensors(e.graph, gate.random_snippets) for e in manifest.graph_encoders
        }
    stages = gate.Stages(manifest.proposal, manifest.nms, timeline_of(manifest.snippet))
    evaluators = (None, None) if manifest.evaluator is None else both(manifest.evaluator)
    wanted, tested = zip(both(manifest.head), evaluators, strict=True)
    feeds = gate.random_features(manifest.head)
    figures = {"head": gate.check_segments(wanted, tested, manifest.head.member, stages, feeds, limits)}
    if manifest.evaluator is not None:
        figures["evaluator"] = tensors(manifest.evaluator, gate.random_proposals)
    return figures | {f"encoder {e.stream}": tensors(e.graph, gate.random_snippets) for e in manifest.graph_encoders}


def _literal(content: bytes, member: str) -> Backend:
    """Open the graph so that every node runs as it is written."""
    return OrtBackend(content, member, RunOptions(), literal=True)
