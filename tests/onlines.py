"""A plan with an online head that needs no training: it repeats what features say, and remembers the last ones."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tal_engine.options import NmsOptions, StreamOptions
from tal_engine.plan.archive import with_members
from tal_engine.plan.fields import Graph, Tensor
from tal_engine.plan.online_fields import OnlineOptions
from tests.makers import tiny_plan


def online_plan(ahead=1, encoders=False, **changes):
    """A plan of three classes and one stream of 4 columns: three activations, and one that shifts the memory.

    `cas` is what the features said `ahead` snippets before, by way of the memory; `now` is what they say.
    """
    base = tiny_plan(encoders=encoders).manifest
    options = OnlineOptions(**{"look_ahead": ahead, "start": (0.5,) * 3, "share": 0.5, **changes})
    step = base.snippet.stride / base.snippet.fps
    spec = _spec(ahead)
    manifest = base.model_copy(
        update={
            "head": spec, "proposal": options, "nms": NmsOptions(kind="hard", threshold=1.0), "name": "online",
            "stream": StreamOptions(window=2.0, step=step, look_ahead=ahead * step, max_still=10.0),
        }
    )  # fmt: skip
    files = {"head.onnx": _graph(spec, ahead)}
    if encoders:
        files["encoder_rgb.onnx"] = tiny_plan().files["encoder_rgb.onnx"]
    return with_members(manifest, files)


def _spec(ahead):
    def tensor(name, *shape):
        return Tensor(name=name, dtype="float32", shape=list(shape))

    memory = 4 * max(ahead, 1)
    outputs = [tensor(n, "B", "T", 3) for n in ("cas", "now")]
    outputs += [tensor(n, "B", "T") for n in ("actionness", "start", "end", "hazard")]
    return Graph(
        member="head.onnx", inputs=[tensor("rgb", "B", "T", 4), tensor("memory", "B", memory)],
        outputs=[*outputs, tensor("next_memory", "B", memory)],
    )  # fmt: skip


def _graph(spec, ahead):
    """The memory is the last rows; with what is new behind them, the rows that are `ahead` old come first."""
    kept = max(ahead, 1)
    values = {
        "rows": [0, kept, 4], "flat": [0, 4 * kept], "time": [1], "begin": [0], "last": [-kept], "most": [2**62],
        "first": [3], "axis": [2], "class_end": [3], "class_axis": [2],
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Reshape", ["memory", "rows"], ["held"]),
        node("Concat", ["held", "rgb"], ["joined"], axis=1),
        node("Slice", ["joined", "last", "most", "time"], ["tail"]),
        node("Reshape", ["tail", "flat"], ["next_memory"]),
        node("Shape", ["rgb"], ["count"], start=1, end=2),
        node("Slice", ["joined", "begin", "count", "time"], ["old"]) if ahead else node("Identity", ["rgb"], ["old"]),
        node("Slice", ["old", "begin", "class_end", "class_axis"], ["cas"]),
        node("Slice", ["rgb", "begin", "class_end", "class_axis"], ["now"]),
        node("ReduceMax", ["cas", "axis"], ["actionness"], keepdims=0),
        *(node("ReduceMax", ["now", "axis"], [n], keepdims=0) for n in ("start", "end", "hazard")),
    ]
    weights = [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in values.items()]
    info = [
        [helper.make_tensor_value_info(t.name, onnx.TensorProto.FLOAT, t.shape) for t in ts]
        for ts in (spec.inputs, spec.outputs)
    ]
    graph = helper.make_graph(nodes, "online", *info, initializer=weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def rows_of(values):
    """Rows of features that say the first class alone."""
    return [{"rgb": np.array([v, 0, 0, 0], np.float32)} for v in values]


def random_rows(count, seed=0):
    """Smooth activations of all three classes, between 0 and 1."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count + 6, 3))
    x = np.stack([np.convolve(column, np.ones(5), "same") for column in x.T], axis=1)
    x = 1 / (1 + np.exp(4 - 3 * x))
    return [{"rgb": np.append(v, 0).astype(np.float32)} for v in x[:count]]
