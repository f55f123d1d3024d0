"""Features of live streams on a card: encoders put them there, and windows are gathered there for the head.

A store holds the rows of all streams of an engine, however they mix. The host gets a copy of each row, which the
checks and snapshots of a stream read; the head reads the card's. Knows `CardBackend` and no runtime.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..backends.card_tensor import CardBackend, CardTensor
from ..backends.onnx_write import GraphWriter
from ..records import Place, Snippets
from .on_card import CardPath, Placed

#: Rows that a store has memory for at first.
_ROWS = 512


class Encoded(dict[str, NDArray[np.float32]]):
    """Features [N, D] by stream, on the host; `places`: where the same rows lie on the card, none if they do not."""

    places: Sequence[Place] = ()


class EncodedRow(dict[str, NDArray[np.float32]]):
    """One snippet's features [D] by stream; `place`: where they lie on the card."""

    place: Place | None = None


def rows_of(features: Mapping[str, NDArray[np.float32]]) -> list[EncodedRow]:
    """Split features [N, D] by stream into rows, each with its place on the GPU if it has one."""
    count = len(next(iter(features.values())))
    rows = [EncodedRow({name: values[i] for name, values in features.items()}) for i in range(count)]
    for row, place in zip(rows, features.places if isinstance(features, Encoded) else (), strict=False):
        row.place = place
    return rows


def gather_graph() -> bytes:
    """Build an ONNX graph that gathers rows [B, T] int64 of an array [R, D] into one array [B, T, D]."""
    writer = GraphWriter("gather")
    writer.input("memory", np.float32, ("R", "D"))
    writer.input("rows", np.int64, ("B", "T"))
    writer.output(writer.add("Gather", "memory", "rows", axis=0), "gathered", np.float32, ("B", "T", "D"))
    return writer.serialized()


class CardStore:
    """Rows of every feature stream on one card. Safe to share between threads.

    Memory grows to about twice the rows that are held; rows that nobody holds make room for others.

    Args:
        path: the encoders on the card.
        gather: `gather_graph` on the same card.
        batch: snippets that an encoder takes at a time.
    """

    def __init__(self, path: CardPath, gather: CardBackend, batch: int) -> None:
        self._path, self._gather, self._batch = path, gather, batch
        self._dims = {spec.stream: spec.dim for spec, _ in path.encoders}
        self._memory: dict[str, CardTensor] = {}
        self._held: weakref.WeakSet[Place] = weakref.WeakSet()
        self._end = self._capacity = 0
        self._lock = threading.Lock()
        if path.uploader is not None:  # its memory outlives no store; at the end of the process the driver takes it
            weakref.finalize(self, path.uploader.close).atexit = False

    @property
    def capacity(self) -> int:
        """Rows that there is memory for."""
        return self._capacity

    def encode(self, snippets: Snippets) -> Encoded:
        """Compute features of snippets, which stay on the GPU as long as their places are held.

        Raises:
            FeatureError: an encoder reads flow, and the snippets have none.
            BackendError: the GPU is out of memory, or an encoder failed.
        """
        parts = [_part(snippets, i, self._batch) for i in range(0, len(snippets.frames), self._batch)]
        batches: list[dict[str, NDArray[np.float32]]] = []
        places: list[Place] = []
        for placed in self._path.placed(parts):
            outputs = self._encoded(placed)
            batches.append({name: backend.receive(t) for name, (backend, t) in outputs.items()})
            places += self._keep({name: t for name, (_, t) in outputs.items()})
        encoded = Encoded({name: np.concatenate([m[name] for m in batches]) for name in self._dims})
        encoded.places = places
        return encoded

    def gathered(self, windows: Sequence[Sequence[Place]]) -> dict[str, CardTensor]:
        """Gather rows [B, T, D] by stream, on the GPU, of B windows of T places each.

        Raises:
            BackendError: the GPU is out of memory.
        """
        with self._lock:
            rows = np.array([[place.number for place in window] for window in windows], np.int64)
            return {name: self._taken(memory, rows) for name, memory in self._memory.items()}

    def _encoded(self, placed: Placed) -> dict[str, tuple[CardBackend, CardTensor]]:
        outputs = {}
        try:
            for spec, backend in self._path.encoders:
                out = backend.run_on_card({spec.graph.inputs[0].name: placed.tensors[spec.reads]})
                outputs[spec.stream] = (backend, out[spec.graph.outputs[0].name])
        finally:  # the next snippets need its memory, whatever became of these
            if self._path.uploader is not None and placed.uploaded is not None:
                self._path.uploader.release(placed.uploaded)
        return outputs

    def _keep(self, rows: Mapping[str, CardTensor]) -> list[Place]:
        """Copy rows into the store, on the card."""
        count = len(next(iter(rows.values())))
        with self._lock:
            if self._end + count > self._capacity:
                self._tidy(count)
            for name, tensor in rows.items():
                self._taken(tensor, np.arange(count)[None], self._memory[name].rows(self._end, count))
            places = [Place(self._end + i) for i in range(count)]
            self._held.update(places)
            self._end += count
        return places

    def _tidy(self, count: int) -> None:
        """Move the rows that are held to the front of other memory, which has room for as many and `count` more."""
        held = sorted(self._held, key=lambda place: place.number)
        capacity = max(2 * (len(held) + count), _ROWS)
        memory = {name: self._gather.allocate((capacity, dim)) for name, dim in self._dims.items()}
        if held:
            rows = np.array([[place.number for place in held]], np.int64)
            for name, fresh in memory.items():
                self._taken(self._memory[name], rows, fresh.rows(0, len(held)))
        for i, place in enumerate(held):
            place.number = i
        self._memory, self._end, self._capacity = memory, len(held), capacity

    def _taken(self, memory: CardTensor, rows: NDArray[np.int64], into: CardTensor | None = None) -> CardTensor:
        """Gather rows [B, T] of an array, into another array of B * T rows if it is given."""
        feeds = {"memory": memory, "rows": self._gather.send(rows)}
        place = {} if into is None else {"gathered": into.reshaped(*rows.shape, memory.shape[1])}
        return self._gather.run_on_card(feeds, place)["gathered"]


def _part(snippets: Snippets, first: int, count: int) -> Snippets:
    flow = None if snippets.flow is None else snippets.flow[first : first + count]
    return replace(snippets, frames=snippets.frames[first : first + count], flow=flow)
