"""A head made of texts, without training: cosines of snippets and texts, written as a graph.

Of a stream's features f_t, with x_t = f_t / |f_t|, texts u_c of classes and b_k of background, all of length 1::

    z_t = (x_t - centre * mean_t x_t) / |...|        test-time mean (T3AL's and FreeZAD's removal of background)
    l_t,c = scale * smooth_t(z_t . u_c)              smooth: moving average over time (T3AL)
    l_t,0 = scale * max_k smooth_t(z_t . b_k)        what is no class
    cas_t = softmax(l_t)                             over classes and background

What cuts `cas` into segments, and the outer-inner contrast that scores them, is the engine's (`ops.propose`). The card
is docs/methods/text.md, the slow twin `tests.reference.text_head`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.onnx_write import GraphWriter
from ..options import NmsOptions, ProposalOptions, SourceOptions, linspace
from ..plan.fields import Graph, Tensor
from ..plan.text_fields import TextHead

#: The member of a plan that holds the head.
MEMBER = "head.onnx"
_EPS = 1e-6


def proposal_options() -> ProposalOptions:
    """Return how the head's activations are cut; chosen on procedural validation videos, not on held-out classes."""
    # Cut where a class's curve is high for this video, scored by how high it is at all: scores compare videos.
    source = SourceOptions(of="cas", thresholds=linspace(0.1, 0.9, 9), score_scale="none", class_weight=0.3)
    return ProposalOptions(sources=(source,), class_threshold=0.05, class_fallback=False, topk_ratio=8)


def nms_options() -> NmsOptions:
    """Return how its proposals are suppressed."""
    return NmsOptions(kind="gaussian", sigma=0.3)


def head_graph(
    stream: str, classes: NDArray[np.float32], background: NDArray[np.float32], how: TextHead
) -> tuple[bytes, Graph]:
    """Write the head of some texts.

    Args:
        stream: whose features are compared.
        classes: embeddings [C, D] of the classes, of length 1.
        background: embeddings [K, D] of what is no class, of length 1.
        how: scale, centre and smoothing.

    Returns:
        The ONNX graph, features [B, T, D] to "cas" [B, T, C + 1], and its record.
    """
    count, dim = classes.shape
    w = GraphWriter("texts")
    w.input(stream, np.float32, ("B", "T", dim))
    x = _unit(w, stream)
    if how.centre:
        mean = w.add("ReduceMean", x, w.ints(1), keepdims=1)
        x = _unit(w, w.add("Sub", x, w.add("Mul", mean, w.floats(how.centre))))
    texts = np.concatenate([classes, background]).T * np.float32(how.scale)
    logits = w.add("MatMul", x, w.constant(np.ascontiguousarray(texts, np.float32)))
    if how.smooth > 1:
        half = how.smooth // 2
        by_text = w.add("Transpose", logits, perm=(0, 2, 1))
        smooth = w.add("AveragePool", by_text, kernel_shape=(how.smooth,), pads=(half, half), count_include_pad=0)
        logits = w.add("Transpose", smooth, perm=(0, 2, 1))
    own = w.add("Slice", logits, w.ints(0), w.ints(count), w.ints(2))
    other = w.add("Slice", logits, w.ints(count), w.ints(count + len(background)), w.ints(2))
    both = w.add("Concat", own, w.add("ReduceMax", other, w.ints(2), keepdims=1), axis=2)
    w.output(w.add("Softmax", both, axis=2), "cas", np.float32, ("B", "T", count + 1))
    shapes: dict[str, list[Any]] = {stream: ["B", "T", dim], "cas": ["B", "T", count + 1]}
    reads, gives = (Tensor(name=n, dtype="float32", shape=s) for n, s in shapes.items())
    return w.serialized(), Graph(member=MEMBER, inputs=[reads], outputs=[gives])


def _unit(w: GraphWriter, x: str) -> str:
    """Scale vectors to length 1; zeros stay zeros."""
    length = w.add("ReduceL2", x, w.ints(2), keepdims=1)
    return w.add("Div", x, w.add("Max", length, w.floats(_EPS)))
