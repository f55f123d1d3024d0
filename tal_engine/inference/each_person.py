"""Several people of one video, each localized by itself. Knows no graphs: what localizes features is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..plan.manifest import Manifest
from ..records import Features, Segment
from .given import Source, is_features
from .score_rule import ScoreRule

if TYPE_CHECKING:
    from ..pose.people import FoundPeople

#: Turns features of one length into segments of each, best first.
Localizes = Callable[[Sequence[Features], ScoreRule], list[list[Segment]]]


def asked_for(most: int, source: Source, manifest: Manifest) -> FoundPeople | None:
    """Return where the people of a source are kept; None if the main person is enough (0).

    Raises:
        UsageError: the plan reads no poses, the source is features, or `most` is out of range.
    """
    if not most:
        return None
    if manifest.pose_encoder is None:
        raise UsageError(f"people={most}: plan {manifest.name} reads no poses, it tells no one apart")
    if is_features(source):
        raise UsageError(f"people={most} was given for features, which are of one person")
    from ..pose.people import FoundPeople  # plans without poses load nothing of them

    return FoundPeople(manifest.snippet, most)


def drawn_later(source: Source, manifest: Manifest) -> FoundPeople | None:
    """Return where the main person of a source is kept to be drawn; None where there is no video or no poses."""
    if manifest.pose_encoder is None or is_features(source):
        return None
    from ..pose.people import FoundPeople

    return FoundPeople(manifest.snippet, 1)


def of_each_person(
    features: Features, people: FoundPeople, stream: str, localize: Localizes, rule: ScoreRule
) -> list[Segment]:
    """Localize each person by itself, best first; other streams are everybody's.

    Args:
        features: of the video.
        people: who was found in it.
        stream: name of the features of poses.
        localize: turns features into segments, those of all people in one call.
        rule: which segments are enough.
    """
    subjects, count = people.subjects, len(features)
    own = [replace(features, streams={**features.streams, stream: people.features(s, count)}) for s in subjects]
    found = zip(subjects, localize(own, rule), strict=True)
    segments = [replace(s, subject=subject) for subject, of in found for s in of]
    return sorted(segments, key=lambda s: -s.score)[: rule.top_k or None]
