"""When a fit cannot work: found before it takes an hour, all problems in one message, with what would help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...annotations.labels import LEAST_VIDEOS, Kind
from ...errors import FitError
from ...records import Features
from .material import FeaturesOf, Material, some

#: Videos in all. With labels of videos and fewer of them, chance deals out the right labels too often.
LEAST_IN_ALL: Mapping[Kind, int] = {"video": 8, "point": 6, "segment": 6}
#: A feature varies if its standard deviation is above this share of its root mean square.
_VARIES = 1e-4
#: Two videos whose mean features are this alike, as a share of the spread of snippets, are the same to a head.
_SAME = 1e-3


def check_labels(material: Material, least: int = LEAST_VIDEOS) -> list[str]:
    """Refuse labels that nothing can be learned or measured from; warnings where it goes on.

    Raises:
        FitError: naming all that is missing, and what would help.
    """
    problems = [*_too_few(material, least), *_nothing_to_tell(material)]
    if problems:
        raise FitError("cannot fit on these labels:\n  " + "\n  ".join(problems))
    return _always_there(material)


def _too_few(material: Material, least: int) -> list[str]:
    items, groups, out = material.videos, material.groups, []
    needed = LEAST_IN_ALL[material.measured]
    if len(items) < needed:
        out.append(f"{len(items)} videos, at least {needed} are needed: some are held out to measure on")
    for label in material.vocabulary:
        having = {g for g, item in zip(groups, items, strict=True) if label in item.labels}
        if len(having) < least:
            what = "videos" if len(set(groups)) == len(groups) else "groups of videos"
            out.append(
                f"class {label!r} is in {len(having)} {what}, needs {least}: label {least - len(having)} more, or take "
                "its rows out"
            )
    return out


def _nothing_to_tell(material: Material) -> list[str]:
    """From labels of videos alone, a class is what videos with it have and others have not."""
    if material.kind != "video":
        return []
    always = [c for c in material.vocabulary if all(c in item.labels for item in material.videos)]
    if len(always) < len(material.vocabulary):
        return []
    names = ", ".join(map(repr, always))
    return [
        f"every video has {names}, so nothing tells the action from what is around it: add videos without it (a row "
        "with an empty label), label a second class, or click one moment of each action (--task points)"
    ]


def _always_there(material: Material) -> list[str]:
    if material.kind != "video":
        return []
    always = [c for c in material.vocabulary if all(c in item.labels for item in material.videos)]
    return [
        f"class {c!r} is in every video, so labels of videos say nothing of when it occurs: click moments of it "
        "(--task points), or cut the videos"
        for c in always
    ]


def check_features(features: FeaturesOf, names: Sequence[str], encoders: str) -> None:
    """Refuse features in which nothing differs: of black, frozen or identical videos, or of an unfit encoder.

    Raises:
        FitError: naming the videos and what would help.
    """
    problems = []
    still = [n for n in names if not _varies(features[n])]
    if 2 * len(still) > len(names):
        problems.append(
            f"in {len(still)} of {len(names)} videos all snippets have the same features ({some(still)}): are they "
            "frozen or black? Look at them, or choose other encoders"
        )
    means = np.stack([np.concatenate([x.mean(0) for x in features[n].streams.values()]) for n in names])
    spread = float(np.mean([np.concatenate([x.std(0) for x in features[n].streams.values()]) for n in names]))
    between = float(means.std(0).mean())
    if between <= _SAME * max(spread, 1e-12):
        problems.append(
            f"the features of all {len(names)} videos are the same on average (they differ by {between:.2g}): is one "
            "file there under many names?"
        )
    if problems:
        raise FitError(f"cannot fit on these features of {encoders}:\n  " + "\n  ".join(problems))


def _varies(features: Features) -> bool:
    for x in features.streams.values():
        size = float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
        if len(x) > 1 and float(x.std(0, dtype=np.float64).max()) > _VARIES * max(size, 1e-12):
            return True
    return False
