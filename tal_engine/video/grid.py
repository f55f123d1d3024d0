"""The regular grid of a video, pushed: frames in, snippets out. What a file pulls and a stream pushes go through here.

Knows slots and pictures; knows nothing of files, of flow, or of what a picture's size should be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..limits import Limits
from ..options import SnippetOptions
from .source import Image


def slot_centre(slot: int, options: SnippetOptions) -> float:
    """Return the time in seconds whose frame slot `slot` shows: the middle of [slot, slot + 1) / fps.

    Snippet i of `snippet.timeline_of` is slots [i * stride, i * stride + window). Neither adds up steps, so
    the millionth slot is as exact as the first, and what is shown there is off by less than a frame.
    """
    return (slot + 0.5) / options.fps


def slots_of(seconds: float, options: SnippetOptions) -> int:
    """Count the slots that `seconds` of video fill: those whose centre lies before the end, at least one."""
    return max(math.ceil(seconds * options.fps - 0.5), 1)


class SnippetGrid:
    """Snippets, each a list of `window` pictures [H, W, 3], of frames that come one by one.

    Slot n covers [n, n + 1) / fps and shows the frame on screen at its centre; before the first frame that is the
    first frame. A snippet begins every `stride` slots; the first `first` of them are left out, and no picture is made
    for them alone. Memory: at most one window of slots.
    """

    def __init__(
        self,
        options: SnippetOptions,
        show: Callable[[Callable[[], Image]], Image],
        limits: Limits | None = None,
        name: str = "video",
        *,
        endless: bool = True,
        first: int = 0,
    ) -> None:
        self._options = options
        self._show = show
        self._limits, self._name, self._endless = limits or Limits(), name, endless
        self._begun = False
        self._image: Callable[[], Image]  # the frame on screen once begun; pixels are made when a slot shows it
        self._picture: Image | None = None
        self._held: list[Image] = []
        self._slot, self._skip, self._given = 0, first * options.stride, first
        # Slots in `_held` that no snippet has shown yet; those that snippet `first` shares with the one before it was
        # left out are no news.
        self._fresh = min(options.stride - options.window, 0) if first else 0
        self._size: tuple[int, ...] | None = None

    def push(self, seconds: float, image: Callable[[], Image]) -> list[list[Image]]:
        """Return the snippets that are complete now that another frame is on screen from `seconds` on.

        `seconds` must not fall. If the picture of the frame before cannot be made, its error is raised and the new
        frame is not taken; all slots up to the broken picture are kept, so the call can be repeated.

        Raises:
            VideoError: there would be more than the limits allow: of a stream in one go, of a file since its start.
        """
        self._check(seconds)
        complete: list[list[Image]] = []
        while self._begun and slot_centre(self._slot, self._options) < seconds:
            complete += self._fill_slot()
        self._begun, self._image, self._picture = True, image, None
        return complete

    def finish(self, seconds: float) -> list[list[Image]]:
        """Return the last snippets of frames that end at `seconds`; the one place where short videos are padded.

        If the last picture cannot be made, its error is raised and the call can be repeated.
        """
        if not self._begun:
            return []
        self._check(seconds)
        complete: list[list[Image]] = []
        for _ in range(self._slot, slots_of(seconds, self._options)):
            complete += self._fill_slot()
        if self._fresh > 0 and (self._options.tail == "pad" or self._given == 0):
            complete.append(self._held + [self._held[-1]] * (self._options.window - len(self._held)))
        return complete

    def _check(self, seconds: float) -> None:
        begin = slot_centre(self._slot, self._options) if self._endless else 0.0
        self._limits.check_length(self._name, begin, seconds, self._options)

    def _fill_slot(self) -> list[list[Image]]:
        """Fill one slot with the picture on screen; return the snippet that this completes, if any.

        The picture is made before anything changes. All slots that one frame fills show the same picture, so an error
        can only come with the first of them, when no snippet of this frame has been completed yet.
        """
        picture = None if self._skip else self._shown()
        self._slot += 1
        if picture is None:
            self._skip -= 1
            return []
        self._held.append(picture)
        self._fresh += 1
        if len(self._held) < self._options.window:
            return []
        complete = self._held
        self._given += 1
        self._fresh = 0
        self._skip = max(self._options.stride - self._options.window, 0)
        self._held = complete[self._options.stride :]
        return [complete]

    def _shown(self) -> Image:
        """Return the frame on screen at the first frame's size; frames kept as decoded may change size midway."""
        if self._picture is None:
            picture = self._show(self._image)
            self._size = self._size or picture.shape
            if picture.shape != self._size:
                picture = cv2.resize(picture, (self._size[1], self._size[0])).astype(np.uint8, copy=False)
            self._picture = picture
        return self._picture

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[np.uint8]]]:
        """Return the numbers and images that `restore` needs to resume."""
        numbers = {"slot": self._slot, "skip": self._skip, "given": self._given, "fresh": self._fresh}
        pictures = {"picture": self._shown()} if self._begun else {}
        if self._held:
            pictures["held"] = np.stack(self._held)
        return {**numbers, "size": self._size}, pictures

    def restore(self, numbers: dict[str, Any], pictures: dict[str, NDArray[np.uint8]]) -> None:
        """Go on from a `state`."""
        self._slot, self._skip = numbers["slot"], numbers["skip"]
        self._given, self._fresh = numbers["given"], numbers["fresh"]
        self._size = None if numbers["size"] is None else tuple(numbers["size"])
        self._held = list(pictures.get("held", ()))
        self._begun, self._picture = "picture" in pictures, pictures.get("picture")
