"""The gate: two runtimes of the same graph must give the same, tensors and segments, within limits.

Knows backends and stages, no torch and no plan. What is compared with what is up to its callers: `parity` holds a
graph against its network, `variant` a plan in one precision against the plan in float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.instructions import instructions
from ..backends import Backend
from ..errors import ParityError
from ..inference import activations_of, evaluator_of, propose, suppress
from ..options import BoundaryOptions, NmsOptions, ProposalOptions, PyramidOptions
from ..plan.fields import Graph
from ..plan.online_fields import OnlineOptions
from ..timeline import Timeline
from .matching import match, moved, rescored

#: Inputs by name.
Feeds = Mapping[str, NDArray[Any]]
#: Lengths of the random features that heads are compared on.
LENGTHS = (1, 2, 17, 160, 401)


@dataclass(frozen=True)
class Limits:
    """What a graph may differ by from what it was made of."""

    #: Largest difference of a tensor's value, relative to 1 + its largest magnitude.
    tensor: float
    #: Share of segments that may come, go or move: a threshold that an activation meets to the last bit decides
    #: differently on two runtimes.
    changed_share: float
    #: Largest difference of a segment's score, relative to 1 + its magnitude.
    score: float
    #: Seconds by which a segment may move; None: as far as it still is the same one (`matching.SAME`).
    move_s: float | None = 1e-6


FP32 = Limits(tensor=1e-4, changed_share=0.02, score=1e-3)
#: By the precision of the graph: two to three times the worst that was seen of nine trained heads (the first light's
#: three methods, three seeds each) and the small encoders, on what variants are checked on.
#:
#: ====  ===========================  ===============
#: fp16  tensors 0.0007               segments 0.8 %
#: bf16  0.009                        4.1 %
#: int8  heads 0.03, encoders 0.26    heads 3.3 %, from ten videos on with int8 encoders 7.8 %
#: ====  ===========================  ===============
#:
#: fp16 has more room for tensors: a CPU computes much of it in float32, a card does not (onnx's own evaluator, which
#: rounds after every node, comes to 0.005). Eight bits cut off the rare value that is far out of what calibration saw,
#: and move every boundary that lies near a threshold: a segment that still overlaps by half is kept. Untrained heads
#: change more, as all their activations lie near the thresholds.
LIMITS = {
    "fp32": FP32,
    "fp16": Limits(tensor=1e-2, changed_share=0.05, score=2e-2),
    "bf16": Limits(tensor=3e-2, changed_share=0.1, score=5e-2),
    "int8": Limits(tensor=0.5, changed_share=0.15, score=0.1, move_s=None),
}


@dataclass(frozen=True)
class Stages:
    """What makes segments of a head's outputs."""

    proposal: ProposalOptions | BoundaryOptions | PyramidOptions | OnlineOptions
    nms: NmsOptions
    timeline: Timeline

    def segments(
        self, out: Mapping[str, NDArray[np.float32]], evaluator: Backend | None, length: int
    ) -> NDArray[np.void]:
        """Return all segments of the first video of a batch, of so many snippets, as `records.PROPOSAL`."""
        activations = activations_of(out, self.timeline, float(self.timeline.right(length)))
        scored = None if evaluator is None else evaluator_of(evaluator)
        return suppress(propose(activations, self.proposal, scored), self.nms).data

    def with_moves(self, limits: Limits, out: Mapping[str, NDArray[np.float32]]) -> Limits:
        """Set how far segments may move where borders are numbers of a tensor, and not edges of snippets.

        They then differ as that tensor may, by time steps of the coarsest level.
        """
        if not isinstance(self.proposal, PyramidOptions) or limits.move_s is None:
            return limits
        snippets = limits.tensor * (1 + float(np.abs(out["distance"]).max())) * self.proposal.strides[-1]
        return replace(limits, move_s=max(limits.move_s, snippets * self.timeline.step))


