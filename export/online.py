"""An online head as a graph with what it remembers as input and output, and the plan around it.

The graph is written node by node: a GRU is one operator of ONNX, and tracing one takes it apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._util.extras import need
from ..backends import open_backend
from ..errors import ExportError, ParityError
from ..lab.online.network import READ, SCALARS, OnlineHead
from ..lab.online.stem import TeacherStem
from ..options import NmsOptions, SegmentOptions, StreamOptions
from ..plan.archive import Plan, with_members
from ..plan.fields import Graph, Method, Tensor
from ..plan.graph_rules import MEMORY, NEXT_MEMORY
from ..plan.manifest import Manifest
from ..plan.online_fields import OnlineOptions
from ..plan.score_fields import ScoreThresholds
from ..records import Features
from ..timeline import Timeline
from .metadata import labelled
from .nodes import Nodes
from .to_onnx import OPSET

HEAD = "head.onnx"
#: What the names of the teacher's tensors begin with inside.
TEACHER = "teacher/"
#: Largest difference between a probability of the network and of its graph.
TOLERANCE = 1e-4


def online_graph(net: OnlineHead, stem: TeacherStem) -> tuple[bytes, Graph]:
    """Write the graph of a head behind its stem.

    It reads snippets [B, T, D] by stream and the memory [B, M]: what the head remembers of each class, and the last
    snippets that the stem's windows reach back to. It gives probabilities, and the next memory.

    Args:
        net: in eval mode.
        stem: the teacher's head and how much it sees.

    Returns:
        The serialized model and its description.

    Raises:
        ExportError: the teacher's head cannot be put inside.
    """
    g, hidden = Nodes(), net.config.hidden
    shape = g.node("Shape", [next(iter(stem.streams))])
    batch, time = g.slice(shape, 0, 0, 1), g.slice(shape, 0, 1, 2)
    kept = _windows(g, stem, net.memory, batch, time)
    said = _said(g, stem, batch, time)
    x = _read(g, said, net.classes)
    x = g.node("Transpose", [x], perm=[1, 0, 2, 3])
    flat = g.node("Reshape", [x, g.node("Concat", [time, g.ints("flat", [-1, READ])], axis=0)])
    before = g.slice(MEMORY, 1, 0, net.memory)
    before = g.node("Reshape", [before, g.ints("as_state", [1, -1, hidden])])
    of = {n: p.detach().numpy() for n, p in net.state_dict().items()}
    gates = [g.floats(n, v[None]) for n, v in _gates(of).items()]
    every, last = g.nodes("GRU", [flat, *gates, "", before], 2, hidden_size=hidden, linear_before_reset=1)
    y = g.node("Reshape", [every, g.node("Concat", [time, batch, g.ints("per_class", [net.classes, hidden])], axis=0)])
    both = g.node("Transpose", [g.node("Concat", [y, x], axis=3)], perm=[1, 0, 2, 3])
    after = g.node("Reshape", [last, g.node("Concat", [batch, g.ints("rest", [-1])], axis=0)])
    g.node("Concat", [after, *kept], name=NEXT_MEMORY, axis=1)
    each = g.linear("each", both, of["each.weight"], of["each.bias"])
    pooled = g.node("ReduceMax", [both, g.ints("classes_axis", [2])], keepdims=0)
    some = g.node("Sigmoid", [g.linear("any", pooled, of["any.weight"], of["any.bias"])])
    each = g.node("Sigmoid", [each])
    for i, name in enumerate(("cas", "now")):
        g.node("Squeeze", [g.slice(each, 3, i, i + 1), g.ints(f"last_{i}", [3])], name=name)
    for i, name in enumerate(SCALARS):
        g.node("Squeeze", [g.slice(some, 2, i, i + 1), g.ints(f"axis_{name}", [2])], name=name)
    spec = _spec(net, stem)
    return _model(g, spec, stem), spec


def _windows(g: Nodes, stem: TeacherStem, first: int, batch: str, time: str) -> list[str]:
    """Give the teacher the last snippets up to each, [B * T, K, D]; return what is kept of each stream, [B, n]."""
    before, back = stem.before, [i * stem.overlap for i in range(stem.window)]
    zero, one = g.scalar("zero", 0), g.scalar("one", 1)
    steps = g.node("Range", [zero, g.node("Squeeze", [time]), one])
    at = g.node("Add", [g.node("Unsqueeze", [steps, g.ints("column", [1])]), g.ints("back", back)])
    kept = []
    for name, dim in stem.streams.items():
        held = g.slice(MEMORY, 1, first, first + before * dim)
        held = g.node("Reshape", [held, g.ints(f"held_{name}", [-1, before, dim])])
        joined = g.node("Concat", [held, name], axis=1)
        rows = g.node("Gather", [joined, at], axis=1)
        g.node("Reshape", [rows, g.ints(f"rows_{name}", [-1, stem.window, dim])], name=f"{TEACHER}{name}")
        last = g.slice(joined, 1, -before, 2**62)
        kept.append(g.node("Reshape", [last, g.node("Concat", [batch, g.ints(f"flat_{name}", [-1])], axis=0)]))
        first += before * dim
    return kept


def _said(g: Nodes, stem: TeacherStem, batch: str, time: str) -> str:
    """Return what the teacher says at both places, as `stem.TeacherStem` does: [B, T, 2, C + 1]."""
    outputs = [t.name for t in stem.plan.manifest.head.outputs]
    places = g.ints("places", list(stem.positions))
    cas = g.node("Gather", [f"{TEACHER}cas", places], axis=1)
    likely = g.node("Sigmoid", [cas]) if stem.sigmoid else g.node("Softmax", [cas], axis=2)
    likely = g.slice(likely, 2, 0, stem.classes)
    if "attention" in outputs:
        attention = g.node("Gather", [f"{TEACHER}attention", places], axis=1)
        attention = g.node("Unsqueeze", [attention, g.ints("attention_axis", [2])])
    else:
        ones = g.node("Mul", [g.slice(likely, 2, 0, 1), g.floats("nothing", np.zeros(1, np.float32))])
        attention = g.node("Add", [ones, g.floats("certain", np.ones(1, np.float32))])
    said = g.node("Concat", [g.node("Mul", [likely, attention]), attention], axis=2)
    return g.node("Reshape", [said, g.node("Concat", [batch, time, g.ints("said", [2, stem.classes + 1])], axis=0)])


def _read(g: Nodes, said: str, classes: int) -> str:
    """Return what is read of each class, as `OnlineHead` puts it together: [B, T, C, 6]."""
    likely, attention = g.slice(said, 3, 0, classes), g.slice(said, 3, classes, classes + 1)
    attention = g.node("Expand", [attention, g.node("Shape", [likely])])
    apart = g.node("Unsqueeze", [likely, g.ints("apart_axis", [3])])
    apart = g.node("Sub", [apart, g.floats("own", 2 * np.eye(classes, dtype=np.float32))])
    others = g.node("ReduceMax", [apart, g.ints("others_axis", [4])], keepdims=0)
    others = g.node("Max", [others, g.floats("least", np.zeros(1, np.float32))])
    return g.node("Transpose", [g.node("Concat", [likely, attention, others], axis=2)], perm=[0, 1, 3, 2])


def _model(g: Nodes, spec: Graph, stem: TeacherStem) -> bytes:
    """Put the teacher's head and the nodes around it into one model."""
    onnx = need("onnx")
    member = stem.plan.manifest.head.member
    teacher = onnx.compose.add_prefix(onnx.load_from_string(stem.plan.files[member]), TEACHER)
    info = onnx.helper.make_tensor_value_info
    inputs, outputs = (
        [info(t.name, onnx.TensorProto.FLOAT, t.shape) for t in ts] for ts in (spec.inputs, spec.outputs)
    )
    cut = next(i for i, n in enumerate(g.made) if any(x.startswith(TEACHER) for x in n.input))
    nodes = [*g.made[:cut], *teacher.graph.node, *g.made[cut:]]
    weights = [*teacher.graph.initializer, *g.weights]
    graph = onnx.helper.make_graph(nodes, "online_head", inputs, outputs, initializer=weights)
    opsets = list(teacher.opset_import)
    if not any(o.domain in ("", "ai.onnx") and o.version >= OPSET for o in opsets):
        raise ExportError(
            f"plan {stem.plan.manifest.name}: {member} is of an ONNX opset before {OPSET}: export it again"
        )
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=teacher.ir_version)
    model.functions.extend(teacher.functions)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _gates(of: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Order the weights of a GRU as ONNX has them, update, reset, hidden; torch has reset first."""

    def turned(name: str) -> NDArray[np.float32]:
        reset, update, hidden = np.split(of[f"gru.{name}_l0"], 3)
        return np.concatenate([update, reset, hidden])

    bias = np.concatenate([turned("bias_ih"), turned("bias_hh")])
    return {"input": turned("weight_ih"), "recurrent": turned("weight_hh"), "gate_bias": bias}


def _spec(net: OnlineHead, stem: TeacherStem) -> Graph:
    """Describe the graph."""

    def tensor(name: str, *shape: int | str) -> Tensor:
        return Tensor(name=name, dtype="float32", shape=list(shape))

    inputs = [tensor(name, "B", "T", dim) for name, dim in stem.streams.items()]
    outputs = [tensor(name, "B", "T", net.classes) for name in ("cas", "now")]
    outputs += [tensor(name, "B", "T") for name in SCALARS]
    memory = "B", net.memory + stem.before * sum(stem.streams.values())
    return Graph(
        member=HEAD, inputs=[*inputs, tensor(MEMORY, *memory)], outputs=[*outputs, tensor(NEXT_MEMORY, *memory)]
    )


def check_online(net: OnlineHead, stem: TeacherStem, content: bytes, graph: Graph) -> dict[str, float]:
    """Compare a graph with the head and its stem on random features: in one call, and snippet by snippet.

    Returns:
        The largest difference of a probability.

    Raises:
        ParityError: it is more than `TOLERANCE`.
    """
    backend, draw, count = open_backend(content, graph.member, "cpu", spec=graph), np.random.default_rng(0), 23
    rows = {n: draw.normal(size=(2, count, d)).astype(np.float32) for n, d in stem.streams.items()}
    time = Timeline(0.0, 1.0, 1.0)
    said = [stem(Features({n: x[b] for n, x in rows.items()}, time, float(count)), 0) for b in range(2)]
    with torch.no_grad():
        each, some, _ = net(torch.from_numpy(np.stack(said)))
    wanted = torch.sigmoid(torch.cat([each.transpose(2, 3).flatten(2), some], dim=2)).numpy()
    begin = np.zeros((2, int(graph.inputs[-1].shape[1])), np.float32)
    worst = float(np.abs(_columns(backend.run({**rows, MEMORY: begin})) - wanted).max())
    memory = begin
    for i in range(count):
        out = backend.run({**{n: x[:, i : i + 1] for n, x in rows.items()}, MEMORY: memory})
        memory = out[NEXT_MEMORY]
        worst = max(worst, float(np.abs(_columns(out) - wanted[:, i : i + 1]).max()))
    if not worst <= TOLERANCE:
        raise ParityError(f"{graph.member}: the graph is {worst:.1e} away from the network, {TOLERANCE:.0e} is allowed")
    return {"tensor": worst}


def _columns(out: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Put all probabilities beside each other, [B, T, 2 C + 4]."""
    return np.concatenate([out["cas"], out["now"], *(out[name][..., None] for name in SCALARS)], axis=2)


def online_plan(
    net: OnlineHead,
    stem: TeacherStem,
    online: OnlineOptions,
    *,
    name: str,
    description: str = "",
    config: Mapping[str, Any] | None = None,
    thresholds: ScoreThresholds | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Plan:
    """Put an online head together with its teacher's encoders, behind the gate.

    Args:
        net: in eval mode.
        stem: its teacher.
        online: when events are told.
        name: of the plan.
        description: for people.
        config: of the head and its training.
        thresholds: least scores of finals by class.
        provenance: what it was made from.

    Raises:
        ParityError: the graph differs from the network.
    """
    content, graph = online_graph(net, stem)
    parity = check_online(net, stem, content, graph)
    teacher, snippet = stem.plan.manifest, stem.snippet
    files = {e.graph.member: stem.plan.files[e.graph.member] for e in teacher.graph_encoders}
    files |= {g.member: stem.plan.files[g.member] for g in teacher.pose_graphs}
    if teacher.domain is not None:
        files[teacher.domain.member] = stem.plan.files[teacher.domain.member]
    step = snippet.stride / snippet.fps
    ahead = online.look_ahead * step
    window = max(ahead, step, 2 * StreamOptions().gap)
    manifest = Manifest(
        name=name,
        description=description,
        method=Method(name="online", config=dict(config or {})),
        vocabulary=list(teacher.vocabulary),
        snippet=snippet,
        encoders=list(teacher.encoders),
        streams=dict(teacher.streams),
        head=graph,
        proposal=online,
        nms=NmsOptions(kind="hard", threshold=1.0),
        segment=SegmentOptions(),
        thresholds=thresholds,
        stream=StreamOptions(window=window, step=step, look_ahead=ahead),
        domain=teacher.domain,
        producer={n: str(need(n).__version__) for n in ("onnx", "torch")},
        provenance={**dict(provenance or {}), "teacher": stem.plan.sha256, **_contract(stem)},
        parity={"head": parity},
    )
    content = labelled(content, name=name, method="online", precision="fp32", vocabulary=manifest.vocabulary)
    return with_members(manifest, {HEAD: content, **files})


def _contract(stem: TeacherStem) -> dict[str, Any]:
    """Return the record of the features that the teacher was trained on: the student reads such, maybe more often."""
    known = stem.plan.manifest.provenance.get("contract")
    if known is None:
        return {}
    snippet = {"snippet": {**known["snippet"], "stride": stem.snippet.stride}} if "snippet" in known else {}
    return {"contract": {**known, **snippet}}
