"""What `Stages` does differently where features stay on a card: encoders of one video, the store of live streams."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from ..backends import Backend, LazyBackend, Runtime
from ..backends.card_tensor import CardBackend
from ..errors import BackendError, UsageError
from ..features import on_card
from ..features.card_store import CardStore, Encoded, gather_graph
from ..features.on_card import CardPath
from ..plan.fields import Encoder
from ..plan.manifest import Manifest
from ..records import Features, Scored, Snippets
from . import score_windows_on_card

__all__ = ["CardStages"]


class CardStages:
    """Encoders and head of a plan on one card. Safe to share between threads.

    Args:
        manifest: of the plan.
        head: the plan's head, loaded.
        encoders: its encoders, each loaded on first use.
        runtime: opens what else runs there.
        batch: snippets that an encoder takes at a time.

    Raises:
        UsageError: an encoder reads poses.
        BackendError: the head does not run on a card by ONNX Runtime.
    """

    def __init__(
        self, manifest: Manifest, head: Backend, encoders: Sequence[LazyBackend], runtime: Runtime, batch: int
    ) -> None:
        if manifest.pose_encoder is not None:
            raise UsageError(
                f"on_card: encoder {manifest.pose_encoder.name} of plan {manifest.name} reads poses, which are found "
                "in pictures on the host"
            )
        if not hasattr(head, "run_on_card"):
            raise BackendError(
                f"on_card keeps features on a card, but {manifest.head.member} runs on {head.description}; "
                "use device 'cuda' or 'ort-tensorrt'"
            )
        self.head = cast("CardBackend", head)
        self._manifest, self._encoders, self._runtime, self._batch = manifest, encoders, runtime, batch
        self._lock = threading.Lock()
        self._store: CardStore | None = None

    @contextmanager
    def path(self) -> Iterator[CardPath]:
        """Lend the encoders for one video.

        Raises:
            BackendError: an encoder cannot be loaded, or does not run on a GPU.
        """
        pairs = self._pairs()
        uploader = on_card.uploader_for(pairs[0][1].card)
        try:
            yield CardPath(pairs, uploader)
        finally:
            if uploader is not None:
                uploader.close()

    def encode(self, snippets: Snippets) -> Encoded:
        """Compute features of snippets of live streams; they stay on the GPU while a stream holds their places.

        Raises:
            FeatureError: an encoder reads flow, and the snippets have none.
            BackendError: an encoder cannot be loaded or fails, or the GPU is out of memory.
        """
        return self._opened().encode(snippets)

    def scored(self, windows: Sequence[Features], otherwise: Callable[[], list[Scored]]) -> list[Scored]:
        """Score windows of one length; `otherwise` scores those that do not lie on the GPU."""
        if not all(window.places for window in windows):
            return otherwise()
        there = self._opened().gathered([window.places for window in windows])
        return score_windows_on_card(windows, there, self.head, self._manifest)

    def _opened(self) -> CardStore:
        with self._lock:
            if self._store is None:
                pairs = self._pairs()
                gather = self._runtime.open(gather_graph(), "gather")
                if not hasattr(gather, "run_on_card"):
                    raise BackendError(f"on_card: windows cannot be gathered on {gather.description}")
                path = CardPath(pairs, on_card.uploader_for(pairs[0][1].card))
                self._store = CardStore(path, cast("CardBackend", gather), self._batch)
            return self._store

    def _pairs(self) -> list[tuple[Encoder, CardBackend]]:
        pairs = [(e, b.get()) for e, b in zip(self._manifest.graph_encoders, self._encoders, strict=True)]
        elsewhere = next((e.name for e, b in pairs if not hasattr(b, "run_on_card")), None)
        if elsewhere is not None:
            raise BackendError(f"on_card: encoder {elsewhere} does not run on the card of the head")
        return [(e, cast("CardBackend", b)) for e, b in pairs]
