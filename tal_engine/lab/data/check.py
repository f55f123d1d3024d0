"""Looks a data set over before anything is trained on it: every video, every file, nothing in silence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..._util.files import write_text
from ...annotations import AnnotatedVideo, Annotations, Labels, read_annotations, read_labels
from ...annotations.labels import TABLES
from ...annotations.points import points_outside, read_fps
from ...annotations.readers import read_json
from ...errors import DataError, TALError
from ...records import Features
from .dataset import DataSet, labels_of, of_description
from .description import Description, excluded, read_description
from .feature_store import StoredFeatures
from .label_media import probed
from .label_splits import Split, roles_of

#: The end of the features may differ from the annotated duration by this many snippets and this share of it:
#: the last window is incomplete and dropped, and re-encoding moves the end a little.
LENGTH_SNIPPETS, LENGTH_SHARE = 2.0, 0.01

#: Frame rates of two tables may differ by this much, frames a second.
FPS_TOLERANCE = 0.1

#: What each kind of finding means; the first ones exclude a video.
FATAL = {
    "features": "features missing, unreadable, NaN, of another width, or shorter than the instances",
    "no label": "training videos without a label",
    "excluded": "left out by the description",
}
NOTES = {
    "too short": "fewer snippets than min_snippets: neither trained on nor localized, but their truth counts",
    "labels": "labels of the whole video differ from the classes of its instances",
    "length": f"features end more than {LENGTH_SNIPPETS:g} snippets + {LENGTH_SHARE:.0%} from the annotated duration",
    "beyond": "instances end more than a snippet after the annotated duration",
    "fps": f"frame rates of two tables differ by more than {FPS_TOLERANCE:g}",
    "points": "point labels outside every instance of their class",
    "no points": "training videos without point labels",
    "same features": "the same features as another video",
    "no instances": "test videos without instances",
}


@dataclass(frozen=True)
class Finding:
    """One thing about one video; `kind` is a key of `FATAL` or `NOTES`."""

    kind: str
    video: str
    message: str


@dataclass
class Report:
    """What `check` found. counts: role (or subset) -> what is counted. usable: the same -> names.

    labels: those of a file that people wrote, where there is one. notes: on how its videos are used.
    """

    name: str
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    usable: dict[str, list[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    labels: Labels | None = None
    notes: tuple[str, ...] = ()

    def of(self, kind: str) -> list[Finding]:
        """Return the findings of a kind."""
        return [f for f in self.findings if f.kind == kind]

    def document(self) -> dict[str, Any]:
        """Return the manifest: usable videos, excluded ones and why, and other findings."""
        out: dict[str, list[str]] = {}
        notes: dict[str, dict[str, str]] = {}
        for f in self.findings:
            if f.kind in FATAL:
                out.setdefault(f.video, []).append(f"{f.kind}: {f.message}")
            else:
                notes.setdefault(f.kind, {})[f.video] = f.message
        found = {"name": self.name, "counts": self.counts, "usable": self.usable, "excluded": out, "notes": notes}
        if self.labels is None:
            return found
        return {**found, "labels": {**self.labels.document(), "roles": list(self.notes)}}


def check(
    path: Path,
    *,
    allow_pickle: bool = False,
    labels: Path | None = None,
    split: Split | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Report, dict[str, Any]]:
    """Check a description, annotations or a table of labels alone, or with `labels` a folder of videos and its labels.

    Returns:
        The report, and its document.

    Raises:
        DataError: it cannot be opened at all; the message names what is wrong.
    """
    if labels is not None:
        if not path.is_dir():
            raise DataError(f"{path}: no such folder of videos").missing()
        report = _of_labels(path, probed(read_labels(labels, path, allow_pickle=allow_pickle), progress), split)
    elif path.suffix.lower() in TABLES:
        report = _of_labels(path, read_labels(path), split)
    elif _is_description(path):
        report = _of_description(path, allow_pickle, progress)
    else:
        source = path / "annotations.json" if (path / "annotations.json").exists() else path
        report = _of_annotations(read_annotations(source, allow_pickle=allow_pickle))
    return report, report.document()


def _of_description(path: Path, allow_pickle: bool, progress: Callable[[int, int], None] | None) -> Report:
    description = read_description(path)
    data = of_description(description, path.parent, path, allow_pickle=allow_pickle)
    report = Report(description.name)
    annotated: Iterable[AnnotatedVideo] = data.videos
    if description.annotations is None:
        report.labels, report.notes = labels_of(description, path.parent), data.notes
    else:
        annotated = read_annotations(path.parent / description.annotations, allow_pickle=allow_pickle)
    for name, why in excluded(description, path.parent).items():
        report.findings.append(Finding("excluded", name, why))
    names = {v.name: v for v in data.videos}
    report.findings += _of_videos(v for v in annotated if v.name in names)
    report.findings += _of_points(data, description, path.parent)
    if description.features or description.label_file is None:
        report.findings += _of_features(data, description, progress)
    _count(report, data)
    return report


def write_manifest(path: Path, document: Mapping[str, Any]) -> None:
    """Write the manifest; a description's `exclude` may name it."""
    import json

    write_text(path, json.dumps(document, indent=1) + "\n")


def _is_description(path: Path) -> bool:
    if path.suffix in (".yaml", ".yml"):
        return True
    if path.suffix != ".json":
        return False
    document = read_json(path)
    return isinstance(document, dict) and any(isinstance(document.get(k), str) for k in ("annotations", "labels"))


