"""Optical flow: the last frame, clipping, known motion, and TV-L1 in torch against OpenCV and a slow twin."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from tal_engine.errors import MissingExtraError, UsageError
from tal_engine.flow_options import Tvl1Parameters
from tal_engine.lab.nn import tvl1 as torch_tvl1
from tal_engine.lab.nn.tvl1 import TorchTvl1, tvl1
from tal_engine.options import SnippetOptions
from tal_engine.records import Snippets
from tal_engine.timeline import Timeline
from tal_engine.video.flow import dis_pairs, snippet_flow, tvl1_pairs, with_flow
from tests.reference import tvl1 as slow

CONTRIB = hasattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create")
needs_contrib = pytest.mark.skipif(not CONTRIB, reason="OpenCV without contrib: pip install 'tal-engine[tvl1]'")
METHODS = {"dis": dis_pairs, "tvl1": tvl1_pairs, "torch": lambda: TorchTvl1().pairs}
EACH = pytest.mark.parametrize("method", ["dis", pytest.param("tvl1", marks=needs_contrib), "torch"])


def texture(height, width, seed=0):
    """A smooth random picture, float32 0..255, with a border of 8 pixels to move into."""
    noise = np.random.default_rng(seed).uniform(0, 255, (height + 16, width + 16)).astype(np.float32)
    image = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)


def moving(count, dx, dy, height=48, width=56, seed=0):
    """Frames [1, count, H, W, 3] whose texture moves by (dx, dy) pixels a frame."""
    image = texture(height, width, seed)
    shifts = [np.float32([[1, 0, i * dx - 8], [0, 1, i * dy - 8]]) for i in range(count)]
    grey = [cv2.warpAffine(image, m, (width, height), flags=cv2.INTER_CUBIC).clip(0, 255) for m in shifts]
    return np.stack(grey).round().astype(np.uint8)[None, ..., None].repeat(3, -1)


def pair(height, width, seed=0):
    """Two grey pictures [1, H, W]; one half moves, the other does not."""
    frames = moving(2, 1.5, -1.0, height, width, seed)[0, ..., 0]
    frames[1, :, : width // 2] = frames[0, :, : width // 2]
    return frames[:1], frames[1:]


def error(a, b):
    return np.linalg.norm(a - b, axis=-1)


@EACH
def test_translation_is_recovered(method):
    flow = snippet_flow(moving(3, 1.25, -0.75), 20.0, METHODS[method]())
    inner = flow[0, :, 8:-8, 8:-8]
    assert np.median(error(inner, np.float32([1.25, -0.75]))) < 0.15
    assert error(inner, np.float32([1.25, -0.75])).mean() < 0.3


@EACH
def test_last_flow_is_repeated_and_does_not_look_ahead(method):
    frames = moving(4, 1.0, 0.5)
    whole = snippet_flow(frames, 20.0, METHODS[method]())
    np.testing.assert_array_equal(whole[:, 3], whole[:, 2])
    first = snippet_flow(frames[:, :3], 20.0, METHODS[method]())
    np.testing.assert_array_equal(first[:, :2], whole[:, :2])
    np.testing.assert_array_equal(first[:, 2], first[:, 1])


@EACH
def test_clip(method):
    flow = snippet_flow(moving(2, 1.5, -1.5), 0.5, METHODS[method]())
    assert flow.max() == 0.5
    assert flow.min() == -0.5


@EACH
def test_same_frames_and_single_frames_have_no_flow(method):
    pairs = METHODS[method]()
    still = moving(1, 0, 0).repeat(3, 1)
    np.testing.assert_array_equal(snippet_flow(still, 20.0, pairs), 0)
    np.testing.assert_array_equal(snippet_flow(still[:, :1], 20.0, pairs), 0)
    grey = still[0, :2, ..., 0]
    np.testing.assert_allclose(pairs(grey[:1], grey[1:]), 0, atol=1e-6)  # computed, not left out


@EACH
def test_repeated_frames_are_not_computed(method):
    frames = moving(2, 1.0, 0.0)[:, [0, 0, 1]]
    flow = snippet_flow(frames, 20.0, METHODS[method]())
    assert not flow[0, 0].any()
    np.testing.assert_array_equal(flow[0, 1], snippet_flow(frames[:, 1:], 20.0, METHODS[method]())[0, 0])


def test_pairs_that_share_the_cores_are_those_of_one_thread():
    """Bit for bit, also for callers beside each other."""
    rng = np.random.default_rng(0)
    frames = cv2.GaussianBlur(rng.integers(0, 255, (60, 160), np.uint8), (5, 5), 2)
    frames = np.stack([frames[:, i : i + 100] for i in range(40)])
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    wanted = [dis.calc(a, b, None) for a, b in pairwise(frames)]
    flow = dis_pairs()
    with ThreadPoolExecutor(3) as callers:
        for found in callers.map(lambda _: flow(frames[:-1], frames[1:]), range(6)):
            np.testing.assert_array_equal(found, wanted)


_FORKED = """
import os, signal
import numpy as np
from tal_engine.video.flow import dis_pairs
pictures = np.random.default_rng(0).integers(0, 255, (3, 40, 40), np.uint8)
dis_pairs()(pictures[:-1], pictures[1:])
child = os.fork()
if child == 0:
    signal.alarm(30)
    dis_pairs()(pictures[:-1], pictures[1:])
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_has_threads_of_its_own():
    command = [sys.executable, "-W", "ignore", "-c", _FORKED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "0"  # -14: the alarm


@EACH
@pytest.mark.parametrize("size", [(17, 31), (33, 18)])
def test_odd_sizes(method, size):
    flow = snippet_flow(moving(2, 0.5, 0.5, *size), 20.0, METHODS[method]())
    assert flow.shape == (1, 2, *size, 2)
    assert np.isfinite(flow).all()


@EACH
def test_batch_equals_one_by_one(method):
    both = np.concatenate([moving(2, 1.25, -0.75), moving(2, -0.5, 0.25, seed=3), moving(2, 3.0, 2.0, seed=4)])
    together = snippet_flow(both, 20.0, METHODS[method]())
    alone = np.concatenate([snippet_flow(x[None], 20.0, METHODS[method]()) for x in both])
    np.testing.assert_allclose(together, alone, atol=1e-4)


# -- TV-L1 in torch ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(24, 30), (41, 53)])
def test_torch_equals_twin(size):
    # The stop rule is a threshold: where a sum is rounded otherwise, one iteration more may be made.
    before, after = pair(*size)
    found = TorchTvl1().pairs(before, after)[0]
    wanted = slow.tvl1(before[0], after[0])
    assert error(found, wanted).mean() < 0.03
    fixed = Tvl1Parameters(epsilon=0.0, outer=1, scales=2, warps=2)
    found = tvl1(torch.from_numpy(before).float(), torch.from_numpy(after).float(), fixed)[0].permute(1, 2, 0)
    wanted = slow.tvl1(before[0], after[0], epsilon=0.0, outer=1, scales=2, warps=2)
    assert error(found.numpy(), wanted).mean() < 2e-3


@needs_contrib
def test_torch_and_twin_agree_with_opencv():
    before, after = pair(64, 80)
    wanted = tvl1_pairs()(before, after)[0]
    for found in (TorchTvl1().pairs(before, after)[0], slow.tvl1(before[0], after[0])):
        assert error(found, wanted).mean() < 0.03
        assert (error(found, wanted) > 0.5).mean() < 0.01


@needs_contrib
def test_a_small_picture_does_not_change_later_ones():
    pairs, (before, after) = tvl1_pairs(), pair(48, 56)
    wanted = pairs(before, after)
    pairs(*pair(16, 16))
    np.testing.assert_array_equal(pairs(before, after), wanted)


def test_median_equals_opencv():
    x = np.random.default_rng(0).normal(size=(2, 9, 12)).astype(np.float32)
    wanted = np.stack([cv2.medianBlur(c, 5) for c in x])
    np.testing.assert_array_equal(torch_tvl1._median5(torch.from_numpy(x)[None])[0].numpy(), wanted)


@pytest.mark.parametrize("shapes", [((1, 20, 20), (1, 20, 21)), ((20, 20), (20, 20)), ((1, 2, 20), (1, 2, 20))])
def test_torch_refuses_shapes(shapes):
    with pytest.raises(UsageError, match="must be two"):
        tvl1(*(torch.zeros(s) for s in shapes))


# -- with_flow ---------------------------------------------------------------------------------


def test_opencv_without_contrib_says_what_to_install(monkeypatch):
    monkeypatch.setattr(cv2, "optflow", None, raising=False)
    with pytest.raises(MissingExtraError, match="install --force-reinstall --no-deps opencv-contrib-python-headless"):
        with_flow([], SnippetOptions(flow="tvl1"))


def test_torch_is_a_way_to_tvl1_only():
    frames = moving(3, 1.0, 0.0)
    batch = Snippets(frames, None, 0, Timeline(0.0, 1.0, 1.0), 1.0)
    (made,) = TorchTvl1()([batch], SnippetOptions(flow="tvl1"), None)
    np.testing.assert_array_equal(made.flow, snippet_flow(frames, 20.0, TorchTvl1().pairs))
    with pytest.raises(UsageError, match="flow is 'dis', must be 'tvl1'"):
        TorchTvl1()([batch], SnippetOptions(flow="dis"), None)
