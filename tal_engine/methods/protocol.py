"""What a method must offer, and the list of methods."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from torch import Tensor, nn

from ..errors import UsageError
from ..nn.text import TextEncoder
from ..options import NmsOptions, ProposalOptions
from ..vocabulary import Vocabulary

METHODS = {"pvlr": "tal_engine.methods.pvlr"}


@dataclass(frozen=True)
class Batch:
    """Videos of one training step, sampled to the same length.

    streams: name -> [B, T, D]. labels: [B, C] multi-hot, from the video level only. pairs: the
    first 2 * pairs videos are pairs that share a class.
    """

    streams: Mapping[str, Tensor]
    labels: Tensor
    pairs: int = 0


class Net(Protocol):
    """A trainable network of a method; also an `nn.Module`."""

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted loss terms by the names of the paper; their sum is minimised."""
        ...


class Method(Protocol):
    """A module ``methods/NAME.py``."""

    name: str
    #: Frozen dataclass with a documented default for every field.
    Config: type[Any]
    #: Feature streams that training reads, and those that inference reads.
    training_streams: tuple[str, ...]
    inference_streams: tuple[str, ...]

    def build(self, config: Any, vocabulary: Vocabulary, text: TextEncoder | None) -> nn.Module:
        """The network. Without `text` it can only be frozen, after its weights were loaded."""
        ...

    def freeze(self, net: nn.Module) -> nn.Module:
        """A module from the inference streams [B, T, D] to (cas [B, T, C(+1)], attention [B, T])."""
        ...

    def proposal_options(self, config: Any) -> ProposalOptions:
        """How its activations become proposals."""
        ...

    def nms_options(self, config: Any) -> NmsOptions:
        """How its proposals are suppressed."""
        ...


def load_method(name: str) -> Method:
    """A method by name."""
    if name not in METHODS:
        raise UsageError(f"unknown method {name!r}; known: {', '.join(sorted(METHODS))}")
    return cast("Method", importlib.import_module(METHODS[name]))
