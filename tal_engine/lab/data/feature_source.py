"""Where the features of a data set come from: files of a description, or encoders that read the videos of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

from ...annotations import AnnotatedVideo
from ...errors import DataError
from ...features import SnippetEncoder, contract_of
from ...options import SnippetOptions
from ...plan.fields import Encoder, PoseEncoder
from ...records import Features
from ...timeline import Timeline
from ..nn.text import TextEncoder
from .catalog import Catalog
from .description import TextSpec
from .feature_reader import FeatureStore

#: Called with (videos done, videos).
Progress = Callable[[int, int], None]


class Encoders(Protocol):
    """What makes features of videos (``tal_engine.export.encoder_graphs.EncoderSet``)."""

    @property
    def snippet(self) -> SnippetOptions: ...
    @property
    def specs(self) -> Mapping[str, Encoder | PoseEncoder]: ...
    @property
    def text(self) -> TextEncoder | None: ...
    def open(self, streams: Iterable[str], device: str = ...) -> list[SnippetEncoder]: ...


class FeatureSource(Protocol):
    """Where the features of a data set come from."""

    @property
    def streams(self) -> tuple[str, ...]: ...
    def widths(self, videos: Sequence[AnnotatedVideo], streams: Sequence[str]) -> dict[str, int]: ...
    def load(self, video: AnnotatedVideo, streams: Sequence[str]) -> Features: ...
    def count(self, video: AnnotatedVideo) -> int: ...


class ExtractedFeatures:
    """Features that encoders make of the videos of a folder, kept beside them.

    All streams are made at once, whichever are asked for: one set of files serves every method.
    """

    def __init__(self, catalog: Catalog, encoders: Encoders | None) -> None:
        self._catalog, self._encoders = catalog, encoders

    @property
    def streams(self) -> tuple[str, ...]:
        """What the encoders make."""
        return tuple(self._given.specs)

    def widths(self, videos: Sequence[AnnotatedVideo], streams: Sequence[str]) -> dict[str, int]:
        """Return the width of each stream."""
        self._refuse_unknown(streams)
        return {s: self._given.specs[s].dim for s in streams}

    def load(self, video: AnnotatedVideo, streams: Sequence[str]) -> Features:
        """Load the features of a video, extracting them first if they do not exist."""
        self._refuse_unknown(streams)
        found = self._store.get(video)
        return replace(found, streams={s: found.streams[s] for s in streams})

    def count(self, video: AnnotatedVideo) -> int:
        """Refuse to count the snippets of a video, which needs their extraction."""
        raise DataError(f"{video.name}: the snippets of a video are counted by extracting them")

    @property
    def _given(self) -> Encoders:
        if self._encoders is None:
            raise DataError(f"{self._catalog.root}: is a folder of videos; its features need encoders, none given")
        return self._encoders

    def _refuse_unknown(self, streams: Sequence[str]) -> None:
        unknown = [s for s in streams if s not in self._given.specs]
        if unknown:
            known = ", ".join(self._given.specs)
            raise DataError(f"{self._catalog.root}: no encoder for stream {unknown[0]!r}; encoders: {known}")

    @cached_property
    def _store(self) -> FeatureStore:
        given = self._given
        return FeatureStore(self._catalog, given.snippet, given.open(tuple(given.specs)))


def made_by(encoders: Encoders | None) -> dict[str, Any]:
    """Return the fields of a data set whose features encoders make: timeline, text tower and contract."""
    snippet = SnippetOptions() if encoders is None else encoders.snippet
    return {
        "timeline": Timeline(0.0, snippet.stride / snippet.fps, snippet.window / snippet.fps),
        "text": TextSpec(tower="tiny"),
        "contract": {} if encoders is None else contract_of(snippet, encoders.specs.values()),
    }
