"""A graph against the network that it was traced from; `gate` does the comparing."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..backends import Backend, open_backend
from ..options import BoundaryOptions, NmsOptions, ProposalOptions, PyramidOptions
from ..plan.fields import Graph
from ..timeline import Timeline
from . import gate
from .eager import EagerBackend
from .gate import FP32, Limits


def check_encoder(net: nn.Module, content: bytes, graph: Graph, limits: Limits = FP32) -> dict[str, Any]:
    """Compare an encoder with its graph on random input.

    Raises:
        ParityError: they differ by more than `limits.tensor`.
    """
    feeds = gate.random_snippets(graph)
    return gate.check_tensors(EagerBackend(net), _open(content, graph), graph.member, feeds, limits)


def check_evaluator(module: nn.Module, content: bytes, graph: Graph, limits: Limits = FP32) -> dict[str, Any]:
    """Compare an evaluator of proposals with its graph, on embeddings and proposals of several sizes.

    Raises:
        ParityError: they differ by more than `limits.tensor`.
    """
    feeds = gate.random_proposals(graph)
    return gate.check_tensors(EagerBackend(module), _open(content, graph), graph.member, feeds, limits)


def check_head(
    frozen: nn.Module,
    content: bytes,
    graph: Graph,
    proposal: ProposalOptions | BoundaryOptions | PyramidOptions,
    nms: NmsOptions,
    timeline: Timeline,
    evaluator: tuple[nn.Module, bytes, Graph] | None = None,
    limits: Limits = FP32,
) -> dict[str, Any]:
    """Compare a head, and the evaluator of its proposals if it has one, with its graph.

    They run on fresh random features of several lengths.

    Returns:
        The figures that go into the manifest.

    Raises:
        ParityError: tensors or final segments differ by more than is allowed.
    """
    pairs: tuple[Backend | None, Backend | None] = (None, None)
    if evaluator is not None:
        module, its_content, its_graph = evaluator
        pairs = EagerBackend(module), _open(its_content, its_graph)
    wanted, tested = (EagerBackend(frozen), pairs[0]), (_open(content, graph), pairs[1])
    stages = gate.Stages(proposal, nms, timeline)
    return gate.check_segments(wanted, tested, graph.member, stages, gate.random_features(graph), limits)


def _open(content: bytes, graph: Graph) -> Backend:
    return open_backend(content, graph.member, "cpu")
