"""Packed graphs: smaller, the same to the bit, and float32 again for whoever converts them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tal_engine.backends import open_backend
from tal_engine.export.packed import packed, packed_head, unpacked
from tal_engine.export.variant import make_variant
from tal_engine.plan.archive import read_plan
from tal_engine.pose.plans import PEOPLE_PLAN


def graph(weight):
    """A product with a weight and a sum with two numbers."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["B", 2]) for n in "xy")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Add", ["z", "b"], ["y"])]
    nodes[0].metadata_props.add(key="namespace", value="where it was traced" * 9)
    x.type.tensor_type.shape.dim[1].dim_value = len(weight)
    given = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.float32([0.1, 1.0]), "b")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], given), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    return model.SerializeToString()


def weights(content):
    return {i.name: numpy_helper.to_array(i) for i in onnx.load_from_string(content).graph.initializer}


def test_what_half_precision_holds_is_stored_so_and_nothing_else():
    rng = np.random.default_rng(3)
    exact = rng.normal(size=(400, 2)).astype(np.float16).astype(np.float32)
    small = packed(graph(exact))
    onnx.checker.check_model(onnx.load_from_string(small), full_check=True)
    assert {n: w.dtype.name for n, w in weights(small).items()} == {"w_half": "float16", "b": "float32"}
    assert len(small) < len(graph(exact)) - exact.nbytes / 2
    x = rng.normal(size=(5, 400)).astype(np.float32)
    one, other = (open_backend(g, "g", "cpu").run({"x": x})["y"] for g in (graph(exact), small))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(weights(unpacked(small))["w"], exact)
    assert [n.op_type for n in onnx.load_from_string(unpacked(small)).graph.node] == ["MatMul", "Add"]
    for lost in (exact + np.float32(1e-6), exact * np.float32(1e6)):
        assert weights(packed(graph(lost)))["w"].dtype == np.float32
        assert unpacked(graph(lost)) == graph(lost)


@pytest.fixture(scope="module")
def plan():
    return read_plan(PEOPLE_PLAN)


def test_the_plan_that_ships_is_packed_and_takes_other_precisions(plan):
    head = plan.files["head.onnx"]
    sizes = {w.dtype.name: 0 for w in weights(head).values()}
    for w in weights(head).values():
        sizes[w.dtype.name] += w.nbytes
    assert sizes["float16"] > 50 * sizes["float32"]
    assert packed_head(plan).files["head.onnx"] == head
    half = make_variant(plan, "fp16")
    assert half.manifest.precision == "fp16"
    assert half.manifest.parity["head"]["segments_changed"] <= 0.05 * half.manifest.parity["head"]["segments"]
