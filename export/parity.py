"""The gate: the exported graph must give what the network gives, tensors and segments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tal_engine.backends import Backend, open_backend
from tal_engine.errors import ParityError
from tal_engine.localize import Evaluator, activations_of, evaluator_of, propose, suppress
from tal_engine.manifest import Graph
from tal_engine.options import BoundaryOptions, NmsOptions, ProposalOptions
from tal_engine.timeline import Timeline
from tal_engine.train import evaluation


@dataclass(frozen=True)
class Limits:
    """What a graph may differ by from the network."""

    #: Largest difference of a tensor's value, relative to 1 + its largest magnitude.
    tensor: float
    #: Share of segments that may come, go or move: a threshold that an activation meets to the last bit decides
    #: differently on two runtimes.
    changed_share: float
    #: Largest difference of a segment's score, relative to 1 + its magnitude.
    score: float
    #: Seconds by which a segment may move.
    move_s: float = 1e-6


FP32 = Limits(tensor=1e-4, changed_share=0.02, score=1e-3)
#: By the precision of the graph.
LIMITS = {"fp32": FP32, "fp16": Limits(tensor=2e-2, changed_share=0.1, score=2e-2)}
_LENGTHS = (1, 2, 17, 160, 401)


def check_encoder(
    net: Callable[[Tensor], Tensor], content: bytes, graph: Graph, limits: Limits = FP32
) -> dict[str, float]:
    """Compare an encoder with its graph on random input.

    Raises:
        ParityError: they differ by more than `limits.tensor`.
    """
    backend = open_backend(content, graph.member, "cpu")
    spec = graph.inputs[0]
    worst = 0.0
    for batch in (1, 3):
        sizes = {"B": batch, "H": 90 + 53 * batch, "W": 211 - 30 * batch}
        shape = [sizes[n] if isinstance(n, str) else n for n in spec.shape]
        generator = torch.Generator().manual_seed(17 + batch)
        if spec.dtype == "uint8":
            x = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        else:
            x = torch.randn(shape, generator=generator) * 3
        with torch.no_grad():
            wanted = net(x).numpy()
        (found,) = backend.run({spec.name: x.numpy()}).values()
        worst = max(worst, _difference(wanted, found))
    _refuse(worst, graph.member, limits)
    return {"tensor": worst, "tolerance": limits.tensor}


def check_evaluator(module: nn.Module, content: bytes, graph: Graph, limits: Limits = FP32) -> dict[str, float]:
    """Compare an evaluator of proposals with its graph, on embeddings and proposals of several sizes.

    Raises:
        ParityError: they differ by more than `limits.tensor`.
    """
    backend = open_backend(content, graph.member, "cpu")
    (width, points), worst = (int(t.shape[1]) for t in graph.inputs), 0.0
    for seed, (length, proposals) in enumerate(((1, 1), (9, 4), (401, 77))):
        generator = torch.Generator().manual_seed(2000 + seed)
        embedding = torch.randn(length, width, generator=generator)
        places = torch.rand(proposals, points, generator=generator) * 1.4 * length - 0.2 * length
        feeds = {"embedding": embedding, "positions": places}
        wanted, found = _run_both(module, backend, feeds)
        worst = max(worst, _difference(wanted["score"], found["score"]))
    _refuse(worst, graph.member, limits)
    return {"tensor": worst, "tolerance": limits.tensor}


def check_head(
    frozen: nn.Module,
    content: bytes,
    graph: Graph,
    proposal: ProposalOptions | BoundaryOptions,
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
    evaluators: tuple[Evaluator | None, Evaluator | None] = (None, None)
    if evaluator is not None:
        module, its_content, its_graph = evaluator
        evaluators = evaluation.evaluator_of(module), evaluator_of(open_backend(its_content, its_graph.member, "cpu"))
    backend = open_backend(content, graph.member, "cpu")
    worst, total, changed = 0.0, 0, 0
    for seed, length in enumerate(_LENGTHS):
        generator = torch.Generator().manual_seed(1000 + seed)
        inputs = {t.name: torch.randn(1, length, int(t.shape[-1]), generator=generator) for t in graph.inputs}
        wanted, found = _run_both(frozen, backend, inputs)
        for name, value in wanted.items():
            worst = max(worst, _difference(value, found[name]))
        made = zip((wanted, found), evaluators, strict=True)
        a, b = (_segments(x, proposal, nms, timeline, e) for x, e in made)
        total += len(a) + len(b)
        changed += _unmatched(a, b, limits) + _unmatched(b, a, limits)
    _refuse(worst, graph.member, limits)
    if changed > limits.changed_share * max(total, 1):
        raise ParityError(f"{graph.member}: {changed} of {total} segments differ between the network and its graph")
    return {
        "tensor": worst,
        "segments": total,
        "segments_changed": changed,
        "tolerance": limits.tensor,
        "changed_share_allowed": limits.changed_share,
    }


def _run_both(
    frozen: nn.Module, backend: Backend, inputs: dict[str, Tensor]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    with torch.no_grad():
        wanted = {k: v.numpy() for k, v in frozen(**inputs).items()}
    return wanted, backend.run({k: v.numpy() for k, v in inputs.items()})


def _difference(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    if wanted.shape != found.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(wanted - found).max() / (1 + np.abs(wanted).max()))


def _refuse(worst: float, member: str, limits: Limits) -> None:
    if not worst <= limits.tensor:
        raise ParityError(f"{member}: differs from the network by {worst:.3g}, allowed is {limits.tensor:g}")


def _segments(
    out: dict[str, NDArray[np.float32]],
    proposal: ProposalOptions | BoundaryOptions,
    nms: NmsOptions,
    timeline: Timeline,
    evaluator: Evaluator | None,
) -> NDArray[np.void]:
    length = next(iter(out.values())).shape[1]
    activations = activations_of(out, timeline, float(timeline.right(length)))
    return suppress(propose(activations, proposal, evaluator), nms).data


def _unmatched(a: NDArray[np.void], b: NDArray[np.void], limits: Limits) -> int:
    """Segments of a that have no counterpart in b."""
    missing = 0
    for row in a:
        near = (
            (b["label"] == row["label"])
            & (np.abs(b["start"] - row["start"]) <= limits.move_s)
            & (np.abs(b["end"] - row["end"]) <= limits.move_s)
            & (np.abs(b["score"] - row["score"]) <= limits.score * (1 + abs(row["score"])))
        )
        missing += not near.any()
    return missing
