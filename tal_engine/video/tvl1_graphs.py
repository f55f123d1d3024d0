"""TV-L1 optical flow as ONNX graphs: the scheme of `nn.tvl1` for many pairs at once, without torch.

The graphs are of any size of picture: a resize, a warp, a median filter, and a few iterations at a time. What goes
round them, and asks from time to time whether all pairs have stopped, is `flow_tvl1`.
"""

from __future__ import annotations

import numpy as np

from ..backends.onnx_write import GraphWriter, Shape
from ..flow_options import Tvl1Parameters

_PICTURE = ("B", 1, "H", "W")
_FLOW = ("B", 2, "H", "W")
_DUAL = ("B", 4, "H", "W")
_MASK = ("B", 1, 1, 1)
#: Of the cubic kernel, as OpenCV and torch have it.
_A = -0.75


def resize_graph() -> bytes:
    """Build the graph x [B, C, h, w], down [H, h], across [w, W] -> resized [B, C, H, W]."""
    w = GraphWriter("resize")
    w.input("x", np.float32, ("B", "C", "h", "w"))
    w.input("down", np.float32, ("H", "h"))
    w.input("across", np.float32, ("w", "W"))
    w.output(w.add("MatMul", "down", w.add("MatMul", "x", "across")), "resized", np.float32, ("B", "C", "H", "W"))
    return w.serialized()


def warp_graph() -> bytes:
    """Build the graph that samples the second image, bicubically and 0 outside, where the flow points.

    before, after [B, 1, H, W], flow [B, 2, H, W], columns [W], rows [H] (0, 1, ...) -> gradient [B, 2, H, W],
    constant [B, 1, H, W], which a round of iterations reads.
    """
    w = GraphWriter("warp")
    tensors = {"before": _PICTURE, "after": _PICTURE, "flow": _FLOW, "columns": ("W",), "rows": ("H",)}
    for name, shape in tensors.items():
        w.input(name, np.float32, shape)
    picture = w.add("Concat", "after", _centred(w, "after", 3), _centred(w, "after", 2), axis=1)
    u, v = w.split("Split", 2, "flow", w.ints(1, 1), axis=1)
    x = w.add("Add", u, "columns")
    y = w.add("Add", v, w.add("Unsqueeze", "rows", w.ints(1)))
    warped = _sampled(w, picture, x, y)
    value, gradient = w.split("Split", 2, warped, w.ints(1, 2), axis=1)
    along = w.add("ReduceSum", w.add("Mul", gradient, "flow"), w.ints(1), keepdims=1)
    constant = w.add("Sub", w.add("Sub", value, along), "before")
    w.output(gradient, "gradient", np.float32, _FLOW)
    w.output(constant, "constant", np.float32, _PICTURE)
    return w.serialized()


def _centred(w: GraphWriter, x: str, axis: int) -> str:
    """Add central differences along an axis; the border is repeated outside."""
    first, last = (w.add("Slice", x, w.ints(a), w.ints(b), w.ints(axis)) for a, b in ((0, 1), (-1, 2**31)))
    wide = w.add("Concat", first, x, last, axis=axis)
    ahead = w.add("Slice", wide, w.ints(2), w.ints(2**31), w.ints(axis))
    behind = w.add("Slice", wide, w.ints(0), w.ints(-2), w.ints(axis))
    return w.add("Mul", w.add("Sub", ahead, behind), w.floats(0.5))


