"""Features of a data set: extracted once, kept beside the videos, checked against what made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..annotations import AnnotatedVideo
from ..errors import FeatureError, TALError
from ..extraction import Extractor, kept
from ..features import EncoderGraph, save_features
from ..options import SnippetOptions
from ..records import Features
from ..video.flow import FlowSource
from .catalog import Catalog


@dataclass(frozen=True)
class FeatureStore:
    """Extracts and caches features under ``ROOT/features/CONTRACT-HASH/NAME.npz``."""

    catalog: Catalog
    snippet: SnippetOptions
    encoders: Sequence[EncoderGraph]
    #: Another way to the flow that `snippet` names; see `Extractor.flow`.
    flow: FlowSource | None = None

    @property
    def extractor(self) -> Extractor:
        """What makes features that are not there yet."""
        return Extractor(self.snippet, self.encoders, self.flow)

    @property
    def folder(self) -> Path:
        """Where the files of this contract lie."""
        text = json.dumps(self.contract, sort_keys=True)
        return self.catalog.root / "features" / hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def contract(self) -> dict[str, object]:
        """What makes these features."""
        return self.extractor.contract

    def get(self, video: AnnotatedVideo) -> Features:
        """Features of a video, extracted if they are not there yet.

        Raises:
            FeatureError: what is there was made of something else; it is neither taken nor lost.
            VideoError: the video cannot be read.
        """
        path = self.folder / f"{video.name}.npz"
        if path.exists():
            return kept(path, self.extractor)
        features = self.extractor(self.catalog.video_path(video)).features
        save_features(path, features)
        return features

    def extract(
        self, videos: Sequence[AnnotatedVideo], progress: Callable[[int, int], None] | None = None
    ) -> dict[str, Features]:
        """Features of many videos.

        Raises:
            FeatureError: listing every video that failed and why; the others are kept on disk.
        """
        out: dict[str, Features] = {}
        failed: list[str] = []
        for i, video in enumerate(videos):
            try:
                out[video.name] = self.get(video)
            except TALError as e:
                failed.append(f"{video.name}: {e}")
            if progress is not None:
                progress(i + 1, len(videos))
        if failed:
            raise FeatureError(f"{len(failed)} of {len(videos)} videos have no features:\n  " + "\n  ".join(failed))
        return out
