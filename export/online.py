"""An online head as a graph with what it remembers as input and output, and the plan around it.

The graph is written node by node: a GRU is one operator of ONNX, and tracing one takes it apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._util.extras import need
from ..backends import open_backend
from ..errors import ParityError
from ..lab.online.network import OnlineHead
from ..options import NmsOptions, SegmentOptions, SnippetOptions, StreamOptions
from ..plan.archive import Plan, with_members
from ..plan.fields import Encoder, Graph, Method, PoseEncoder, Tensor
from ..plan.graph_rules import MEMORY, NEXT_MEMORY
from ..plan.manifest import Manifest
from ..plan.online_fields import OnlineOptions
from ..plan.score_fields import ScoreThresholds
from .to_onnx import OPSET

HEAD = "head.onnx"
#: Largest difference between a probability of the network and of its graph.
TOLERANCE = 1e-4


def online_graph(net: OnlineHead) -> tuple[bytes, Graph]:
    """Write the graph of a head: snippets [B, T, D] by stream and memory [B, M] in, probabilities and memory out.

    Args:
        net: in eval mode.

    Returns:
        The serialized model and its description.
    """
    onnx = need("onnx")
    make, weights, nodes = onnx.helper, list[Any](), list[Any]()

    def constant(name: str, value: NDArray[Any]) -> str:
        weights.append(onnx.numpy_helper.from_array(value, name))
        return name

    def node(op: str, inputs: Sequence[str], *outputs: str, **more: Any) -> str:
        nodes.append(make.make_node(op, list(inputs), list(outputs), **more))
        return outputs[0]

    config, of = net.config, {n: p.detach().numpy() for n, p in net.state_dict().items()}
    x = node("Concat", list(net.streams), "joined", axis=2)
    x = node(
        "Mul", [node("Sub", [x, constant("mean", of["mean"])], "centred"), constant("scale", of["scale"])], "scaled"
    )
    x = node("MatMul", [x, constant("reduce", of["reduce.weight"].T.copy())], "reduced")
    x = node("Relu", [node("Add", [x, constant("reduce_bias", of["reduce.bias"])], "biased")], "read")
    x = node("Transpose", [x], "by_time", perm=[1, 0, 2])
    parts = [f"memory_{i}" for i in range(config.layers)]
    node("Split", [MEMORY], *parts, axis=1, num_outputs=config.layers)
    axis0, axis1 = constant("axis_0", np.array([0])), constant("axis_1", np.array([1]))
    after = []
    for i, part in enumerate(parts):
        before = node("Unsqueeze", [part, axis0], f"before_{i}")
        gates = [constant(f"{n}_{i}", v[None]) for n, v in _gates(of, i).items()]
        node("GRU", [x, *gates, "", before], f"all_{i}", f"last_{i}", hidden_size=config.hidden, linear_before_reset=1)
        x = node("Squeeze", [f"all_{i}", axis1], f"layer_{i}")
        after.append(node("Squeeze", [f"last_{i}", axis0], f"after_{i}"))
    node("Concat", after, NEXT_MEMORY, axis=1)
    x = node("Transpose", [x], "by_video", perm=[1, 0, 2])
    x = node("MatMul", [x, constant("out", of["out.weight"].T.copy())], "projected")
    x = node("Sigmoid", [node("Add", [x, constant("out_bias", of["out.bias"])], "logits")], "likely")
    widths = constant("widths", np.array([net.classes, net.classes, 1, 1, 1, 1]))
    node("Split", [x, widths], "cas", "now", *(f"{n}_column" for n in _SCALARS), axis=2)
    last = constant("axis_2", np.array([2]))
    for name in _SCALARS:
        node("Squeeze", [f"{name}_column", last], name)
    spec = _spec(net)
    info = [
        [make.make_tensor_value_info(t.name, onnx.TensorProto.FLOAT, t.shape) for t in ts]
        for ts in (spec.inputs, spec.outputs)
    ]
    graph = make.make_graph(nodes, "online_head", *info, initializer=weights)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString()), spec


_SCALARS = ("actionness", "start", "end", "hazard")


def _gates(of: Mapping[str, NDArray[np.float32]], layer: int) -> dict[str, NDArray[np.float32]]:
    """Weights of a GRU in ONNX's order: update, reset, hidden; torch has reset first."""

    def turned(name: str) -> NDArray[np.float32]:
        reset, update, hidden = np.split(of[f"gru.{name}_l{layer}"], 3)
        return np.concatenate([update, reset, hidden])

    bias = np.concatenate([turned("bias_ih"), turned("bias_hh")])
    return {"input": turned("weight_ih"), "recurrent": turned("weight_hh"), "gate_bias": bias}


