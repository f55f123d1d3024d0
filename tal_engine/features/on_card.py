"""Encoders and head on one card: snippets go there once, features stay there until the head has read them.

The host gets one copy of a video's features when it ends, for their record. Knows `CardBackend` and no runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backends.card_tensor import CardBackend, CardTensor
from ..backends.upload import Batch, Uploader
from ..errors import FeatureError, MissingExtraError
from ..plan.fields import Encoder
from ..records import Features, Snippets

if TYPE_CHECKING:
    from .pixel_conversion import Conversion

#: Rows of a stream where the video does not say how long it is.
_ROWS = 1024
#: Batches on the card: one that is read, one that is filled, and what waits between the threads (`read_ahead`).
_SLOTS = 4


class CardRows:
    """Rows [N, D] float32 of one stream on a card; they move to larger memory where more come than were expected."""

    def __init__(self, backend: CardBackend, dim: int, expected: int) -> None:
        self._backend, self._count = backend, 0
        self._memory = backend.allocate((max(expected, 1), dim))

    def next(self, count: int) -> CardTensor:
        """Return the memory for the next `count` rows."""
        if self._count + count > len(self._memory):
            self._grow(self._count + count)
        place = self._memory.rows(self._count, count)
        self._count += count
        return place

    @property
    def whole(self) -> CardTensor:
        """All rows, on the card."""
        return self._memory.rows(0, self._count)

    def host(self) -> NDArray[np.float32]:
        """Copy all rows to the host."""
        return np.ascontiguousarray(self._backend.receive(self._memory)[: self._count])

    def _grow(self, least: int) -> None:
        """Double the memory, or more, by way of the host: it is rare, and the runtime has no copy on the GPU."""
        kept = self._backend.receive(self._memory)
        more = np.zeros((max(least, 2 * len(kept)), kept.shape[1]), np.float32)
        more[: self._count] = kept[: self._count]
        self._memory = self._backend.send(more)


@dataclass(frozen=True)
class Placed:
    """Snippets, and what the encoders read of them on the card; `uploaded` is what an `Uploader` gets back."""

    snippets: Snippets
    tensors: dict[str, CardTensor]
    uploaded: Batch | None = None


@dataclass(frozen=True)
class CardPath:
    """The encoders of a plan on a card.

    uploader: pinned memory; without it the runtime copies. convert: makes pictures of frames as they are stored.
    """

    encoders: Sequence[tuple[Encoder, CardBackend]]
    uploader: Uploader | None = None
    convert: Conversion | None = None

    def placed(self, snippets: Iterable[Snippets]) -> Iterator[Placed]:
        """Send each batch to the card once, however many encoders read it.

        Raises:
            FeatureError: an encoder reads flow, and the snippets have none.
            BackendError: the card has no memory for a batch.
        """
        wanted = sorted({spec.reads for spec, _ in self.encoders})
        for batch in snippets:
            arrays = {reads: batch.frames if reads == "frames" else batch.flow for reads in wanted}
            there: dict[str, NDArray[Any]] = {n: a for n, a in arrays.items() if a is not None}
            if len(there) < len(arrays):
                raise FeatureError("an encoder reads flow, the snippets have none")
            if self.uploader is None:
                yield Placed(batch, {n: self.encoders[0][1].send(a) for n, a in there.items()})
            else:
                sent = self.uploader.send(there)
                yield Placed(batch, sent.tensors, sent)

    def encode(
        self,
        batches: Iterable[Placed],
        contract: dict[str, Any],
        duration: Callable[[], float],
        expected: int,
        progress: Callable[[float], None] | None = None,
    ) -> tuple[Features, dict[str, CardTensor]]:
        """Compute the features of a whole video: on the host, and where they lie on the GPU, [N, dim] by stream.

        Args:
            batches: of `placed`, in order.
            contract: what to record as the features' origin.
            duration: asked for the video's length in seconds after the last snippet.
            expected: how many snippets there will be, if that is known; 0 if not.
            progress: called with the seconds of video done.
        """
        rows = {spec.stream: CardRows(backend, spec.dim, expected or _ROWS) for spec, backend in self.encoders}
        timeline = None
        for batch in batches:
            count = len(batch.snippets.frames)
            tensors = batch.tensors
            if self.convert is not None:
                tensors = tensors | {"frames": self.convert.on_card(tensors["frames"])}
            for spec, backend in self.encoders:
                feeds = {spec.graph.inputs[0].name: tensors[spec.reads]}
                backend.run_on_card(feeds, {spec.graph.outputs[0].name: rows[spec.stream].next(count)})
            if self.uploader is not None and batch.uploaded is not None:
                self.uploader.release(batch.uploaded)
            timeline = batch.snippets.timeline
            if progress is not None:
                progress(batch.snippets.end)
        if timeline is None:
            raise FeatureError("no snippets to encode")
        features = Features({n: r.host() for n, r in rows.items()}, timeline, duration(), contract)
        return features, {n: r.whole for n, r in rows.items()}


def uploader_for(card: int) -> Uploader | None:
    """Allocate pinned memory for a video's batches; None where cuda-bindings is not installed.

    Raises:
        BackendError: there is no such GPU.
    """
    from ..backends.cuda import CudaDevice

    try:
        device = CudaDevice(card)
    except MissingExtraError:
        return None
    return Uploader(device, card, _SLOTS)
