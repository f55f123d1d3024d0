"""The slots of snippets to poses of the main person: each slot once, in order, however the snippets come."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from ..options import SnippetOptions
from ..video.grid import slot_centre
from . import gates
from .estimator import PoseEstimator
from .skeleton import JOINTS, canonical
from .tracking import SMALL, Counts, Person, PoseOptions, PoseTracker

#: Values of a joint: x, y, z in metres, visibility.
VALUES = 4
#: Share of a new picture in the pixels a metre that its person's way is measured by.
_NEW_SCALE = 0.1
#: A person is still if no limb moves by more than this share of its region between two pictures.
_STILL = 0.002


class FollowedPoses:
    """The main person of one video or stream, slot by slot. Not safe to share between threads.

    Poses depend on the pictures up to their slot and on when the first one came, and on nothing else: snippets may come
    one by one or many at a time, and may overlap. What begins in the middle of a video, or goes on from a snapshot,
    finds its person anew: it differs for as long as the smoothing remembers, about a second.
    """

    def __init__(self, options: SnippetOptions, counts: Counts | None = None) -> None:
        """Begin.

        Args:
            options: of the snippets.
            counts: goes on from these, of an earlier part of the stream.
        """
        self._options = options
        self._tracker = PoseTracker(PoseOptions(), counts)
        self._known: deque[tuple[int, NDArray[np.float32]]] = deque(maxlen=options.window)
        self._image: NDArray[np.uint8] | None = None
        self._people: list[Person] = []
        self._way = _Way()

    @property
    def counts(self) -> Counts:
        """What was seen so far."""
        return self._tracker.counts

    def __call__(self, estimator: PoseEstimator, frames: NDArray[np.uint8], snippet: int) -> NDArray[np.float32]:
        """Find the poses [window, 15, 4] of a snippet; slots that an earlier one showed are remembered.

        Args:
            estimator: the graphs.
            frames: [window, H, W, 3] uint8 RGB.
            snippet: its number; it must not fall.

        Raises:
            BackendError: a graph failed.
        """
        first = snippet * self._options.stride
        for slot in range(first, first + len(frames)):
            if not self._known or slot > self._known[-1][0]:
                self._known.append((slot, self._pose(estimator, frames[slot - first], slot)))
        known = dict(self._known)
        return np.stack([known[slot] for slot in range(first, first + len(frames))])

    def _pose(self, estimator: PoseEstimator, image: NDArray[np.uint8], slot: int) -> NDArray[np.float32]:
        if self._image is None or not _same(image, self._image):
            before = self._people
            self._people = self._tracker(estimator, image, slot_centre(slot, self._options))
            self.counts.still += bool(before and self._people and _is_still(before[0], self._people[0]))
            self._image = image.copy()
        pose = np.zeros((len(JOINTS), VALUES), np.float32)
        if not self._people:
            self._way = _Way()
            return pose
        person = self._people[0]
        joints, visible = canonical(person.world[None], person.visible[None])
        pose[:, :2] = joints[0, :, :2] + self._way(person)
        pose[:, 2], pose[:, 3] = joints[0, :, 2], visible[0]
        return pose


class _Way:
    """How far a person has moved across the picture, in metres: x to the right, y down.

    Measured from picture to picture, at pixels a metre that change slowly, so that noise of the size is no way.
    """

    def __init__(self) -> None:
        self._subject, self._scale = -1, 0.0
        self._origin = self._moved = np.zeros(2)

    def __call__(self, person: Person) -> NDArray[np.float32]:
        fit = gates.fitted(person.points, person.world)
        if person.subject != self._subject:
            self._subject, self._scale, self._moved = person.subject, fit.scale, np.zeros(2)
        else:
            self._scale += _NEW_SCALE * (fit.scale - self._scale)
            self._moved = self._moved + (fit.origin - self._origin) / max(self._scale, 1e-6)
        self._origin = fit.origin
        return self._moved.astype(np.float32)


def _same(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """Return whether two pictures are the same; most that differ do so in a few pixels that are looked at first."""
    return a.shape == b.shape and np.array_equal(a[::16, ::16], b[::16, ::16]) and np.array_equal(a, b)


def _is_still(before: Person, now: Person) -> bool:
    moved = np.abs(now.points[gates.LIMBS, :2] - before.points[gates.LIMBS, :2]).max()
    return before.subject == now.subject and bool(moved < _STILL * now.region.side)


def notes_of(counts: Counts, name: str) -> list[str]:
    """Say what pose features of such pictures are not to be trusted for.

    Args:
        counts: what was seen.
        name: of the encoder.
    """
    total = counts.pictures
    seen = total - counts.empty
    if not seen:
        doubt = f"; {counts.refused} times what was detected did not hold together as one" if counts.refused else ""
        return [f"{name}: no person was found in any of {total} pictures{doubt}"]
    notes = []
    if counts.empty > total / 2:
        notes.append(f"no person was found in {counts.empty} of {total} pictures")
    parts = {
        "the legs are not visible (half a person?)": counts.half,
        "the person is upside down": counts.upside_down,
        f"the person is less than {SMALL} pixels tall": counts.small,
        "the person does not move at all (a picture of one?)": counts.still,
    }
    notes += [
        f"{what} in {count} of {seen} pictures with a person" for what, count in parts.items() if 2 * count > seen
    ]
    if counts.most > 1:
        notes.append(f"up to {counts.most} people are in the picture, the largest is followed")
    return [f"{name}: {note}" for note in notes]
