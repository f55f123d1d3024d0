"""Optical flow of snippets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..options import SnippetOptions
from ..records import Snippets


def with_flow(snippets: Iterable[Snippets], options: SnippetOptions) -> Iterator[Snippets]:
    """Add the flow that the options ask for to each batch."""
    for batch in snippets:
        yield batch if options.flow == "none" else replace(batch, flow=dis_flow(batch.frames, options.flow_clip))


def dis_flow(frames: NDArray[np.uint8], clip: float) -> NDArray[np.float32]:
    """DIS flow [N, window, H, W, 2], pixels a slot, of frames [N, window, H, W, 3].

    Flow i goes from frame i to frame i + 1; the last one is repeated. Values are clipped to
    +-clip. Frames that repeat (low frame rates) move by zero.
    """
    n, k, h, w, _ = frames.shape
    out = np.zeros((n, k, h, w, 2), np.float32)
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # type: ignore[attr-defined]
    for i in range(n):
        gray = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames[i]]
        for j in range(k - 1):
            if not np.array_equal(gray[j], gray[j + 1]):
                out[i, j] = dis.calc(gray[j], gray[j + 1], None)
        if k > 1:
            out[i, k - 1] = out[i, k - 2]
    return np.clip(out, -clip, clip, out=out)