def _of_labels(folder: Path, labels: Labels, split: Split | None) -> Report:
    report = Report(folder.resolve().name, labels=labels)
    found = roles_of(labels, split or Split())
    report.notes = found.notes
    for role in sorted(set(found.subsets.values())):
        videos = [v.annotated(role) for v in labels if found.subsets[v.name] == role]
        report.counts[role] = _counted(videos, len(videos))
        report.usable[role] = [v.name for v in videos]
    return report


def _of_annotations(annotations: Annotations) -> Report:
    report = Report(annotations.source.name)
    report.findings += _of_videos(annotations)
    for subset in sorted({v.subset for v in annotations}):
        videos = [v for v in annotations if v.subset == subset]
        report.counts[subset] = _counted(videos, len(videos))
        report.usable[subset] = [v.name for v in videos]
    return report


def _of_videos(videos: Iterable[AnnotatedVideo]) -> Iterator[Finding]:
    for v in videos:
        if v.video_labels is not None and v.instances and v.video_labels != v.instance_labels:
            given, true = ", ".join(v.video_labels) or "none", ", ".join(v.instance_labels)
            yield Finding("labels", v.name, f"video: {given}; instances: {true}")
        last = max((s.end for s in v.instances), default=0.0)
        if v.duration and last > v.duration + 0.64:
            yield Finding("beyond", v.name, f"an instance ends at {last:.2f} s, the video at {v.duration:.2f} s")


def _of_points(data: DataSet, description: Description, root: Path) -> Iterator[Finding]:
    if data.points is None or description.points is None:
        return
    outside: dict[str, list[str]] = {}
    for name, p in points_outside(data.points, data.videos):
        outside.setdefault(name, []).append(f"{p.seconds:.2f} s {p.label}")
    for name, those in outside.items():
        yield Finding("points", name, f"{len(those)}: {', '.join(those[:5])}")
    for v in data.truth("train") if data.has("train") else ():
        if v.name not in data.points:
            yield Finding("no points", v.name, "no point label")
    fps = read_fps(root / description.points.fps) if description.points.fps is not None else {}
    for v in data.videos:
        if v.fps and v.name in fps and abs(v.fps - fps[v.name]) > FPS_TOLERANCE:
            yield Finding("fps", v.name, f"annotations: {v.fps:g}, {description.points.fps}: {fps[v.name]:g}")


def _of_features(
    data: DataSet, description: Description, progress: Callable[[int, int], None] | None
) -> Iterator[Finding]:
    streams = [s for spec in description.features for s in spec.names]
    videos = [v for role in data.roles if data.has(role) for v in data.truth(role)]
    seen: dict[bytes, str] = {}
    for i, v in enumerate(videos if streams else ()):
        try:
            features = data.source.load(v, streams)
        except TALError as e:
            yield Finding("features", v.name, str(e))
        else:
            yield from _of_one(data, v, features, seen)
        if progress is not None:
            progress(i + 1, len(videos))
    for role in data.roles if data.has("train") else ():
        for v in data.truth(role) if data.has(role) else ():
            if role == "train" and not v.labels and not v.background:
                yield Finding("no label", v.name, "no label")
            if role != "train" and not v.instances and not v.background:
                yield Finding("no instances", v.name, "nothing to find in it")


def _of_one(data: DataSet, v: AnnotatedVideo, features: Features, seen: dict[bytes, str]) -> Iterator[Finding]:
    count = len(features)
    if count < data.min_snippets:
        yield Finding("too short", v.name, f"{count} snippets, min_snippets is {data.min_snippets}")
    end = float(data.timeline.right(count))
    if v.duration and abs(end - v.duration) > LENGTH_SNIPPETS * data.timeline.step + LENGTH_SHARE * v.duration:
        yield Finding("length", v.name, f"{count} snippets end at {end:.2f} s, the video at {v.duration:.2f} s")
    if isinstance(data.source, StoredFeatures) and (missing := data.source.shortfall(v, count)) > data.timeline.width:
        yield Finding("length", v.name, f"{count} snippets end {missing:.2f} s before the last instance")
    digest = hashlib.blake2b(next(iter(features.streams.values())).tobytes()).digest()
    if (other := seen.setdefault(digest, v.name)) != v.name:
        yield Finding("same features", v.name, f"as {other}")


def _count(report: Report, data: DataSet) -> None:
    out = {f.video for f in report.findings if f.kind in FATAL or f.kind == "too short"}
    for role in data.roles:
        videos = data.truth(role) if data.has(role) else []
        report.usable[role] = [v.name for v in videos if v.name not in out]
        report.counts[role] = _counted(videos, len(report.usable[role]))


def _counted(videos: list[AnnotatedVideo], usable: int) -> dict[str, int]:
    return {
        "videos": len(videos),
        "usable": usable,
        "instances": sum(len(v.instances) for v in videos),
        "ambiguous": sum(len(v.ambiguous) for v in videos),
        "classes": len({label for v in videos for label in v.labels}),
        "of several classes": sum(len(v.labels) > 1 for v in videos),
    }


def require_usable(report: Report, source: Path) -> None:
    """Raise where nothing is left.

    Raises:
        DataError: no video of any role is usable.
    """
    if not any(report.usable.values()):
        first = next((f for f in report.findings if f.kind in FATAL), None)
        why = f"; the first: {first.video}: {first.message}" if first is not None else ""
        raise DataError(f"{source}: no video is usable{why}")
