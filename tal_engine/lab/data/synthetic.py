"""Planted actions at the level of features: what weakly supervised papers say is hard, with the truth known.

* I3D-like features respond strongly to the discriminative part of an action only. The other parts are
  sub-actions that several classes share and that also happen in the background (run-ups, standing up);
  they carry a weaker trace of the class, so that the information is there.
* CLIP-like features live in the space of the text tower. They respond to the whole action and, less, to its
  surroundings: the scene of an action is on screen before and after it.
* Videos are untrimmed, classes are imbalanced, some training labels are wrong.

`difficulty` moves all of it. Nothing here is made for a particular method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...errors import require
from ...records import Segment
from ...timeline import Timeline
from ..nn.hashed_text import HashedText

#: Class names; words shared by two of them make their texts alike.
NAMES = (
    "high jump", "long jump", "golf swing", "tennis swing", "pole vault", "hammer throw", "javelin throw",
    "cliff diving", "clean and jerk", "billiards", "cricket shot", "soccer penalty", "frisbee catch",
    "baseball pitch", "basketball dunk", "volleyball spiking", "rope skipping", "cartwheel", "archery", "rowing",
)  # fmt: skip

#: Geometry of I3D features, seconds.
TIMELINE = Timeline(0.0, 0.64, 0.64)

#: Moments that are mixed before they are averaged to a snippet: boundaries lie between snippets.
FINE = 4


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """What is planted. Ranges are [least, most], both included."""

    #: Videos of the training and test subsets.
    train: int = 120
    test: int = 60
    classes: int = 10
    #: Widths of the streams; `joint` is the CLIP-like one and the text tower.
    rgb: int = 64
    flow: int = 64
    joint: int = 64
    #: Of the text tower.
    text_seed: int = 0
    #: Snippets a video, instances a video, snippets an instance.
    snippets: tuple[int, int] = (60, 200)
    instances: tuple[int, int] = (2, 8)
    extent: tuple[int, int] = (5, 18)
    #: Probability of one, two, three classes in a video.
    mixed: tuple[float, float, float] = (0.7, 0.24, 0.06)
    #: Sub-actions an action consists of, and how many of them are discriminative.
    parts: int = 4
    discriminative: int = 1
    #: Exponent of the classes' frequencies; 0 is balanced.
    imbalance: float = 0.5
    #: Scales noise, incompleteness, clutter, context and wrong labels together.
    difficulty: float = 0.5
    #: CLIP-like response to the surroundings of an action, where the action itself gives 1; None goes with difficulty.
    #: Near 1, classes found by texts cover twice their actions.
    surroundings: float | None = None
    #: Share of a class's I3D-like features that its words give, where the rest is its own: classes that share a word
    #: look alike as far, as their texts do. 0 has texts that say nothing of features.
    words: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("difficulty", "words"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        around = self.surroundings
        require(around is None or 0 <= around <= 1, "surroundings", around, "in [0, 1], or none")
        for name in ("train", "test", "rgb", "flow", "joint", "parts", "discriminative"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("snippets", "instances", "extent"):
            low, high = getattr(self, name)
            require(1 <= low <= high, name, (low, high), "1 <= least <= most")
        most = min(self.train // 2, self.test)
        require(2 <= self.classes <= most, "classes", self.classes, "at least 2, and at most train / 2 and test")
        allowed = f"at most parts ({self.parts})"
        require(self.discriminative <= self.parts, "discriminative", self.discriminative, allowed)

    @property
    def noise(self) -> float:
        """Standard deviation of a feature's noise, where a response has length 4."""
        return 0.3 + 0.5 * self.difficulty

    @property
    def weak(self) -> float:
        """How much of its class the other parts of an action show, where the discriminative part shows 1."""
        return 0.6 - 0.4 * self.difficulty

    @property
    def context(self) -> float:
        """CLIP-like response to the surroundings of an action, where the action itself gives 1."""
        return 0.15 + 0.5 * self.difficulty if self.surroundings is None else self.surroundings

    @property
    def clutter(self) -> float:
        """Share of the background in which shared sub-actions happen without an action."""
        return 0.1 + 0.3 * self.difficulty

    @property
    def wrong_labels(self) -> float:
        """Share of training videos with a class missing or too many."""
        return 0.08 * self.difficulty


@dataclass(frozen=True)
class SimulatedVideo:
    """One video: truth, what weak supervision is told, and features by stream [T, D].

    discriminative: (start, end) seconds of the parts that the I3D-like features respond to.
    """

    name: str
    subset: str
    duration: float
    instances: tuple[Segment, ...]
    labels: tuple[str, ...]
    streams: dict[str, NDArray[np.float32]]
    discriminative: tuple[tuple[float, float], ...] = ()


