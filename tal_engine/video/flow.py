"""Optical flow of snippets: which pairs of frames, which method, what becomes of the last frame.

The protocol of I3D (google-deepmind/kinetics-i3d, README; its preprocessing is published in MediaPipe's media
sequence graphs): frames at 25 a second made grey, OpenCV's DualTVL1 at its default parameters, values cut at +-20
pixels. open-mmlab/denseflow calls OpenCV's CUDA version at its defaults: the same parameters without the median filter.
It crops the flow of whole frames: `flow_of` "whole". Flow of cropped frames is off by 0.02 to 0.25 pixels in the mean
(three clips, 224 of 256), most near the border.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import FlowError, MissingExtraError
from ..flow_options import TVL1
from ..options import SnippetOptions
from ..records import Snippets
from .snippet import cropped, fit, resized
from .source import VideoSource

#: A snippet has few pairs: more threads would wait.
_MOST_WORKERS = 16

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


def needs_flow(options: SnippetOptions, reads: Iterable[str]) -> bool:
    """Whether flow has to be computed: an encoder reads it, or frames are cropped where it is (`flow_of` "whole").

    >>> needs_flow(SnippetOptions(flow="dis"), ["frames"])
    False
    """
    return options.flow_of == "whole" or "flow" in reads


def with_flow(
    snippets: Iterable[Snippets], options: SnippetOptions, pairs: PairFlow | None = None
) -> Iterator[Snippets]:
    """Add flow to each batch, by the method that the options name.

    Args:
        snippets: batches of frames.
        options: name the method and its clipping.
        pairs: another implementation of that method, such as `nn.tvl1.torch_tvl1`.

    Raises:
        FlowError: "vectors", which only files have; see `flow_vectors.with_vectors`.
        MissingExtraError: "tvl1" and an OpenCV without its contrib modules; raised at once, not at the first batch.
    """
    if options.flow == "none":
        return iter(snippets)
    if options.flow == "vectors":
        raise FlowError("flow 'vectors' is read of video files: frames of streams and arrays have no motion vectors")
    ultrafast = partial(DisFlow, cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    known: dict[str, Callable[[], PairFlow]] = {"dis": dis_pairs, "dis_ultrafast": ultrafast, "tvl1": tvl1_pairs}
    chosen = pairs or known[options.flow]()
    return (_added(b, options, chosen) for b in snippets)


def _added(batch: Snippets, options: SnippetOptions, pairs: PairFlow) -> Snippets:
    size = options.for_flow
    flow = snippet_flow(_sized(batch.frames, options), options.flow_clip, pairs)
    return replace(batch, frames=cropped(batch.frames, options), flow=cropped(flow, size))


def _sized(frames: NDArray[np.uint8], options: SnippetOptions) -> NDArray[np.uint8]:
    """Resize frames [N, window, H, W, 3] for the flow method, unless `cut` did so already."""
    if options.resize:
        return frames
    fitted = resized if options.crops_after_flow else fit
    pictures = [fitted(f, options.for_flow) for f in frames.reshape(-1, *frames.shape[2:])]
    return np.stack(pictures).reshape(*frames.shape[:2], *pictures[0].shape)


def snippet_flow(frames: NDArray[np.uint8], clip: float, pairs: PairFlow) -> NDArray[np.float32]:
    """Compute flow [N, window, H, W, 2], in pixels per slot, of frames [N, window, H, W, 3].

    Flow i goes from frame i to frame i + 1. The last frame has no partner inside the snippet: the flow before it is
    repeated, so that a snippet depends on its own frames only (a snippet of one frame has flow 0). Values are clipped
    to +-clip. Frames that repeat (low frame rates, padding) move by zero and are not computed.
    """
    n, k, h, w, _ = frames.shape
    out = np.zeros((n, k, h, w, 2), np.float32)
    grey = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames.reshape(-1, h, w, 3)]).reshape(n, k, h, w)
    moves = (grey[:, :-1] != grey[:, 1:]).any((2, 3))
    if isinstance(pairs, DisFlow):
        places = list(zip(*np.nonzero(moves), strict=True))
        pairs.write([(grey[i, j], grey[i, j + 1]) for i, j in places], [out[i, j] for i, j in places], clip)
        if k > 1:
            out[:, -1] = out[:, -2]
        return out
    if moves.any():
        out[:, :-1][moves] = pairs(grey[:, :-1][moves], grey[:, 1:][moves])
    return finished(out, clip)


def finished(flow: NDArray[np.float32], clip: float) -> NDArray[np.float32]:
    """Repeat the last but one flow of each snippet [N, window, H, W, 2] and clip, in place."""
    if flow.shape[1] > 1:
        flow[:, -1] = flow[:, -2]
    return np.clip(flow, -clip, clip, out=flow)


#: A grey picture and its partner, [H, W] uint8.
_Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class DisFlow:
    """DIS (Kroeger et al. 2016) at one of OpenCV's presets, as a `PairFlow`; the fast one: a hundredth of TV-L1.

    Pairs share the cores, each by itself: OpenCV's own threads have too little to do on small pictures, and on many
    cores take longer than one of them. Every core takes a run of pairs at a time.
    """

    def __init__(self, preset: int = cv2.DISOPTICAL_FLOW_PRESET_FAST) -> None:
        self._preset = preset
        self._mine = threading.local()  # an object is for one thread

    def __call__(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute flow [P, H, W, 2], pixels, of pictures [P, H, W]."""
        out = np.empty((*before.shape, 2), np.float32)
        self.write(list(zip(before, after, strict=True)), list(out), np.inf)
        return out

    def write(self, pairs: Sequence[_Pair], places: Sequence[NDArray[np.float32]], clip: float) -> None:
        """Compute the flow of pairs of pictures, clipped to +-clip, into places [H, W, 2], without another copy."""
        runs = min(len(pairs), _worker_count())
        if runs <= 1:
            self._run(pairs, places, clip)
            return
        cuts = [i * len(pairs) // runs for i in range(runs + 1)]
        parts = [slice(*cut) for cut in itertools.pairwise(cuts)]
        work = [pairs[p] for p in parts], [places[p] for p in parts], [clip] * runs
        for _ in _workers(os.getpid()).map(self._run, *work):
            pass

    def _run(self, pairs: Sequence[_Pair], places: Sequence[NDArray[np.float32]], clip: float) -> None:
        if not hasattr(self._mine, "calc"):
            self._mine.calc = cv2.DISOpticalFlow_create(self._preset).calc  # type: ignore[attr-defined]
        for pair, place in zip(pairs, places, strict=True):
            np.clip(self._mine.calc(*pair, None), -clip, clip, out=place)


def dis_pairs() -> PairFlow:
    """Return `DisFlow` at OpenCV's fast preset, which is what flow "dis" is."""
    return DisFlow()


def _worker_count() -> int:
    return min(os.cpu_count() or 1, _MOST_WORKERS)


@cache
def _workers(process: int) -> ThreadPoolExecutor:
    """Return the threads for pairs of frames, shared by all streams and videos; a forked process starts its own."""
    return ThreadPoolExecutor(_worker_count(), "tal-flow")


def tvl1_pairs() -> PairFlow:
    """Return OpenCV's DualTVL1 with the parameters `TVL1`.

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