def _sampled(w: GraphWriter, picture: str, x: str, y: str) -> str:
    """Sample the channels of [B, 3, H, W] at positions [B, 1, H, W]."""
    shape = w.add("Shape", picture)
    high, wide = (w.add("Gather", shape, w.ints(i)) for i in (2, 3))
    flat = w.add("Reshape", picture, w.ints(0, 0, -1))
    expanded = w.add("Concat", w.add("Gather", shape, w.ints(0, 1)), w.add("Mul", high, wide), axis=0)
    whole = w.add("Concat", w.add("Gather", shape, w.ints(0)), w.ints(1), w.add("Mul", high, wide), axis=0)
    limits = [w.cast(w.add("Sub", side, w.ints(1)), np.float32) for side in (wide, high)]
    taps = [_taps(w, place, limit) for place, limit in zip((x, y), limits, strict=True)]
    total = ""
    for down, down_share in taps[1]:
        row = w.add("Mul", down, w.cast(wide, np.float32))
        part = ""
        for across, share in taps[0]:
            index = w.cast(w.add("Reshape", w.add("Add", row, across), whole), np.int64)
            values = w.add("GatherElements", flat, w.add("Expand", index, expanded), axis=2)
            term = w.add("Mul", w.add("Reshape", values, shape), share)
            part = w.add("Add", part, term) if part else term
        part = w.add("Mul", part, down_share)
        total = w.add("Add", total, part) if total else part
    return total


def _taps(w: GraphWriter, place: str, limit: str) -> list[tuple[str, str]]:
    """Return the four samples around a position on one side: their clamped indices, and weights that are 0 outside."""
    low = w.add("Floor", place)
    rest = w.add("Sub", place, low)
    taps = []
    for k in range(-1, 3):
        at = w.add("Add", low, w.floats(float(k)))
        inside = w.add("Clip", at, w.floats(0.0), limit)
        share = _kernel(w, w.add("Abs", w.add("Sub", rest, w.floats(float(k)))), near=k in (0, 1))
        there = w.cast(w.add("Equal", at, inside), np.float32)
        taps.append((inside, w.add("Mul", share, there)))
    return taps


def _kernel(w: GraphWriter, d: str, *, near: bool) -> str:
    """Evaluate Keys' cubic kernel at distances up to 1 (near) or from 1 to 2."""
    factors = (_A + 2, -(_A + 3), 0.0, 1.0) if near else (_A, -5 * _A, 8 * _A, -4 * _A)
    value = w.floats(factors[0])
    for factor in factors[1:]:
        value = w.add("Add", w.add("Mul", value, d), w.floats(factor))
    return value


def median_graph() -> bytes:
    """Build flow [B, 2, H, W], going [B, 1, 1, 1] -> filtered: 5 x 5 medians of pairs that still iterate."""
    w = GraphWriter("median")
    w.input("flow", np.float32, _FLOW)
    w.input("going", np.float32, _MASK)
    padded = w.add("Pad", "flow", w.ints(0, 0, 2, 2, 0, 0, 2, 2), mode="edge")
    rows = [w.add("Slice", padded, w.ints(i), w.ints(i - 4 or 2**31), w.ints(2)) for i in range(5)]
    near = [w.add("Slice", r, w.ints(j), w.ints(j - 4 or 2**31), w.ints(3)) for r in rows for j in range(5)]
    held, rest = near[:14], near[14:]
    while rest:
        held = [*_without_extremes(w, held), rest.pop()]
    (median,) = _without_extremes(w, held)
    moving = w.add("Greater", "going", w.floats(0.5))
    w.output(w.add("Where", moving, median, "flow"), "filtered", np.float32, _FLOW)
    return w.serialized()


def _without_extremes(w: GraphWriter, values: list[str]) -> list[str]:
    """Drop the smallest and the largest value: of any 14 of 25, neither is the median."""
    for op, other in (("Min", "Max"), ("Max", "Min")):
        extreme, kept = values[0], []
        for value in values[1:]:
            kept.append(w.add(other, extreme, value))
            extreme = w.add(op, extreme, value)
        values = kept
    return values


