"""The slots of snippets to poses of the main person: each slot once, in order, however the snippets come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

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
#: A person has moved if limbs are, in the mean of a second, farther from where they were in the first than this share
#: of its region (median of the limbs; noise moves those of a picture of a person by up to .012 as a rule).
_MOVED, _SECOND = 0.02, 1.0
#: Slots behind a snippet whose poses are kept: where another stream's failure ends a shared call, the snippets of this
#: one are encoded again one by one, as many as a call holds.
_KEPT = 1024
#: Pictures with a person before it is said that nobody moves.
_ENOUGH = 50


class TakesPeople(Protocol):
    """Takes everybody who is found, slot by slot; `people.FoundPeople` is one."""

    @property
    def most(self) -> int:
        """People that are followed at a time."""

    def add(self, slot: int, people: Sequence[Person], poses: Mapping[int, NDArray[np.float32]]) -> None:
        """Take the people of a slot and their poses [15, 4] by number."""


class FollowedPoses:
    """The main person of one video or stream, slot by slot. Not safe to share between threads.

    Poses depend on the pictures up to their slot and on when the first one came, and on nothing else: snippets may come
    one by one or many at a time, and may overlap. What begins in the middle of a video, or goes on from a snapshot,
    finds its person anew: it differs for as long as the smoothing remembers, about a second.
    """

    def __init__(self, options: SnippetOptions, counts: Counts | None = None, found: TakesPeople | None = None) -> None:
        """Begin.

        Args:
            options: of the snippets.
            counts: goes on from these, of an earlier part of the stream.
            found: gets everybody who is found, as many as it asks for; without it only the main person is looked for.
        """
        self._options, self._found = options, found
        self._tracker = PoseTracker(PoseOptions(1 if found is None else found.most), counts)
        self._known: dict[int, NDArray[np.float32]] = {}  # by slot, in order
        self._newest = -1
        self._image: NDArray[np.uint8] | None = None
        self._people: list[Person] = []
        self._ways: dict[int, _Way] = {}
        self._moves = _Moves()

    @property
    def counts(self) -> Counts:
        """What was seen so far."""
        return self._tracker.counts

    def __call__(self, estimator: PoseEstimator, frames: NDArray[np.uint8], snippet: int) -> NDArray[np.float32]:
        """Find the poses [window, 15, 4] of a snippet; slots that an earlier one showed are remembered.

        Args:
            estimator: the graphs.
            frames: [window, H, W, 3] uint8 RGB.
            snippet: its number; it does not fall, but for calls that are made again.

        Raises:
            BackendError: a graph failed.
        """
        first = snippet * self._options.stride
        slots = range(first, first + len(frames))
        for slot in slots:
            if slot > self._newest:
                self._known[slot] = self._pose(estimator, frames[slot - first], slot)
                self._newest = slot
        while (oldest := next(iter(self._known))) < first - _KEPT:
            del self._known[oldest]
        return np.stack([self._known[slot] for slot in slots])

    def _pose(self, estimator: PoseEstimator, image: NDArray[np.uint8], slot: int) -> NDArray[np.float32]:
        if self._image is None or not _same(image, self._image):
            seconds = slot_centre(slot, self._options)
            self._people = self._tracker(estimator, image, seconds)
            if self._people and self._moves(self._people[0], seconds):
                self.counts.moved = True
            self._image = image.copy()
        self._ways = {p.subject: self._ways.get(p.subject, _Way()) for p in self._people}
        poses = {p.subject: self._canonical(p) for p in self._people}
        if self._found is not None:
            self._found.add(slot, self._people, poses)
        return poses[self._people[0].subject] if poses else np.zeros((len(JOINTS), VALUES), np.float32)

    def _canonical(self, person: Person) -> NDArray[np.float32]:
        """Return the canonical joints and their visibility, [15, 4]."""
        joints, visible = canonical(person.world[None], person.visible[None])
        joints[0, :, :2] += self._ways[person.subject](person)
        return np.concatenate([joints[0], visible[0][:, None]], 1)


class _Way:
    """How far a person has moved across the picture, in metres: x to the right, y down.

    Measured from picture to picture, at pixels a metre that change slowly, so that noise of the size is no way.
    """

    def __init__(self) -> None:
        self._scale = 0.0
        self._origin = self._moved = np.zeros(2)

    def __call__(self, person: Person) -> NDArray[np.float32]:
        fit = gates.fitted(person.points, person.world)
        if not self._scale:
            self._scale = fit.scale
        else:
            self._scale += _NEW_SCALE * (fit.scale - self._scale)
            self._moved = self._moved + (fit.origin - self._origin) / max(self._scale, 1e-6)
        self._origin = fit.origin
        return self._moved.astype(np.float32)


class _Moves:
    """Whether a person has moved since its first second; a picture of a person does not."""

    def __init__(self) -> None:
        self._subject, self._begun, self._side = -1, 0.0, 1.0
        self._first: NDArray[np.float32] | None = None
        self._points: list[NDArray[np.float32]] = []

    def __call__(self, person: Person, seconds: float) -> bool:
        points = person.points[gates.LIMBS, :2]
        if person.subject != self._subject:
            self._subject, self._begun, self._side = person.subject, seconds, person.region.side
            self._first, self._points = None, []
        if seconds - self._begun >= _SECOND:
            mean = np.mean(self._points, axis=0)
            self._first = mean if self._first is None else self._first
            apart = float(np.median(np.linalg.norm(mean - self._first, axis=1)))
            self._begun, self._points = seconds, [points]
            return apart > _MOVED * self._side
        self._points.append(points)
        return False


def _same(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """Return whether two pictures are the same; most that differ do so in a few pixels that are looked at first."""
    return a.shape == b.shape and np.array_equal(a[::16, ::16], b[::16, ::16]) and np.array_equal(a, b)


def notes_of(counts: Counts, name: str, most: int = 1) -> list[str]:
    """Say what pose features of such pictures are not to be trusted for.

    Args:
        counts: what was seen.
        name: of the encoder.
        most: people who were followed at a time.
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
    }
    notes += [
        f"{what} in {count} of {seen} pictures with a person" for what, count in parts.items() if 2 * count > seen
    ]
    if not counts.moved and seen >= _ENOUGH:
        notes.append(f"the person does not move in any of {seen} pictures (a picture of one?)")
    if counts.most > most:
        who = "the largest is" if most == 1 else f"the {most} largest are"
        notes.append(f"up to {counts.most} people are in the picture, {who} followed")
    return [f"{name}: {note}" for note in notes]