def _spec(net: OnlineHead) -> Graph:
    """Describe the graph."""

    def tensor(name: str, *shape: int | str) -> Tensor:
        return Tensor(name=name, dtype="float32", shape=list(shape))

    inputs = [tensor(name, "B", "T", dim) for name, dim in net.streams.items()]
    outputs = [tensor(name, "B", "T", net.classes) for name in ("cas", "now")]
    outputs += [tensor(name, "B", "T") for name in _SCALARS]
    memory = ("B", net.memory)
    return Graph(
        member=HEAD, inputs=[*inputs, tensor(MEMORY, *memory)], outputs=[*outputs, tensor(NEXT_MEMORY, *memory)]
    )


def check_online(net: OnlineHead, content: bytes, graph: Graph) -> dict[str, float]:
    """Compare a head with its graph: several streams that go on for several calls, of one snippet and of more.

    Returns:
        The largest difference of a probability.

    Raises:
        ParityError: it is more than `TOLERANCE`.
    """
    backend = open_backend(content, graph.member, "cpu", spec=graph)
    draw, worst = torch.Generator().manual_seed(0), 0.0
    memory = torch.zeros(3, net.memory)
    for count in (1, 1, 7, 2, 31):
        x = net.mean + torch.randn(3, count, len(net.mean), generator=draw) / net.scale
        feeds = dict(zip(net.streams, torch.split(x, list(net.streams.values()), dim=2), strict=True))
        with torch.no_grad():
            wanted, after = net(x, memory)
        found = backend.run({**{n: v.numpy() for n, v in feeds.items()}, MEMORY: memory.numpy()})
        both = np.concatenate([found["cas"], found["now"], *(found[n][..., None] for n in _SCALARS)], axis=2)
        away = [np.abs(both - torch.sigmoid(wanted).numpy()).max(), np.abs(found[NEXT_MEMORY] - after.numpy()).max()]
        worst, memory = max(worst, *map(float, away)), after
    if not worst <= TOLERANCE:
        raise ParityError(
            f"{graph.member}: the graph differs from the network by {worst:.1e}, {TOLERANCE:.0e} is allowed"
        )
    return {"tensor": worst}


def online_plan(
    net: OnlineHead,
    online: OnlineOptions,
    vocabulary: Sequence[str],
    snippet: SnippetOptions,
    *,
    name: str,
    encoders: Sequence[Encoder | PoseEncoder] = (),
    members: Mapping[str, bytes] | None = None,
    description: str = "",
    config: Mapping[str, Any] | None = None,
    thresholds: ScoreThresholds | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Plan:
    """Put an online head together with the encoders of its features, behind the gate.

    Args:
        net: in eval mode.
        online: when events are told.
        vocabulary: names of the classes.
        snippet: how videos are cut.
        name: of the plan.
        encoders: those of its streams; none: the plan reads features.
        members: their graphs, by member.
        description: for people.
        config: of the head and its training.
        thresholds: least scores of finals by class.
        provenance: what it was made from.

    Raises:
        ParityError: the graph differs from the network.
    """
    content, graph = online_graph(net)
    parity = check_online(net, content, graph)
    step = snippet.stride / snippet.fps
    ahead = online.look_ahead * step
    window = max(ahead, step, 2 * StreamOptions().gap)
    manifest = Manifest(
        name=name,
        description=description,
        method=Method(name="online", config=dict(config or {})),
        vocabulary=list(vocabulary),
        snippet=snippet,
        encoders=list(encoders),
        streams=dict(net.streams),
        head=graph,
        proposal=online,
        nms=NmsOptions(kind="hard", threshold=1.0),
        segment=SegmentOptions(),
        thresholds=thresholds,
        stream=StreamOptions(window=window, step=step, look_ahead=ahead),
        producer={n: str(need(n).__version__) for n in ("onnx", "torch")},
        provenance=dict(provenance or {}),
        parity={"head": parity},
    )
    return with_members(manifest, {HEAD: content, **(members or {})})
