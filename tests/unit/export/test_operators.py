"""TensorRT's operators: the graphs of the encoders stay within them, and what does not is named.

test_precision.py looks at those of every method, which it exports anyway.
"""

from __future__ import annotations

import logging

import numpy as np
import pytest
from onnx import TensorProto, helper

from tal_engine.backends.tensorrt.widen import widen_bytes
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.export import operator_probes
from tal_engine.export.operator_probes import has_parser
from tal_engine.export.operator_table import TYPES_OF
from tal_engine.export.operators import Unsupported, unsupported, warn_unsupported
from tal_engine.export.variant import make_variant
from tal_engine.plan.archive import read_plan, with_members
from tests.makers import tiny_plan

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("a.b", 1)]


def graph(nodes, inputs, outputs, constants=()):
    made = [helper.make_node(*n[:3], **n[3]) for n in nodes]
    info = [[helper.make_tensor_value_info(n, t, s) for n, t, s in side] for side in (inputs, outputs)]
    tensors = [helper.make_tensor(n, t, np.shape(v), np.ravel(v)) for n, t, v in constants]
    model = helper.make_model(helper.make_graph(made, "g", *info, tensors), opset_imports=OPSETS)
    return model.SerializeToString()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_embedded_plan(precision):
    plan = read_plan(EMBEDDED_PLAN)
    plan = plan if precision == "fp32" else make_variant(plan, precision)
    assert widen_bytes(plan.files["head.onnx"]) == plan.files["head.onnx"]
    assert unsupported(plan.files["encoder_rgb.onnx"])[0].why == "reads UINT8"
    for content in (widen_bytes(c) for name, c in plan.files.items() if name.endswith(".onnx")):
        assert unsupported(content) == []
        assert refused(content) == []


def refused(content):
    """What the real parser says, where TensorRT-RTX is installed; it needs no card."""
    return operator_probes.refused(content) if has_parser() else []


needs_parser = pytest.mark.skipif(not has_parser(), reason="TensorRT-RTX is not installed")


def codes(operator, types):
    return {(operator, t) for t in types}


@needs_parser
def test_the_table_is_the_parsers():
    found = {pair for operator, types in operator_probes.table() for pair in codes(operator, types)}
    probed = {probe.operator for probe in operator_probes.PLAIN}
    known = {pair for operator in probed for pair in codes(operator, TYPES_OF.get(operator, ()))}
    assert found ^ known == set()
    assert len(found) > 500


@needs_parser
@pytest.mark.parametrize("probe", [*operator_probes.PLAIN, *operator_probes.SPECIAL], ids=lambda p: p.operator)
def test_the_check_says_what_the_parser_says(probe):
    for kind in operator_probes.TYPES if probe in operator_probes.PLAIN else ("FLOAT",):
        content = probe.graph(kind)
        assert bool(unsupported(content)) is bool(refused(content)), (probe, kind)


def test_the_word_of_the_parser_counts(monkeypatch, caplog):
    """Where it is installed, a graph that it reads is not warned of, whatever the table says; and the other way."""
    plan = with_members(tiny_plan(encoders=False).manifest, {"head.onnx": bad_graph()})
    monkeypatch.setattr("tal_engine.export.operators.has_parser", lambda: True)
    for said, logged in (([], []), (["no luck"], ["head.onnx: Det 0: no such operator"])):
        monkeypatch.setattr("tal_engine.export.operators.refused", lambda content, said=said: said)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "tal_engine"):
            warn_unsupported(plan)
        assert [m[: len(w)] for m, w in zip(caplog.messages, logged, strict=True)] == logged
    good = with_members(plan.manifest, {"head.onnx": tiny_plan(encoders=False).files["head.onnx"]})
    with caplog.at_level(logging.WARNING, "tal_engine"):
        warn_unsupported(good)
    assert "head.onnx: graph: no luck: TensorRT will not read this plan" in caplog.text


def bad_graph():
    return graph([("Det", ["x"], ["y"], {})], [("x", F, [2, 2])], [("y", F, [])])


F, I8 = TensorProto.FLOAT, TensorProto.INT8


@pytest.mark.parametrize(
    ("content", "node", "why"),
    [
        (graph([("Det", ["x"], ["y"], {})], [("x", F, [2, 2])], [("y", F, [])]), "Det 0", "no such operator"),
        (graph([("Not", ["x"], ["y"], {"domain": "a.b"})], [("x", F, [2])], [("y", F, [2])]), "Not 0", "domain 'a.b'"),
        (
            graph([("Exp", ["x"], ["y"], {})], [("x", TensorProto.INT32, [2])], [("y", TensorProto.INT32, [2])]),
            "Exp 0", "reads INT32",
        ),
        (
            graph([("Resize", ["x", "", "s"], ["y"], {"mode": "linear", "antialias": 1})], [("x", F, [1, 1, 4, 4])],
                  [("y", F, None)], [("s", F, [1.0, 1.0, 0.5, 0.5])]),
            "Resize 0", "antialias is 1, must be 0",
        ),
        (
            graph([("ScatterElements", ["x", "i", "x"], ["y"], {"reduction": "add"})], [("x", F, [3])],
                  [("y", F, [3])], [("i", TensorProto.INT64, [0, 1, 2])]),
            "ScatterElements 0", "reduction is add, must be none",
        ),
        (graph([("NonZero", ["x"], ["y"], {})], [("x", F, [3])], [("y", TensorProto.INT64, None)]), "NonZero 0",
         "no such operator"),
        (
            graph([("QuantizeLinear", ["x", "s", "z"], ["y"], {})], [("x", F, [2])], [("y", I8, [2])],
                  [("s", F, 0.5), ("z", I8, 3)]),
            "QuantizeLinear 0", "zero point is not 0",
        ),
    ],
    ids=["operator", "domain", "type", "antialias", "reduction", "plugin", "zero point"],
)  # fmt: skip
def test_what_is_outside_is_named(content, node, why):
    (found,) = unsupported(content)
    assert not has_parser() or refused(content) or node.startswith("Not")
    assert found.node == node
    assert why in found.why


def test_a_plan_that_tensorrt_cannot_read_is_told_and_kept(caplog):
    plan = tiny_plan(encoders=False)
    bad = graph([("Det", ["x"], ["y"], {})], [("x", F, [2, 2])], [("y", F, [])])
    with caplog.at_level(logging.WARNING, "tal_engine"):
        warn_unsupported(plan)
        assert caplog.messages == []
        warn_unsupported(with_members(plan.manifest, {"head.onnx": bad}))
    assert "head.onnx: Det 0" in caplog.text
    assert unsupported(bad) == [Unsupported("Det 0", "no such operator in TensorRT's parser")]
    assert {"Conv", "MatMul", "Resize"} < set(TYPES_OF)
