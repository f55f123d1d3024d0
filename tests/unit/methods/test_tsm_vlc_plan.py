"""What a plan of TSM+VLC keeps, and how it localizes."""

from __future__ import annotations

import math

import onnx
import pytest
import torch

from tal_engine.export import parity
from tal_engine.export.to_onnx import to_onnx
from tal_engine.options import NmsOptions, SourceOptions, linspace
from tal_engine.timeline import Timeline
from tests.learning import NAMES, WIDTH, small_config
from tests.tsm import THUMOS14, TINY, TSM, sizes


@pytest.mark.parametrize("base", ["co2", "basnet", "hamnet"])
def test_plan_has_nothing_of_vlc(base):
    config = small_config(TSM, base=base, **{**TINY, "width": 32})
    torch.manual_seed(0)
    net = TSM.build(config, NAMES)
    frozen = TSM.freeze(net)
    state = frozen.state_dict()
    assert {k.split(".")[0] for k in state} == {"head", "classify"}
    assert state["classify.queries"].shape == (4, 2 * WIDTH)
    # Base head and queries, none of the words.
    assert set(state) == {"classify.queries", *(f"head.{k}" for k in net.base.state_dict())}
    content, graph = to_onnx(frozen, {s: torch.randn(1, 9, WIDTH) for s in ("rgb", "flow")}, {0: "B", 1: "T"}, "h.onnx")
    proposal, nms = TSM.proposal_options(config), TSM.nms_options(config)
    assert parity.check_head(frozen, content, graph, proposal, nms, Timeline(0, 1, 1))["tensor"] < 1e-5


@pytest.mark.parametrize("base", ["co2", "basnet", "hamnet"])
def test_plan_of_the_published_size(base):
    """All that is frozen: the base head, and one query a class. VLC's 51 M and the text block are gone."""
    with torch.device("meta"):
        net = TSM.build(TSM.Config(base=base), THUMOS14)
    frozen = TSM.freeze(net.to("meta"))
    kept = sum(x.numel() for x in (*frozen.parameters(), *frozen.buffers()))
    assert kept == sizes(net)["base"] + 21 * 2048
    assert kept < 0.5 * sum(sizes(net).values())


def test_graph_has_only_what_inference_reads():
    """Of CO2-Net's trunk it does not even have the decoders of the gate, which a training loss reads."""
    config = small_config(TSM, **{**TINY, "width": 32})
    frozen = TSM.freeze(TSM.build(config, NAMES))
    for p in frozen.parameters():
        torch.nn.init.normal_(p)  # equal ones, such as biases of 0, are merged in the graph
    content, _ = to_onnx(frozen, {s: torch.randn(1, 9, WIDTH) for s in ("rgb", "flow")}, {0: "B", 1: "T"}, "h.onnx")
    decoders = sum(p.numel() for n, p in frozen.named_parameters() if ".decode." in n)
    weights = {i.name: math.prod(i.dims) for i in onnx.load_from_string(content).graph.initializer if i.data_type == 1}
    trained = sum(p.numel() for p in frozen.parameters()) - decoders + frozen.classify.queries.numel()
    assert trained <= sum(weights.values()) < trained + 16  # and a few constants


def test_inference_is_that_of_co2():
    for recipe in (r for name, r in TSM.RECIPES.items() if name != "demo"):
        options = TSM.proposal_options(TSM.Config(**recipe.config))
        source = SourceOptions(of="attention", thresholds=linspace(0.1, 0.9, 10), scale="none", score_scale="none")
        assert options.sources == (source,)
        assert (options.class_threshold, options.topk_ratio, options.class_fallback) == (0.2, 10, True)
        assert TSM.nms_options(TSM.Config(**recipe.config)) == NmsOptions(kind="gaussian", sigma=0.3)
    assert TSM.proposal_options(TSM.Config(class_threshold=0.01)).class_threshold == 0.01
    assert TSM.proposal_options(TSM.Config(base="basnet")).class_threshold == 0.25
