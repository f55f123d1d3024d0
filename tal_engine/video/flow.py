"""Optical flow of snippets: which pairs of frames, which method, what becomes of the last frame.

The protocol of I3D (google-deepmind/kinetics-i3d, README; its preprocessing is published in MediaPipe's media
sequence graphs): frames at 25 a second made grey, OpenCV's DualTVL1 at its default parameters, values cut at +-20
pixels. open-mmlab/denseflow calls OpenCV's CUDA version at its defaults: the same parameters without the median filter.
It crops the flow of whole frames: `flow_of` "whole". Flow of cropped frames is off by 0.02 to 0.25 pixels in the mean
(three clips, 224 of 256), most near the border.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError
from ..options import SnippetOptions
from ..records import Snippets
from .snippet import cropped, fit, resized
from .source import VideoSource

#: Flow [P, H, W, 2] (x, y), pixels, from each grey picture of [P, H, W] uint8 to its partner.
PairFlow = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]


class FlowSource(Protocol):
    """Another way to the flow that the options name: another implementation of the method, or files.

    The method's name in the contract stays; `name` is recorded beside it. It gives what `with_flow` gives, so it
    crops frames where the options leave that to the flow stage (`snippet.cropped`).
    """

    @property
    def name(self) -> str: ...

    def __call__(
        self, snippets: Iterable[Snippets], options: SnippetOptions, video: VideoSource
    ) -> Iterator[Snippets]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tvl1Parameters:
    """Parameters of TV-L1 under OpenCV's meaning; defaults: OpenCV's own, which the I3D protocol uses."""

    tau: float = 0.25
    #: lambda, the weight of the data term.
    attachment: float = 0.15
    theta: float = 0.3
    scales: int = 5
    scale_step: float = 0.8
    warps: int = 5
    #: A pair is done when its flow's mean squared change a pixel is below epsilon squared.
    epsilon: float = 0.01
    inner: int = 30
    outer: int = 10
    #: Side of the median filter before each round of inner iterations.
    median: int = 5


TVL1 = Tvl1Parameters()


def with_flow(
    snippets: Iterable[Snippets], options: SnippetOptions, pairs: PairFlow | None = None
) -> Iterator[Snippets]:
    """Add the flow that the options ask for to each batch.

    Args:
        pairs: computes the method that the options name in another way, such as `nn.tvl1.torch_tvl1`.

    Raises:
        MissingExtraError: "tvl1" and an OpenCV without its contrib modules; raised at once, not at the first batch.
    """
    if options.flow == "none":
        return iter(snippets)
    chosen = pairs or {"dis": dis_pairs, "tvl1": tvl1_pairs}[options.flow]()
    return (_added(b, options, chosen) for b in snippets)


def _added(batch: Snippets, options: SnippetOptions, pairs: PairFlow) -> Snippets:
    size = options.for_flow
    flow = snippet_flow(_sized(batch.frames, options), options.flow_clip, pairs)
    return replace(batch, frames=cropped(batch.frames, options), flow=cropped(flow, size))


def _sized(frames: NDArray[np.uint8], options: SnippetOptions) -> NDArray[np.uint8]:
    """Frames [N, window, H, W, 3] as flow is computed of: what `cut` gave, unless they are as decoded."""
    if options.resize:
        return frames
    fitted = resized if options.crops_after_flow else fit
    pictures = [fitted(f, options.for_flow) for f in frames.reshape(-1, *frames.shape[2:])]
    return np.stack(pictures).reshape(*frames.shape[:2], *pictures[0].shape)


def snippet_flow(frames: NDArray[np.uint8], clip: float, pairs: PairFlow) -> NDArray[np.float32]:
    """Flow [N, window, H, W, 2], pixels a slot, of frames [N, window, H, W, 3].

    Flow i goes from frame i to frame i + 1. The last frame has no partner inside the snippet: the flow before it is
    repeated, so that a snippet depends on its own frames only (a snippet of one frame has flow 0). Values are clipped
    to +-clip. Frames that repeat (low frame rates, padding) move by zero and are not computed.
    """
    n, k, h, w, _ = frames.shape
    out = np.zeros((n, k, h, w, 2), np.float32)
    grey = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames.reshape(-1, h, w, 3)]).reshape(n, k, h, w)
    moves = (grey[:, :-1] != grey[:, 1:]).any((2, 3))
    if moves.any():
        out[:, :-1][moves] = pairs(grey[:, :-1][moves], grey[:, 1:][moves])
    return finished(out, clip)


def finished(flow: NDArray[np.float32], clip: float) -> NDArray[np.float32]:
    """Repeat the last but one flow of each snippet [N, window, H, W, 2] and clip, in place."""
    if flow.shape[1] > 1:
        flow[:, -1] = flow[:, -2]
    return np.clip(flow, -clip, clip, out=flow)


def dis_pairs() -> PairFlow:
    """DIS (Kroeger et al. 2016) at OpenCV's fast preset: about a hundredth of TV-L1's cost."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # type: ignore[attr-defined]
    return lambda before, after: _one_by_one(dis.calc, before, after)


def tvl1_pairs() -> PairFlow:
    """OpenCV's DualTVL1 at the parameters `TVL1`.

    Raises:
        MissingExtraError: the installed OpenCV has no contrib modules.
    """
    # Where opencv-python-headless was installed over it, a folder `optflow` is left with nothing in it.
    create = getattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create", None)
    if create is None:
        raise MissingExtraError(
            f"flow 'tvl1' needs OpenCV's contrib modules, which the installed OpenCV {cv2.__version__} lacks: "
            "pip install --force-reinstall --no-deps opencv-contrib-python-headless"
        )
    p = TVL1

    def flow(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
        # A new object a call: OpenCV's forgets how many scales were asked for once it has met a small picture.
        method = create(
            p.tau, p.attachment, p.theta, p.scales, p.warps, p.epsilon, p.inner, p.outer, p.scale_step, 0.0, p.median
        )
        return _one_by_one(method.calc, before, after)

    return flow


def _one_by_one(
    calc: Callable[..., NDArray[np.float32]], before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> NDArray[np.float32]:
    return np.stack([calc(a, b, None) for a, b in zip(before, after, strict=True)])