def random_features(graph: Graph) -> Iterable[dict[str, NDArray[np.float32]]]:
    """Draw features of several lengths, for a head."""
    for seed, length in enumerate(LENGTHS):
        rng = np.random.default_rng(1000 + seed)
        sizes: dict[int | str, int] = {"B": 1, "T": length}
        shapes = {
            t.name: tuple(sizes.get(d, length) if isinstance(d, str) else d for d in t.shape) for t in graph.inputs
        }
        yield {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def random_snippets(graph: Graph) -> Iterable[Feeds]:
    """Draw noise in the shapes that an encoder reads; free dimensions vary."""
    spec = graph.inputs[0]
    for batch in (1, 3):
        rng = np.random.default_rng(17 + batch)
        sizes = {"B": batch, "H": 90 + 53 * batch, "W": 211 - 30 * batch}
        shape = [sizes[n] if isinstance(n, str) else n for n in spec.shape]
        if spec.dtype == "uint8":
            yield {spec.name: rng.integers(0, 256, shape, np.uint8)}
        else:
            yield {spec.name: (rng.normal(size=shape) * 3).astype(np.float32)}


def random_proposals(graph: Graph) -> Iterable[dict[str, NDArray[np.float32]]]:
    """Draw embeddings and positions in them, for an evaluator."""
    width, points = (int(t.shape[1]) for t in graph.inputs)
    for seed, (length, proposals) in enumerate(((1, 1), (9, 4), (401, 77))):
        rng = np.random.default_rng(2000 + seed)
        places = rng.random((proposals, points)) * 1.4 * length - 0.2 * length
        embedding = rng.normal(size=(length, width))
        yield {"embedding": embedding.astype(np.float32), "positions": places.astype(np.float32)}


def check_tensors(
    wanted: Backend, tested: Backend, member: str, feeds: Iterable[Feeds], limits: Limits
) -> dict[str, Any]:
    """Compare outputs, for graphs whose outputs are no segments yet.

    Returns:
        The figures that go into the manifest.

    Raises:
        ParityError: they differ by more than `limits.tensor`.
    """
    worst = 0.0
    for x in feeds:
        worst = max(worst, difference(wanted.run(x), tested.run(x)))
    _refuse(worst, member, limits)
    return {"tensor": worst, "tolerance": limits.tensor, **ran_on()}


def check_segments(
    wanted: tuple[Backend, Backend | None],
    tested: tuple[Backend, Backend | None],
    member: str,
    stages: Stages,
    feeds: Iterable[Feeds],
    limits: Limits,
) -> dict[str, Any]:
    """Compare heads, each with the evaluator of its proposals if it has one: outputs and final segments.

    Returns:
        The figures that go into the manifest.

    Raises:
        ParityError: tensors or segments differ by more than is allowed.
    """
    worst, total, changed = 0.0, 0, 0
    for x in feeds:
        outputs = wanted[0].run(x), tested[0].run(x)
        worst = max(worst, difference(*outputs))
        _refuse(worst, member, limits)
        length = next(iter(x.values())).shape[1]
        a, b = (stages.segments(o, side[1], length) for o, side in zip(outputs, (wanted, tested), strict=True))
        total += len(a) + len(b)
        changed += changed_segments(a, b, stages.with_moves(limits, outputs[0]))
    if changed > limits.changed_share * max(total, 1):
        raise ParityError(
            f"{member}: {changed} of {total} segments differ, allowed is a share of {limits.changed_share:g}"
        )
    return {
        "tensor": worst,
        "segments": total,
        "segments_changed": changed,
        "tolerance": limits.tensor,
        "changed_share_allowed": limits.changed_share,
        **ran_on(),
    }


def ran_on() -> dict[str, str]:
    """Return the processor's instruction sets, which the manifest records beside the figures."""
    return {"instructions": str(instructions())}


def changed_segments(a: NDArray[np.void], b: NDArray[np.void], limits: Limits) -> int:
    """Count the segments of both sides without a counterpart, or whose counterpart differs beyond the limits."""
    matching = match(a, b)
    scale = 1 + np.abs(a["score"][matching.pairs[:, 0]])
    beyond = np.abs(rescored(a, b, matching)) > limits.score * scale
    if limits.move_s is not None:
        beyond |= moved(a, b, matching) > limits.move_s
    return len(matching.only_a) + len(matching.only_b) + 2 * int(beyond.sum())


def difference(wanted: Mapping[str, NDArray[Any]], tested: Mapping[str, NDArray[Any]]) -> float:
    """Return the largest difference of a value, relative to 1 + the largest magnitude of its output."""
    worst = 0.0
    for name, value in wanted.items():
        other = tested[name]
        if value.shape != other.shape or not np.isfinite(other).all():
            return float("inf")
        worst = max(worst, float(np.abs(value - other).max() / (1 + np.abs(value).max())))
    return worst


def _refuse(worst: float, member: str, limits: Limits) -> None:
    if not worst <= limits.tensor:
        raise ParityError(f"{member}: differs by {worst:.3g} from what it was made of, allowed is {limits.tensor:g}")
