"""The training set of the plan for people: streams of the figure and trials of real people, all filmed differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from ...annotations import AnnotatedVideo
from ...pose.skeleton import canonical
from ...pose.windows import features_of
from ...records import Features, Segment
from . import recordings
from .actions import ACTIONS
from .cameras import filmed
from .streams import FPS, write_clip, write_stream

#: How often each trial of a real person is filmed. Walking is most of what there is, so it is filmed less: a head that
#: sees real people walk and figures do all else learns to name people, not walking.
COPIES = {"walk": 5, "": 20}


#: Two kinds of streams and sessions in turn: short performances with much between them, and long ones with little.
_PACES: tuple[dict[str, Any], ...] = ({}, {"lengths": (3.0, 16.0), "idle": 0.35})
#: What clips show in turn: each action, and as often as four of them nothing that has a name.
_OF_CLIPS = (*ACTIONS, None, None, None, None)


@dataclass(frozen=True)
class Counts:
    """How much of each kind: streams of up to a minute, one of six without a named action; clips of a few seconds.

    sessions: streams of about two minutes in which eight classes occur, as in a workout.
    """

    streams: int = 1700
    clips: int = 2420
    sessions: int = 0


@dataclass(frozen=True)
class Example:
    """A video of the training set and its features."""

    video: AnnotatedVideo
    features: Features


def figures(subset: str, seed: int, counts: Counts, workers: int = 1, every: int = 1) -> list[Example]:
    """Make the examples of the figure. Bodies and performances of two subsets are different.

    Args:
        subset: name of the subset; its letters are part of the seed.
        seed: the same seed gives the same examples.
        counts: how many.
        workers: processes.
        every: make only each so many-th of the examples.
    """
    key = [seed, *subset.encode()]
    jobs = [("clip", i) for i in range(counts.clips)] + [("stream", i) for i in range(counts.streams)]
    jobs += [("session", i) for i in range(counts.sessions)]
    jobs = jobs[::every]
    make = partial(_figure, subset, key)
    if workers <= 1:
        return [make(job) for job in jobs]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(make, jobs, chunksize=32))


def _figure(subset: str, key: Sequence[int], job: tuple[str, int]) -> Example:
    kind, number = job
    own = [*key, *kind.encode(), number]
    name = f"{subset}_{kind}_{number:05d}"
    half = int(subset != "train")
    if kind == "clip":
        stream = write_clip(name, own, _OF_CLIPS[number % len(_OF_CLIPS)], own=half)
    elif kind == "session":
        classes = np.random.default_rng([*own, 2]).choice(list(ACTIONS), size=8, replace=False)
        stream = write_stream(name, own, actions=10, classes=[str(c) for c in classes], own=half, **_PACES[number % 2])
    else:
        stream = write_stream(name, own, actions=0 if number % 6 == 5 else None, own=half, **_PACES[number % 2])
    joints, visible = canonical(stream.joints, layout="figure18")
    if kind == "clip" and not stream.instances and number // len(_OF_CLIPS) % 3 == 0:
        visible *= 0.1  # nobody is in the picture
    poses = filmed(joints, visible, FPS, np.random.default_rng([*own, 1]))
    video = AnnotatedVideo(name, subset, stream.duration, stream.instances, background=not stream.instances)
    return Example(video, features_of(poses, duration=stream.duration))


def people(path: Path, subset: str, seed: int, persons: Sequence[str] = ("02", "03")) -> Iterator[Example]:
    """Film the trials of real persons, with labels of whole trials.

    Args:
        path: see `recordings.read_trials`.
        subset: name of the subset.
        seed: the same seed gives the same examples.
        persons: whose trials.

    Raises:
        DataError: see `recordings.read_trials`.
    """
    for trial in recordings.read_trials(path):
        if trial.person not in persons:
            continue
        visible = np.ones(trial.joints.shape[:2])
        for copy in range(COPIES.get(trial.labels[0] if trial.labels else "", COPIES[""])):
            rng = np.random.default_rng([seed, *trial.name.encode(), copy])
            poses = filmed(trial.joints, visible, recordings.FPS, rng)
            whole = tuple(Segment(0.0, trial.duration, n, 1.0) for n in trial.labels if n in recordings.THROUGHOUT)
            video = AnnotatedVideo(
                f"{trial.name}_{copy:02d}", subset, trial.duration, whole, video_labels=trial.labels,
                background=not trial.labels,
            )  # fmt: skip
            yield Example(video, features_of(poses, duration=trial.duration))