def iterate_graph(parameters: Tvl1Parameters, count: int) -> bytes:
    """Build `count` iterations: flow, dual, gradient, constant, still, enough -> flow, dual, still.

    flow, gradient [B, 2, H, W]; dual [B, 4, H, W]: x derivatives of both components, then y; constant [B, 1, H, W];
    still [B, 1, 1, 1]: 1 for pairs that still move; enough []: the squared change of flow below which a pair stops.
    """
    w = GraphWriter("iterate")
    tensors: dict[str, Shape] = {
        "flow": _FLOW,
        "dual": _DUAL,
        "gradient": _FLOW,
        "constant": _PICTURE,
        "still": _MASK,
        "enough": (),
    }
    for name, shape in tensors.items():
        w.input(name, np.float32, shape)
    square = w.add("ReduceSum", w.add("Mul", "gradient", "gradient"), w.ints(1), keepdims=1)
    least = w.floats(float(np.finfo(np.float32).eps))
    towards = w.add("Div", w.floats(-1.0), w.add("Max", square, least))
    flow, dual, still = "flow", "dual", "still"
    for _ in range(count):
        flow, dual, still = _step(w, flow, dual, still, towards, parameters)
    w.output(flow, "flow_after", np.float32, _FLOW)
    w.output(dual, "dual_after", np.float32, _DUAL)
    w.output(still, "still_after", np.float32, _MASK)
    return w.serialized()


def _step(
    w: GraphWriter, flow: str, dual: str, still: str, towards: str, parameters: Tvl1Parameters
) -> tuple[str, str, str]:
    """Add one iteration (IPOL 2013, eq. 15 and after); pairs that have stopped take steps of size 0."""
    limit, tau = parameters.attachment * parameters.theta, parameters.tau / parameters.theta
    along = w.add("ReduceSum", w.add("Mul", "gradient", flow), w.ints(1), keepdims=1)
    residual = w.add("Mul", w.add("Add", "constant", along), towards)
    change = w.add("Mul", "gradient", w.add("Clip", residual, w.floats(-limit), w.floats(limit)))
    dx, dy = w.split("Split", 2, dual, w.ints(2, 2), axis=1)
    divergence = w.add("Add", _backward(w, dx, 3), _backward(w, dy, 2))
    change = w.add("Add", change, w.add("Mul", divergence, w.floats(parameters.theta)))
    flow = w.add("Add", flow, w.add("Mul", change, still))
    moved = w.add("ReduceSum", w.add("Mul", change, change), w.ints(1, 2, 3), keepdims=1)
    sx, sy = _forward(w, flow, 3), _forward(w, flow, 2)
    size = w.add("Sqrt", w.add("Add", w.add("Mul", sx, sx), w.add("Mul", sy, sy)))
    step = w.add("Mul", still, w.floats(tau))
    shrink = w.add("Add", w.add("Mul", size, step), w.floats(1.0))
    parts = [w.add("Div", w.add("Add", d, w.add("Mul", s, step)), shrink) for d, s in ((dx, sx), (dy, sy))]
    dual = w.add("Concat", *parts, axis=1)
    still = w.add("Mul", still, w.cast(w.add("Greater", moved, "enough"), np.float32))
    return flow, dual, still


def _forward(w: GraphWriter, x: str, axis: int) -> str:
    """Add forward differences, 0 at the end."""
    return _edge(w, w.add("Sub", _rest(w, x, 1, 2**31, axis), _rest(w, x, 0, -1, axis)), axis, after=True)


def _backward(w: GraphWriter, x: str, axis: int) -> str:
    """Add backward differences; the value before the first is 0."""
    return w.add("Sub", x, _edge(w, _rest(w, x, 0, -1, axis), axis, after=False))


def _rest(w: GraphWriter, x: str, first: int, end: int, axis: int) -> str:
    return w.add("Slice", x, w.ints(first), w.ints(end), w.ints(axis))


def _edge(w: GraphWriter, x: str, axis: int, *, after: bool) -> str:
    """Pad with one row or column of 0, before or after."""
    pads = [0] * 8
    pads[axis + 4 * after] = 1
    return w.add("Pad", x, w.ints(*pads))
