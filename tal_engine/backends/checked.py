"""A loaded graph held against its manifest: when it is loaded, and after every run.

A manifest is a claim. A head that gives fewer snippets than it was given would shift every action, one with fewer
classes would lose one, and neither would be noticed further on. What a graph declares of itself is a claim too, so the
arrays that it gives are compared each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError, PlanFault
from ..plan.fields import Graph, Tensor
from .card_tensor import CardTensor
from .protocol import Backend


@dataclass(frozen=True)
class Declared:
    """An input or output as the loaded graph declares it.

    dtype: as numpy calls it, or the runtime's own word for what numpy has no array of. shape: sizes, names of free
    dimensions, None for a dimension without either; None where not even the rank is known before a run.
    """

    name: str
    is_input: bool
    dtype: str
    shape: tuple[int | str | None, ...] | None


def check_declared(declared: Iterable[Declared], spec: Graph) -> None:
    """Compare what a graph declares with what the manifest says of it.

    Raises:
        PlanError: `BAD_GRAPH`: a name, type, rank or fixed size differs; the message says both sides.
    """
    every = list(declared)
    names = {d for t in (*spec.inputs, *spec.outputs) for d in t.shape if isinstance(d, str)}
    for kind, tensors, is_input in (("reads", spec.inputs, True), ("gives", spec.outputs, False)):
        of = {d.name: d for d in every if d.is_input == is_input}
        wanted = [t.name for t in tensors]
        if set(of) != set(wanted):
            raise bad_graph(spec, f"{kind} {sorted(of)}, the manifest says {sorted(wanted)}")
        for tensor in tensors:
            one = of[tensor.name]
            if one.dtype != tensor.dtype or (one.shape is not None and not _fits(one.shape, tensor, names)):
                shown = "" if one.shape is None else f" {list(one.shape)}"
                raise bad_graph(
                    spec, f"{kind} {tensor.name} as {one.dtype}{shown}, the manifest says {tensor.dtype} {tensor.shape}"
                )


def _fits(shape: Sequence[int | str | None], tensor: Tensor, names: set[str]) -> bool:
    """Check that each dimension matches the manifest; one with the name of another is in the wrong place."""
    if len(shape) != len(tensor.shape):
        return False
    for has, wanted in zip(shape, tensor.shape, strict=True):
        if isinstance(has, int) and has != wanted:
            return False
        if isinstance(has, str) and has in names and has != wanted:
            return False
    return True


def bad_graph(spec: Graph, what: str) -> PlanError:
    """Create the error of a graph that does not match its manifest."""
    return PlanError(PlanFault.BAD_GRAPH, f"{spec.member}: the graph {what}")


class CheckedBackend:
    """A graph whose outputs have the types and sizes of the manifest, or an error.

    Raises:
        PlanError: the graph declares something else; see `check_declared`.
    """

    def __init__(self, backend: Backend, spec: Graph) -> None:
        self._backend, self._spec = backend, spec
        declared: Sequence[Declared] | None = getattr(backend, "declared", None)
        if declared is not None:  # TensorRT's engines were compared when they were opened
            check_declared(declared, spec)

    @property
    def description(self) -> str:
        """Of the graph."""
        return self._backend.description

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Compute outputs by name from inputs by name; see `Backend.run`.

        Raises:
            PlanError: `BAD_GRAPH`: an output is missing, of another type, or not of the size that the inputs imply.
        """
        out = self._backend.run(feeds)
        sizes = self._sizes({name: np.shape(value) for name, value in feeds.items()})
        for tensor in self._spec.outputs:
            self._check(tensor, out.get(tensor.name), sizes)
        return {t.name: out[t.name] for t in self._spec.outputs}

    def _sizes(self, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
        """Return the sizes of the free dimensions in the inputs."""
        return {
            name: size
            for tensor in self._spec.inputs
            for name, size in zip(tensor.shape, shapes[tensor.name], strict=False)
            if isinstance(name, str)
        }

    def _check(self, tensor: Tensor, value: object, sizes: dict[str, int]) -> None:
        if not isinstance(value, np.ndarray | CardTensor):
            raise bad_graph(self._spec, f"gave no array as {tensor.name}")
        wanted = [sizes.get(d, d) if isinstance(d, str) else d for d in tensor.shape]
        fits = len(value.shape) == len(wanted)
        fits = fits and all(isinstance(d, str) or d == n for d, n in zip(wanted, value.shape, strict=True))
        if value.dtype != tensor.dtype or not fits:
            sizes_text = ", ".join(f"{n} = {s}" for n, s in sizes.items())
            raise bad_graph(
                self._spec,
                f"gave {tensor.name} as {value.dtype} {list(value.shape)}, the manifest says {tensor.dtype} "
                f"{tensor.shape}" + (f" and the input has {sizes_text}" if sizes_text else ""),
            )


class CheckedCardBackend(CheckedBackend):
    """The same of a graph whose inputs and outputs may stay on a card; see `CardBackend`."""

    _backend: Any

    @property
    def card(self) -> int:
        """Number of the card."""
        number: int = self._backend.card
        return number

    def allocate(self, shape: tuple[int, ...]) -> CardTensor:
        """Allocate a float32 array with undefined content."""
        memory: CardTensor = self._backend.allocate(shape)
        return memory

    def send(self, array: NDArray[Any]) -> CardTensor:
        """Copy an array to the GPU."""
        sent: CardTensor = self._backend.send(array)
        return sent

    def receive(self, tensor: CardTensor) -> NDArray[Any]:
        """Copy a whole array to the host."""
        array: NDArray[Any] = self._backend.receive(tensor)
        return array

    def run_on_card(
        self, feeds: Mapping[str, CardTensor], into: Mapping[str, CardTensor] | None = None
    ) -> dict[str, CardTensor]:
        """Compute outputs by name from inputs by name; outputs in `into` are written there.

        Raises:
            PlanError: `BAD_GRAPH`; see `run`.
        """
        out: dict[str, CardTensor] = self._backend.run_on_card(feeds, into or {})
        sizes = self._sizes({name: tensor.shape for name, tensor in feeds.items()})
        for tensor in self._spec.outputs:
            self._check(tensor, out.get(tensor.name), sizes)
        return out


def check_rows(name: str, out: Mapping[str, NDArray[Any]], rows: int) -> None:
    """Refuse outputs with another number of rows, before rows that filled a batch up are cut off.

    Raises:
        PlanError: `BAD_GRAPH`.
    """
    for output, value in out.items():
        if value.shape[:1] != (rows,):
            raise PlanError(
                PlanFault.BAD_GRAPH, f"{name}: the graph gave {output} {list(value.shape)} for a batch of {rows} rows"
            )
