"""Examples in memory as a data set, so that they train as any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...annotations import AnnotatedVideo
from ...options import timeline_of
from ...pose.features import POSE_SNIPPETS, STREAM
from ...pose.windows import pose_contract
from ...records import Features
from ...vocabulary import Vocabulary
from ..data.dataset import DataSet
from ..data.description import TextSpec
from .actions import ACTIONS
from .material import Example


@dataclass(frozen=True)
class InMemory:
    """A source of features (`data.feature_source.FeatureSource`) that has them already, by video."""

    known: Mapping[str, Features]

    @property
    def streams(self) -> tuple[str, ...]:
        """The one stream there is."""
        return (STREAM,)

    def widths(self, videos: Sequence[AnnotatedVideo], streams: Sequence[str]) -> dict[str, int]:
        """Return the width of each stream."""
        first = next(iter(self.known.values()))
        return {s: first.streams[s].shape[1] for s in streams}

    def load(self, video: AnnotatedVideo, streams: Sequence[str]) -> Features:
        """Return the features of a video."""
        return self.known[video.name]

    def count(self, video: AnnotatedVideo) -> int:
        """Return how many snippets a video has."""
        return len(self.known[video.name])


def data_set(examples: Sequence[Example]) -> DataSet:
    """Make a data set of examples; subsets are roles by their own names.

    Args:
        examples: of subsets "train", "validation" or "test".
    """
    return DataSet(
        name="people",
        vocabulary=Vocabulary(list(ACTIONS)),
        videos=tuple(e.video for e in examples),
        protocol="activitynet",
        roles={"train": "train", "validation": "validation", "test": "test"},
        source=InMemory({e.video.name: e.features for e in examples}),
        timeline=timeline_of(POSE_SNIPPETS),
        text=TextSpec(tower="hashed"),
        contract=pose_contract(),
        mixed=True,  # of some trials only the classes are known
    )