class _Script:
    """Per moment (FINE a snippet): which part of which class, which background, how much scene of which class."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.part, self.label, self.ground, self.shared = (np.full(length, -1) for _ in range(4))
        self.scene = np.zeros(length)


class World:
    """What all videos of a simulation share: prototypes of classes, sub-actions, backgrounds and texts."""

    #: Background prototypes, and shared sub-actions.
    GROUNDS, SHARED = 8, 6

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = o = options
        self.names = tuple(NAMES[i] if i < len(NAMES) else f"action {i}" for i in range(o.classes))
        rng = np.random.default_rng([o.seed, 0])
        kinds = {"class": o.classes, "shared": self.SHARED, "ground": self.GROUNDS, "scene": o.classes}
        widths = {"rgb": o.rgb, "flow": o.flow}
        self.streams = {
            s: {kind: _unit(rng.normal(size=(n, width))) for kind, n in kinds.items()} for s, width in widths.items()
        }
        for stream, width in widths.items() if o.words else ():
            own = self.streams[stream]["class"]
            self.streams[stream]["class"] = _unit((1 - o.words) * own + o.words * self._of_words(stream, width))
        self.own = np.stack([rng.permutation(o.parts) < o.discriminative for _ in range(o.classes)])
        self.sub = rng.integers(self.SHARED, size=(o.classes, o.parts))
        text = HashedText(o.joint, o.text_seed)(list(self.names)).numpy().astype(np.float64)
        self.text = _unit(text)
        self.clip_ground = _unit(rng.normal(size=(self.GROUNDS, o.joint)))
        share = (1.0 + np.arange(o.classes)) ** -o.imbalance
        self.share = share / share.sum()

    def _of_words(self, stream: str, width: int) -> NDArray[np.float64]:
        """Return for each class the direction of its words, drawn independently of everything else."""
        rng = np.random.default_rng([self.options.seed, 3, len(stream)])
        words = dict.fromkeys(word for name in self.names for word in name.split())
        of = dict(zip(words, _unit(rng.normal(size=(len(words), width))), strict=True))
        return _unit(np.stack([np.sum([of[word] for word in name.split()], axis=0) for name in self.names]))

    def video(self, subset: str, index: int) -> SimulatedVideo:
        """Simulate a video; it depends on the seed, its subset and its index only."""
        o = self.options
        rng = np.random.default_rng([o.seed, 1 + (subset == "test"), index])
        snippets = int(rng.integers(o.snippets[0], o.snippets[1] + 1))
        present = self._present(rng, index)
        script = _Script(snippets * FINE)
        instances, parts = self._plant(rng, script, present)
        self._surround(rng, script, instances)
        truth = tuple(Segment(a * _MOMENT, b * _MOMENT, self.names[c], 1.0) for a, b, c in instances)
        return SimulatedVideo(
            name=f"video_{subset}_{index + 1:07d}",
            subset=subset,
            duration=snippets * TIMELINE.step,
            instances=truth,
            labels=self._told(rng, {c for _, _, c in instances}, subset),
            streams={**{s: self._i3d(rng, script, s) for s in self.streams}, "clip": self._clip(rng, script)},
            discriminative=tuple((a * _MOMENT, b * _MOMENT) for a, b in parts),
        )

    def _present(self, rng: np.random.Generator, index: int) -> NDArray[np.int64]:
        """Draw the classes of a video; the first videos of a subset go through all of them, twice."""
        o = self.options
        count = min(1 + int(rng.choice(3, p=o.mixed)), o.classes)
        drawn = rng.choice(o.classes, o.classes, replace=False, p=self.share)
        if index < 2 * o.classes:
            drawn = np.concatenate([[index % o.classes], drawn[drawn != index % o.classes]])
        return np.asarray(drawn[:count])

    def _plant(
        self, rng: np.random.Generator, script: _Script, present: NDArray[np.int64]
    ) -> tuple[list[tuple[int, int, int]], list[tuple[int, int]]]:
        """Plant instances (start, end, class) and discriminative parts, in moments; neither overlap."""
        o = self.options
        wanted = max(int(rng.integers(o.instances[0], o.instances[1] + 1)), len(present))
        order = [*present, *rng.choice(present, wanted - len(present))]
        instances: list[tuple[int, int, int]] = []
        strong: list[tuple[int, int]] = []
        for c in order:
            extent = int(np.exp(rng.uniform(*np.log(o.extent))) * FINE)
            extent = max(o.parts, min(extent, script.length // (len(order) + 1)))
            for start in rng.integers(0, script.length - extent + 1, 50):
                apart = script.part[max(0, start - 2 * FINE) : start + extent + 2 * FINE]
                if (apart < 0).all():
                    break
            else:
                continue
            instances.append((int(start), int(start) + extent, int(c)))
            cuts = np.concatenate([[0], np.cumsum(rng.dirichlet(np.full(o.parts, 6.0)))])
            edges = int(start) + np.round(cuts * extent).astype(int)
            for p, (a, b) in enumerate(pairwise(edges)):
                script.part[a:b], script.label[a:b] = p, c
                if self.own[c, p] and b > a:
                    strong.append((int(a), int(b)))
        return sorted(instances), sorted(strong)

    def _surround(self, rng: np.random.Generator, script: _Script, instances: list[tuple[int, int, int]]) -> None:
        """Add background scenes, sub-actions outside of actions, and the surroundings of each action."""
        o = self.options
        for span in _spans(rng, script.length, 5, 25):
            script.ground[span] = rng.integers(self.GROUNDS)
        for span in _spans(rng, script.length, 2, 8):
            if rng.random() < o.clutter:
                script.shared[span] = rng.integers(self.SHARED)
        for a, b, c in instances:
            before, after = (rng.uniform(0.3, 1.0, 2) * (b - a)).astype(int)
            around = slice(max(0, a - before), b + after)
            outside = script.part[around] < 0
            script.label[around] = np.where(outside, c, script.label[around])
            script.scene[around] = np.maximum(script.scene[around], o.context)

    def _told(self, rng: np.random.Generator, true: set[int], subset: str) -> tuple[str, ...]:
        labels = set(true)
        if subset != "test" and rng.random() < self.options.wrong_labels:
            if len(labels) > 1:
                labels.discard(int(rng.choice(sorted(labels))))
            else:
                labels.add(int(rng.integers(self.options.classes)))
        return tuple(sorted(self.names[c] for c in labels))

    def _i3d(self, rng: np.random.Generator, script: _Script, stream: str) -> NDArray[np.float32]:
        """Simulate I3D: strong on discriminative parts; elsewhere the shared sub-action and a trace of the class."""
        o, of = self.options, self.streams[stream]
        inside = script.part >= 0
        part, label = script.part, np.maximum(script.label, 0)
        own = inside & self.own[label, part]
        x = 0.7 * of["ground"][script.ground]
        x = x + (0.25 * script.scene)[:, None] * of["scene"][label] * (script.label >= 0)[:, None]
        x = x + np.where(own, 1.0, np.where(inside, o.weak, 0.0))[:, None] * of["class"][label]
        shared = np.where(inside & ~own, self.sub[label, part], np.where(inside, -1, script.shared))
        x = x + 0.8 * (shared >= 0)[:, None] * of["shared"][shared]
        clean = 4.0 * x.reshape(-1, FINE, x.shape[1]).mean(1)
        return np.asarray(np.maximum(0.5 + clean + _noise(rng, clean.shape, o.noise), 0), np.float32)

    def _clip(self, rng: np.random.Generator, script: _Script) -> NDArray[np.float32]:
        """Simulate CLIP: the class's text in every part of its action, less of it around it, and the background."""
        o = self.options
        inside, label = script.part >= 0, np.maximum(script.label, 0)
        response = np.where(inside, 1.0, script.scene) * (script.label >= 0)
        x = response[:, None] * self.text[label] + 0.8 * self.clip_ground[script.ground]
        clean = 4.0 * x.reshape(-1, FINE, x.shape[1]).mean(1)
        features = _unit(clean + _noise(rng, clean.shape, 1.6 * o.noise))
        return features.astype(np.float32)


_MOMENT = TIMELINE.step / FINE


def _spans(rng: np.random.Generator, length: int, least: int, most: int) -> Iterator[slice]:
    """Cut moments into spans of `least` to `most` - 1 snippets; each is drawn when the one before is done with."""
    at = 0
    while at < length:
        end = at + int(rng.integers(least, most)) * FINE
        yield slice(at, end)
        at = end


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def _noise(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> NDArray[np.float64]:
    """Draw noise of standard deviation `scale` whose neighbours in time correlate by 0.5."""
    fresh = rng.normal(size=(shape[0] + 1, *shape[1:]))
    return np.asarray(scale * (fresh[1:] + fresh[:-1]) / np.sqrt(2))


def simulate(options: SimulatorOptions) -> list[SimulatedVideo]:
    """Simulate all videos: the training ones ("validation", as in THUMOS14), then those of "test"."""
    world = World(options)
    counts = (("validation", options.train), ("test", options.test))
    return [world.video(subset, i) for subset, count in counts for i in range(count)]
