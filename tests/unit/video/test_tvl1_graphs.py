"""TV-L1 as ONNX graphs: what torch and OpenCV compute, pair by pair, on the host and on a card of host memory."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest
import torch

from tal_engine.cli.features import _flow
from tal_engine.errors import BackendError, UsageError
from tal_engine.flow_options import TVL1, Tvl1Parameters
from tal_engine.lab.nn.tvl1 import TorchTvl1, tvl1
from tal_engine.options import SnippetOptions
from tal_engine.records import Snippets
from tal_engine.timeline import Timeline
from tal_engine.video.flow import tvl1_pairs
from tal_engine.video.flow_tvl1 import OnnxTvl1
from tal_engine.video.tvl1_graphs import iterate_graph, median_graph, resize_graph, warp_graph
from tests.unit.backends.test_on_card import on_host
from tests.unit.video.test_flow import error, pair


@pytest.mark.parametrize("graph", [resize_graph(), warp_graph(), median_graph(), iterate_graph(TVL1, 5)])
def test_onnx_takes_the_graphs(graph):
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)


def test_flow_is_that_of_torch_and_opencv():
    """As near as torch is to its own twin: where a pair stops hangs on the last bits."""
    before, after = pair(40, 44)
    found = OnnxTvl1().pairs(before, after)
    assert error(found, TorchTvl1().pairs(before, after)).mean() < 0.03
    if not hasattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create"):
        return
    wanted = tvl1_pairs()(before, after)
    assert error(found, wanted).mean() < 0.03
    assert (error(found, wanted) > 0.5).mean() < 0.01
    assert np.abs(wanted).max() > 1


@pytest.mark.parametrize("size", [(32, 40), (3, 5)])
def test_flow_of_a_fixed_number_of_iterations(size):
    fixed = Tvl1Parameters(epsilon=0.0, outer=1, scales=2, warps=2)
    before, after = pair(*size)
    wanted = tvl1(torch.from_numpy(before).float(), torch.from_numpy(after).float(), fixed).permute(0, 2, 3, 1).numpy()
    assert error(OnnxTvl1(parameters=fixed).pairs(before, after), wanted).mean() < 2e-3


def test_a_pair_does_not_depend_on_its_batch_nor_on_where_it_runs():
    few = Tvl1Parameters(warps=1, outer=2)
    before, after = (np.concatenate(x) for x in zip(*(pair(18, 20, seed) for seed in range(3)), strict=True))
    together = OnnxTvl1(parameters=few).pairs(before, after)
    apart = OnnxTvl1(batch=1, parameters=few).pairs(before, after)
    np.testing.assert_allclose(together, apart, atol=1e-3)
    card = OnnxTvl1(parameters=few, opened=on_host).pairs(before, after)
    np.testing.assert_array_equal(card, together)


def test_pictures_that_do_not_move_have_no_flow():
    before, _ = pair(20, 24)
    np.testing.assert_allclose(OnnxTvl1().pairs(before, before), 0, atol=1e-4)


def test_the_median_is_opencvs(rng):
    x = rng.normal(size=(2, 2, 9, 12)).astype(np.float32)
    going = np.array([1, 0], np.float32).reshape(2, 1, 1, 1)
    found = on_host(median_graph()).run({"flow": x, "going": going})["filtered"]
    np.testing.assert_array_equal(found[0], [cv2.medianBlur(c, 5) for c in x[0]])
    np.testing.assert_array_equal(found[1], x[1])


def test_features_take_it_by_its_device():
    found = _flow(None, "onnx:cpu")
    assert isinstance(found, OnnxTvl1)
    assert (found.device, found.name) == ("cpu", "onnx")
    frames = np.zeros((1, 3, 20, 20, 3), np.uint8)
    batch = Snippets(frames, None, 0, Timeline(0.0, 1.0, 1.0), 1.0)
    (made,) = found([batch], SnippetOptions(resize=20, crop=20, flow="tvl1"), None)
    np.testing.assert_array_equal(made.flow, 0)
    with pytest.raises(UsageError, match="flow is 'dis', must be 'tvl1'"):
        found([batch], SnippetOptions(flow="dis"), None)
    with pytest.raises(BackendError, match="cuda was asked for"):
        _flow(None, "onnx:cuda")


def test_shapes_are_checked():
    with pytest.raises(UsageError, match=r"\[1, 2, 9\] and \[1, 2, 9\], must be two \[P, H, W\]"):
        OnnxTvl1().pairs(np.zeros((1, 2, 9), np.uint8), np.zeros((1, 2, 9), np.uint8))
