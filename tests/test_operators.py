"""TensorRT's operators: every graph of every method and encoder stays within them, and what does not is named."""

from __future__ import annotations

import importlib.util
import logging

import numpy as np
import pytest
from onnx import TensorProto, helper

from tal_engine.backends.onnx_wire import widen_bytes
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.export import bundle
from tal_engine.export.operators import SUPPORTED, Unsupported, unsupported, warn_unsupported
from tal_engine.export.variant import make_variant
from tal_engine.methods import METHODS
from tal_engine.plan import read_plan, with_members
from tests.makers import tiny_plan
from tests.test_precision import a_checkpoint

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("a.b", 1)]


def graph(nodes, inputs, outputs, constants=()):
    made = [helper.make_node(*n[:3], **n[3]) for n in nodes]
    info = [[helper.make_tensor_value_info(n, t, s) for n, t, s in side] for side in (inputs, outputs)]
    tensors = [helper.make_tensor(n, t, np.shape(v), np.ravel(v)) for n, t, v in constants]
    model = helper.make_model(helper.make_graph(made, "g", *info, tensors), opset_imports=OPSETS)
    return model.SerializeToString()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method(name, text, tmp_path):
    plan = bundle.make_plan(a_checkpoint(tmp_path / "c", text, name), None, name="p")
    for content in plan.files.values():
        assert unsupported(content) == []
        assert refused(content) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_embedded_plan(precision):
    plan = read_plan(EMBEDDED_PLAN)
    plan = plan if precision == "fp32" else make_variant(plan, precision)
    assert widen_bytes(plan.files["head.onnx"]) == plan.files["head.onnx"]
    assert unsupported(plan.files["encoder_rgb.onnx"])[0].why == "reads UINT8"
    for content in map(widen_bytes, plan.files.values()):
        assert unsupported(content) == []
        assert refused(content) == []


def refused(content):
    """What the real parser says, where TensorRT-RTX is installed; it needs no card."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        return []
    rtx = importlib.import_module("tensorrt_rtx")
    log = rtx.Logger(rtx.Logger.ERROR)
    builder = rtx.Builder(log)
    network = builder.create_network()  # both have to outlive the parser
    parser = rtx.OnnxParser(network, log)
    return [] if parser.parse(content) else [str(parser.get_error(i).desc()) for i in range(parser.num_errors)]


F, I8 = TensorProto.FLOAT, TensorProto.INT8


@pytest.mark.parametrize(
    ("content", "node", "why"),
    [
        (graph([("Det", ["x"], ["y"], {})], [("x", F, [2, 2])], [("y", F, [])]), "Det 0", "no such operator"),
        (graph([("Not", ["x"], ["y"], {"domain": "a.b"})], [("x", F, [2])], [("y", F, [2])]), "Not 0", "domain 'a.b'"),
        (
            graph([("Exp", ["x"], ["y"], {})], [("x", TensorProto.DOUBLE, [2])], [("y", TensorProto.DOUBLE, [2])]),
            "Exp 0", "reads DOUBLE",
        ),
        (
            graph([("TopK", ["x", "k"], ["y", "i"], {})], [("x", F, [5000])],
                  [("y", F, [4000]), ("i", TensorProto.INT64, [4000])], [("k", TensorProto.INT64, [4000])]),
            "TopK 0", "k is 4000",
        ),
        (
            graph([("QuantizeLinear", ["x", "s", "z"], ["y"], {})], [("x", F, [2])], [("y", I8, [2])],
                  [("s", F, 0.5), ("z", I8, 3)]),
            "QuantizeLinear 0", "zero point is not 0",
        ),
        (
            graph([("CumSum", ["x", "a"], ["y"], {})], [("x", F, [2]), ("a", TensorProto.INT64, [])], [("y", F, [2])]),
            "CumSum 0", "input 1 is computed",
        ),
    ],
    ids=["operator", "domain", "type", "top k", "zero point", "computed"],
)  # fmt: skip
def test_what_is_outside_is_named(content, node, why):
    (found,) = unsupported(content)
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
    assert {"Conv", "MatMul", "Resize"} < set(SUPPORTED)
