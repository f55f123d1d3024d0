"""People from picture to picture: who is who, and when the detector has to look again. Time a picture is bounded.

A picture costs one call of the landmark graph for all people, and one of the detector when nobody is followed, when
fewer are than may be, or once a second: what the detector does not confirm is no person for long. Where a person is
looked for follows from the points of the picture before. A track depends on its pictures, their order and their times,
on nothing else; so it is the same however the pictures come in parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from . import gates
from .detection import Detection
from .estimator import PoseEstimator
from .landmarks import Landmarks
from .one_euro import OneEuro, Smoothing
from .region import Region

#: What changes results; part of the feature contract, another text for each change.
RULES = "BlazePose, tracked; rules 2"

#: Smoothing of points in the picture, of where to look next, and of points in space (MediaPipe's, which are public).
_PICTURE, _GUIDES, _WORLD = Smoothing(0.05, 80.0), Smoothing(0.01, 10.0), Smoothing(0.1, 40.0)

#: What begins a person: the detector's score, presence, sides of the body that are as alike, and the distance between
#: the middles of the hips that detector and landmarks see, in radii of the body. Hips may be farther apart, as they are
#: of people that are small in the picture, where presence and visibility are high and the head is up (radians).
_BEGIN_SCORE, _BEGIN_PRESENCE, _BEGIN_ALIKE, _BEGIN_HIPS = 0.5, 0.6, 0.4, 0.1
_BEGIN_FAR_HIPS, _SURE_PRESENCE, _SURE_VISIBLE, _UPRIGHT = 0.2, 0.97, 0.75, 2.0
#: What a person must keep to be followed.
_KEEP_PRESENCE, _KEEP_INSIDE, _KEEP_OFF = 0.5, 0.75, 0.35
#: Points farther away, in sides of the square or metres, are of no person.
_FAR = 100.0
#: What confirms a person that is followed (score, hips), and how many looks in a row may fail to. A newcomer is looked
#: at more often for a while, and has to be confirmed each time and better.
_CONFIRM, _STRIKES = (0.25, 0.25), 1
_CONFIRM_NEW, _NEW_S, _LOOK_NEW_S = (0.4, 0.2), 1.0, 0.25
#: Seconds between two looks for confirmation and newcomers; after so many pictures without anybody, the detector looks
#: at every fourth.
_LOOK_S, _PATIENCE = 1.0, 25
#: Of so many pictures without anybody one is looked at closely; the detector looks at it in any case.
_CLOSELY = 8
#: Detections whose hips are as near belong to a person that is followed.
_SAME_HIPS = 0.3
#: Of people with less of a region than this little is seen, pixels: 1.25 times the height of the body.
SMALL = 48
_SMALL_SIDE = 1.25 * SMALL
#: Most people that can be followed at a time.
MOST_PEOPLE = 16
#: A person that was lost keeps its number for so long, seconds.
_REMEMBERED_S = 1.0


@dataclass(frozen=True)
class PoseOptions:
    """How people are followed.

    >>> PoseOptions(people=2).people
    2
    """

    #: At most so many are followed, largest first.
    people: int = 1

    def __post_init__(self) -> None:
        require(1 <= self.people <= MOST_PEOPLE, "people", self.people, f"in 1..{MOST_PEOPLE}")


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """A person in a picture.

    subject: a number that stays with the person. points: [33, 3] pixels, depth in pixels. world: [33, 3] metres around
    the middle of the hips. visible: [33] in [0, 1]. score: of the detector when it saw the person last. presence: in
    [0, 1]. region: where it was looked for.
    """

    subject: int
    points: NDArray[np.float32]
    world: NDArray[np.float32]
    visible: NDArray[np.float32]
    score: float
    presence: float
    region: Region


@dataclass
class _Track:
    """A person that is followed."""

    subject: int
    region: Region
    score: float
    begun: float
    strikes: int = 0
    picture: OneEuro = field(default_factory=lambda: OneEuro(_PICTURE))
    guides: OneEuro = field(default_factory=lambda: OneEuro(_GUIDES))
    space: OneEuro = field(default_factory=lambda: OneEuro(_WORLD))

    def confirmed_by(self, d: Detection, person: Person, seconds: float) -> bool:
        """Return whether the detector saw the same person."""
        score, hips = _CONFIRM_NEW if seconds - self.begun < _NEW_S else _CONFIRM
        return d.score >= score and _hips_apart(d, person.points) <= hips

    def confirm(self, scores: Sequence[float], seconds: float) -> None:
        """Take the scores of the detections that confirm it, if any do."""
        self.strikes = 0 if scores else self.strikes + (1 if seconds - self.begun >= _NEW_S else _STRIKES + 1)
        self.score = max(scores, default=self.score)

    def seen(self, found: Landmarks, seconds: float) -> Person:
        """Take the points of a picture and turn to where the person will be."""
        region = self.region
        points = self.picture(region.to_picture(found.points), seconds, region.side)
        world = self.space(region.to_world(found.world), seconds)
        guides = self.guides(region.to_picture(found.guides), seconds, region.side)
        self.region = Region.around(guides[0], guides[1])
        return Person(self.subject, points, world, found.visible, self.score, found.presence, region)


@dataclass
class Counts:
    """What was seen in the pictures of a track, for warnings."""

    pictures: int = 0
    empty: int = 0
    refused: int = 0
    half: int = 0
    upside_down: int = 0
    small: int = 0
    most: int = 0
    moved: bool = False


class PoseTracker:
    """The people of one video or stream. Not safe to share between threads."""

    def __init__(self, options: PoseOptions | None = None, counts: Counts | None = None) -> None:
        self.options = options or PoseOptions()
        self.counts = counts or Counts()
        self._tracks: list[_Track] = []
        self._lost: list[tuple[float, _Track]] = []
        self._next = 0
        self._looked = -np.inf
        self._idle = 0

    def __call__(self, estimator: PoseEstimator, image: NDArray[np.uint8], seconds: float) -> list[Person]:
        """Find the people of the next picture, in the order of their numbers.

        Args:
            estimator: the graphs.
            image: [H, W, 3] uint8 RGB.
            seconds: its time, after the last one's.

        Raises:
            BackendError: a graph failed; the tracker goes on with the next picture.
        """
        size = image.shape[:2]
        regions = [t.region for t in self._tracks]
        seen = estimator.locate(image, regions)
        people, kept = [], list[_Track]()
        for track, found in zip(self._tracks, seen, strict=True):
            if _holds(found, track.region):
                people.append(track.seen(found, seconds))
                if track.region.is_sound(*size) and not any(track.region.near(k.region) for k in kept):
                    kept.append(track)
                    continue
            self._lost.append((seconds, track))
        self._tracks = kept
        people = [p for p in people if any(p.subject == t.subject for t in kept)]
        if self._due(seconds):
            people += self._look(estimator, image, seconds, people)
        self._lost = [(at, t) for at, t in self._lost if seconds - at <= _REMEMBERED_S]
        self._idle = 0 if people else self._idle + 1
        _count(self.counts, people)
        return sorted(people, key=lambda p: p.subject)

    def _due(self, seconds: float) -> bool:
        """Return whether the detector has to look at this picture."""
        if not self._tracks:
            return self._idle < _PATIENCE or self._idle % 4 == 3
        new = any(seconds - t.begun < _NEW_S for t in self._tracks)
        return seconds - self._looked >= (_LOOK_NEW_S if new else _LOOK_S) - 1e-6

    def _look(
        self, estimator: PoseEstimator, image: NDArray[np.uint8], seconds: float, people: Sequence[Person]
    ) -> list[Person]:
        """Confirm who is followed, drop who is not confirmed, and begin with who is new."""
        self._looked = seconds
        # Closely for several people, who are smaller in pictures, for somebody whom the last look did not confirm, and
        # now and then for anybody where nobody was found.
        unsure = any(t.strikes for t in self._tracks) or (not self._tracks and self._idle % _CLOSELY == _CLOSELY - 1)
        found = estimator.detect(image, closely=unsure or self.options.people > 1)
        self.counts.most = max(self.counts.most, sum(d.score >= _BEGIN_SCORE for d in found))
        free = [d for d in found if not any(_hips_apart(d, p.points) <= _SAME_HIPS for p in people)]
        for person in people:
            track = next(t for t in self._tracks if t.subject == person.subject)
            track.confirm([d.score for d in found if track.confirmed_by(d, person, seconds)], seconds)
        self._tracks = [t for t in self._tracks if t.strikes <= _STRIKES]
        room = self.options.people - len(self._tracks)
        near = [d for d in free if d.score >= _BEGIN_SCORE and (not unsure or _stands(d))]
        new = sorted(near, key=lambda d: -d.radius)[:room]
        return self._begin(estimator, image, seconds, new)

    def _begin(
        self, estimator: PoseEstimator, image: NDArray[np.uint8], seconds: float, new: Sequence[Detection]
    ) -> list[Person]:
        regions = [Region.around(d.points[0], d.points[1]) for d in new]
        new, regions = _sound(new, regions, image.shape)
        people = []
        for d, region, found in zip(new, regions, estimator.locate(image, regions), strict=True):
            if not _begins(d, found, region):
                self.counts.refused += 1
                continue
            track = self._track(region, d.score, seconds)
            people.append(track.seen(found, seconds))
            if track.region.is_sound(*image.shape[:2]):
                self._tracks.append(track)
        return people

    def _track(self, region: Region, score: float, seconds: float) -> _Track:
        """Begin a track, under the number of one that was lost nearby a moment ago."""
        for i, (_, lost) in enumerate(self._lost):
            if lost.region.near(region):
                del self._lost[i]
                return _Track(lost.subject, region, score, lost.begun)
        self._next += 1
        return _Track(self._next - 1, region, score, seconds)


def _sound(
    found: Sequence[Detection], regions: Sequence[Region], shape: tuple[int, ...]
) -> tuple[list[Detection], list[Region]]:
    kept = [(d, r) for d, r in zip(found, regions, strict=True) if r.is_sound(shape[0], shape[1])]
    return [d for d, _ in kept], [r for _, r in kept]


def _stands(d: Detection) -> bool:
    """Return whether somebody is not upside down; of those, only what is large in a picture begins a person."""
    return abs(Region.around(d.points[0], d.points[1]).angle) < _UPRIGHT


def _begins(d: Detection, found: Landmarks, region: Region) -> bool:
    """Return whether what was detected is a person, by the detector and by the points that were found there."""
    apart = _hips_apart(d, region.to_picture(found.points))
    visible = float(found.visible[gates.LIMBS].mean())
    upright = abs(region.angle) < _UPRIGHT
    sure = upright and found.presence >= _SURE_PRESENCE and visible >= _SURE_VISIBLE
    near = apart <= (_BEGIN_FAR_HIPS if sure else _BEGIN_HIPS)
    return (
        near
        and found.presence >= _BEGIN_PRESENCE
        and gates.alike(found.world) >= _BEGIN_ALIKE
        and _holds(found, region)
    )


def _holds(found: Landmarks, region: Region) -> bool:
    """Return whether points hold together as those of a person in its square."""
    parts = (found.points, found.world, found.guides)
    if not all(np.isfinite(a).all() and np.abs(a).max() < _FAR for a in parts):
        return False
    if not found.presence >= _KEEP_PRESENCE or gates.inside(found.points) < _KEEP_INSIDE:
        return False
    fit = gates.fitted(region.to_picture(found.points), region.to_world(found.world))
    return fit.scale > 0 and fit.off <= _KEEP_OFF


def _hips_apart(d: Detection, points: NDArray[np.float32]) -> float:
    """Return the distance between the middles of the hips by detector and landmarks, in radii of the body."""
    middle = points[[23, 24], :2].mean(0)
    return float(np.hypot(*(middle - d.points[0]))) / max(d.radius, 1e-6)


def _count(counts: Counts, people: Sequence[Person]) -> None:
    """Enter a picture into the counts."""
    counts.pictures += 1
    counts.most = max(counts.most, len(people))
    if not people:
        counts.empty += 1
        return
    first = people[0]
    counts.half += bool(first.visible[[25, 26, 27, 28]].max() < 0.3)
    counts.upside_down += bool(abs(first.region.angle) > np.radians(135))
    counts.small += bool(first.region.side < _SMALL_SIDE)
