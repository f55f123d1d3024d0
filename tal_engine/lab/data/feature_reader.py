"""Features of a data set: extracted once, kept beside the videos, checked against what made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...annotations import AnnotatedVideo
from ...features import SnippetEncoder, save_features
from ...inference.extraction import Extractor, kept
from ...options import SnippetOptions
from ...records import Features
from ...video.flow import FlowSource
from .catalog import Catalog


@dataclass(frozen=True)
class FeatureStore:
    """Extracts and caches features under ``ROOT/features/CONTRACT-HASH/NAME.npz``."""

    catalog: Catalog
    snippet: SnippetOptions
    encoders: Sequence[SnippetEncoder]
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
        """Load the features of a video, extracting them first if they do not exist.

        Raises:
            FeatureError: existing features were made from something else; they are neither used nor overwritten.
            VideoError: the video cannot be read.
        """
        path = self.folder / f"{video.name}.npz"
        if path.exists():
            return kept(path, self.extractor)
        features = self.extractor(self.catalog.video_path(video)).features
        save_features(path, features)
        return features
