"""Who was found in each slot of a video: the features of each person by itself, and people to draw."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from ..options import SnippetOptions
from .features import DIM, snippet_features
from .skeleton import JOINTS
from .tracking import MOST_PEOPLE, Person

#: Seconds that somebody has to be seen in all to count as a person of the video.
LEAST_S = 0.5
#: Snippets whose features are computed at a time.
_BATCH = 4096


class FoundPeople:
    """The people of one video, slot by slot; grows with the video, by about a kilobyte a person and slot.

    Args:
        options: of the snippets.
        most: people that are followed at a time.

    Raises:
        UsageError: `most` is out of range.
    """

    def __init__(self, options: SnippetOptions, most: int) -> None:
        require(1 <= most <= MOST_PEOPLE, "people", most, f"in 1..{MOST_PEOPLE}")
        self.most = most
        self._options = options
        self._slots: list[int] = []
        self._people: list[Sequence[Person]] = []
        self._poses: dict[int, dict[int, NDArray[np.float32]]] = {}

    def add(self, slot: int, people: Sequence[Person], poses: Mapping[int, NDArray[np.float32]]) -> None:
        """Take the people of a slot, later than the last one, and their poses [15, 4] by number."""
        self._slots.append(slot)
        self._people.append(people)
        for subject, pose in poses.items():
            self._poses.setdefault(subject, {})[slot] = pose

    def __call__(self, image: NDArray[np.uint8], seconds: float) -> Sequence[Person]:
        """Return the people at a time, for pictures; the picture itself is not looked at.

        Pictures may come faster than slots: between the centres of two slots in a row, points move on a line.
        """
        place = seconds * self._options.fps
        at = bisect_right(self._slots, place) - 1
        if at < 0:
            return []
        centre = self._slots[at] + 0.5
        other = at + (1 if place >= centre else -1)
        if not 0 <= other < len(self._slots) or abs(self._slots[other] - self._slots[at]) != 1:
            return self._people[at]
        beside = {p.subject: p for p in self._people[other]}
        share = np.float32(min(abs(place - centre), 1.0))
        return [
            replace(p, points=p.points + share * (b.points - p.points)) if (b := beside.get(p.subject)) else p
            for p in self._people[at]
        ]

    @property
    def subjects(self) -> list[int]:
        """Numbers of the people who were seen for at least `LEAST_S`, in order."""
        least = LEAST_S * self._options.fps
        return sorted(s for s, poses in self._poses.items() if len(poses) >= least)

    def features(self, subject: int, count: int) -> NDArray[np.float32]:
        """Compute the features [count, dim] of one person; where it is not seen nothing is visible.

        Args:
            subject: its number.
            count: snippets of the video.
        """
        poses, last = self._poses[subject], self._slots[-1]
        every = np.zeros((last + 1, len(JOINTS), 4), np.float32)
        every[list(poses)] = np.stack(list(poses.values()))
        out = np.zeros((count, DIM), np.float32)
        for first in range(0, count, _BATCH):
            numbers = np.arange(first, min(first + _BATCH, count))
            slots = numbers[:, None] * self._options.stride + np.arange(self._options.window)
            shown = every[np.minimum(slots, last)]
            out[numbers] = snippet_features(shown[..., :3], shown[..., 3], self._options.fps)
        return out
