"""The regular grid of a video, pushed: frames in, snippets out. What a file pulls and a stream pushes go through here.

Knows slots and pictures; knows nothing of files, of flow, or of what a picture's size should be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..options import SnippetOptions
from .source import Image


def slot_centre(slot: int, options: SnippetOptions) -> float:
    """Seconds of the moment whose picture slot `slot` shows: the middle of [slot, slot + 1) / fps.

    Snippet i of `snippet.timeline_of` is slots [i * stride, i * stride + window). Neither adds up steps, so
    the millionth slot is as exact as the first, and what is shown there is off by less than a frame.
    """
    return (slot + 0.5) / options.fps


def slots_of(seconds: float, options: SnippetOptions) -> int:
    """How many slots a video of so many seconds fills: those whose centre lies before its end, at least one."""
    return max(math.ceil(seconds * options.fps - 0.5), 1)


class SnippetGrid:
    """Snippets, each a list of `window` pictures [H, W, 3], of frames that come one by one.

    Slot n covers [n, n + 1) / fps and shows the frame on screen at its centre; before the first frame that is the
    first frame. A snippet begins every `stride` slots. Memory: at most one window of slots.
    """

    def __init__(self, options: SnippetOptions, show: Callable[[Image], Image]) -> None:
        self._options = options
        self._show = show
        self._begun = False
        self._image: Callable[[], Image]  # the frame on screen once begun; pixels are made when a slot shows it
        self._picture: Image | None = None
        self._held: list[Image] = []
        self._slot = self._skip = self._given = 0
        self._fresh = 0  # slots in `_held` that no snippet has shown yet
        self._size: tuple[int, ...] | None = None

    def push(self, seconds: float, image: Callable[[], Image]) -> Iterator[list[Image]]:
        """Snippets that are complete now that another frame is on screen from `seconds` on, which must not fall.

        They are made while they are asked for, so the iterator must be read to its end before the next frame.
        """
        while self._begun and slot_centre(self._slot, self._options) < seconds:
            yield from self._next()
        self._begun, self._image, self._picture = True, image, None

    def finish(self, seconds: float) -> Iterator[list[Image]]:
        """The last snippets of frames that end at `seconds`; the one place where short videos are padded."""
        if not self._begun:
            return
        for _ in range(self._slot, slots_of(seconds, self._options)):
            yield from self._next()
        if self._fresh and (self._options.tail == "pad" or self._given == 0):
            yield self._held + [self._held[-1]] * (self._options.window - len(self._held))

    def _next(self) -> Iterator[list[Image]]:
        """Fill one slot with what is on screen."""
        self._slot += 1
        if self._skip:
            self._skip -= 1
            return
        self._held.append(self._shown())
        self._fresh += 1
        if len(self._held) == self._options.window:
            yield self._held
            self._given += 1
            self._fresh = 0
            self._skip = max(self._options.stride - self._options.window, 0)
            self._held = self._held[self._options.stride :]

    def _shown(self) -> Image:
        """The picture on screen in the size of the first: frames that stay as decoded may change it on the way."""
        if self._picture is None:
            picture = self._show(self._image())
            self._size = self._size or picture.shape
            if picture.shape != self._size:
                picture = cv2.resize(picture, (self._size[1], self._size[0])).astype(np.uint8, copy=False)
            self._picture = picture
        return self._picture

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[np.uint8]]]:
        """Numbers and pictures from which `restore` goes on."""
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
