"""What a teacher says of whole videos: its features, its activations, its segments. No labels are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..._util.names import file_names
from ...backends import open_backend
from ...engine import TALEngine
from ...errors import DataError, PlanError, PlanFault, TALError, UsageError
from ...features import EncoderGraph, load_features
from ...inference.extraction import Extractor, extract_all
from ...plan.archive import Plan
from ...pose.plans import open_plan
from ...records import Features, Scored, Segment
from ...timeline import Timeline

#: Called with (task, done, total, note).
Bar = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Teacher:
    """A plan that others learn from: its graphs, opened.

    engine: localizes its features. extractor: makes them of videos. overlap: it makes so many snippets in place of
    one, which overlap; the engine sees every so many-th.
    """

    plan: Plan
    engine: TALEngine
    extractor: Extractor
    overlap: int = 1


@dataclass(frozen=True)
class VideoTargets:
    """What a teacher says of one video.

    features: [T, D] by stream. scored: what its head gives, such as activations [T, C]. segments: every one, with raw
    scores, best first. finals: those that it shows, at its operating point.
    """

    name: str
    path: Path
    features: Features
    scored: Scored
    segments: tuple[Segment, ...]
    finals: tuple[Segment, ...]


@dataclass(frozen=True)
class Targets:
    """Of all videos that could be read, by name; and why others could not."""

    videos: dict[str, VideoTargets]
    failed: dict[str, str]
    warnings: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[VideoTargets]:
        return iter(self.videos.values())


def open_teacher(plan: str | Path | Plan, device: str = "auto", overlap: int = 1) -> Teacher:
    """Open a plan as a teacher.

    Args:
        plan: a plan, its path, or the name of one that ships ("demo").
        device: as `TALEngine.load` takes it.
        overlap: see `Teacher`; a divisor of the plan's stride.

    Raises:
        PlanError: it is damaged, or has no encoders: then nothing says what its features are of videos.
        UsageError: it reads skeletons, which a student of pixels cannot stand for, takes its classes as texts, or is a
            student of streams.
        BackendError: it cannot run here.
    """
    found = plan if isinstance(plan, Plan) else open_plan(plan)
    manifest = found.manifest
    if not manifest.encoders:
        raise PlanError(
            PlanFault.NO_ENCODER,
            f"plan {manifest.name} has no encoders: a teacher must localize videos; "
            "tal export checkpoint --encoders puts them inside",
        )
    if manifest.pose_encoder is not None:
        raise UsageError(
            f"plan {manifest.name} reads skeletons (encoder {manifest.pose_encoder.name}): a student of pixels can "
            "follow no people and read no skeletons; a teacher's encoders read frames or flow"
        )
    if manifest.texts is not None:
        raise UsageError(
            f"plan {manifest.name} takes its classes as texts: a student knows those of its teacher alone; take a plan "
            "with a head that was trained"
        )
    if manifest.online is not None:
        raise UsageError(f"plan {manifest.name} is a student of streams itself: take the plan that taught it")
    encoders = [
        EncoderGraph(e, open_backend(found.files[e.graph.member], e.graph.member, device, threads=1, spec=e.graph))
        for e in manifest.graph_encoders
    ]
    snippet = replace(manifest.snippet, stride=manifest.snippet.stride // overlap)
    return Teacher(found, TALEngine(found, device, threads=1), Extractor(snippet, encoders), overlap)


def thinned(features: Features, every: int) -> Features:
    """Take every so many-th snippet, as if no others had been made.

    >>> from tal_engine import Features, Timeline
    >>> features = Features({"rgb": np.zeros((5, 4), np.float32)}, Timeline(0.0, 0.32, 0.64), 1.92)
    >>> len(thinned(features, 2)), thinned(features, 2).timeline.step
    (3, 0.64)
    """
    if every == 1:
        return features
    time, contract = features.timeline, dict(features.contract)
    if "snippet" in contract:
        contract["snippet"] = {**contract["snippet"], "stride": contract["snippet"]["stride"] * every}
    streams = {n: x[::every] for n, x in features.streams.items()}
    return Features(streams, Timeline(time.start, time.step * every, time.width), features.duration, contract)


def gather_targets(
    teacher: Teacher, videos: Sequence[Path], folder: Path, bar: Bar | None = None, workers: int = 2
) -> Targets:
    """Let the teacher see videos, each from its beginning to its end.

    Features are kept in ``FOLDER/NAME.npz``: what is there already, made by the same encoders, is not made again.

    Args:
        teacher: see `open_teacher`.
        videos: files.
        folder: where features are kept.
        bar: gets the progress.
        workers: videos that are worked on at a time.

    Raises:
        DataError: not one video can be read, or none was given.
        FeatureError: a feature file that is there was made of something else; it is kept, the message names it.
    """
    if not videos:
        raise DataError("no videos to learn from")
    shares: dict[Path, float] = {}

    def progress(path: Path, share: float) -> None:
        shares[path] = share
        done = sum(s >= 1 for s in shares.values())
        if bar is not None:
            bar("teacher", round(100 * sum(shares.values())), 100 * len(videos), f"{done}/{len(videos)} videos")

    outcome = extract_all(videos, folder, teacher.extractor, workers=workers, progress=progress)
    names = dict(zip(videos, file_names(videos, folders=True), strict=True))
    failed = {names[p]: str(e) for p, e in outcome.failed.items()}
    if len(failed) == len(videos):
        raise DataError(f"no video can be read; the first: {next(iter(failed.values()))}")
    made = {names[p]: _seen(teacher, p, names[p], folder) for p in videos if names[p] not in failed}
    return Targets(made, failed, {names[p]: list(notes) for p, notes in outcome.warnings.items()})


def _seen(teacher: Teacher, path: Path, name: str, folder: Path) -> VideoTargets:
    features = load_features(folder / f"{name}.npz")
    heard = thinned(features, teacher.overlap)
    raw = teacher.engine.localize(heard, min_score=-np.inf, top_k=0, calibrated=False)
    shown = teacher.engine.localize(heard)
    if raw.activations is None:
        raise TALError(f"{name}: the teacher's head gave nothing")
    return VideoTargets(name, path, features, raw.activations, tuple(raw), tuple(shown))
