"""What a method must offer, and the list of methods."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from ..errors import UsageError
from ..heads import HEADS
from ..heads.interface import Batch, Recipe
from ..nn.text import TextEncoder
from ..options import BoundaryOptions, NmsOptions, ProposalOptions
from ..vocabulary import Vocabulary

#: Base heads are methods too: they train, export and localize on their own.
METHODS = {
    "apn": "tal_engine.methods.apn",
    "distill_collab": "tal_engine.methods.distill_collab",
    "pvlr": "tal_engine.methods.pvlr",
    "tsm_vlc": "tal_engine.methods.tsm_vlc",
    "vlpo": "tal_engine.methods.vlpo",
    **HEADS,
}


class Net(Protocol):
    """A trainable network of a method; also an `nn.Module`."""

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted loss terms by the names of the paper; their sum is minimised."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A network that keeps more between two steps than weights, such as pseudo-labels of videos.

    Checkpoints save it to go on from, each process its own; it is no part of the weights.
    """

    def training_state(self) -> dict[str, Tensor]:
        """All of it, by name; tensors on the CPU."""
        ...

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `training_state` gave."""
        ...


class View(NamedTuple):
    """A part of a network that training scores beside what inference runs.

    module: frozen, from the training streams [B, T, D], by name, to what `Head.activations` describes. method,
    config: whose rules cut its activations into proposals.
    """

    module: nn.Module
    method: Method
    config: Any


class Method(Protocol):
    """A module ``methods/NAME.py`` or ``heads/NAME.py``."""

    name: str
    #: Frozen dataclass with a documented default for every field.
    Config: type[Any]
    #: Published settings by data set.
    RECIPES: Mapping[str, Recipe]
    #: Training needs a text tower.
    uses_text: bool
    #: Training reads point labels; modules that do not name it do not.
    uses_points: bool

    def training_streams(self, config: Any) -> tuple[str, ...]:
        """Feature streams that training reads."""
        ...

    def inference_streams(self, config: Any) -> tuple[str, ...]:
        """Feature streams that inference reads, in the order of the frozen module's arguments."""
        ...

    def build(self, config: Any, vocabulary: Vocabulary, text: TextEncoder | None) -> nn.Module:
        """The network. Without `text` it can only be frozen, after its weights were loaded."""
        ...

    def freeze(self, net: nn.Module) -> nn.Module:
        """A module from the inference streams [B, T, D], by name, to what `Head.activations` describes, by name."""
        ...

    def proposal_options(self, config: Any) -> ProposalOptions | BoundaryOptions:
        """How its activations become proposals."""
        ...

    def freeze_evaluator(self, net: nn.Module) -> nn.Module:
        """Of methods with `BoundaryOptions` alone: what scores their proposals.

        A module from "embedding" [T, D] and "positions" [P, points], places between 0 and T - 1 (others are moved
        to the nearer end), to {"score": [P, C]}, each in 0..1. `freeze` then gives "start" and "end" [B, T],
        probabilities that an action starts or ends where a snippet begins, and "embedding" [B, T, D].
        """
        ...

    def nms_options(self, config: Any) -> NmsOptions:
        """How its proposals are suppressed."""
        ...


def uses_points(method: Method) -> bool:
    """Whether a method trains from point labels; most do from labels of videos and do not say so."""
    return bool(getattr(method, "uses_points", False))


def milestones_of(method: Method, config: Any) -> Mapping[int, str]:
    """After which steps a run is evaluated because a phase of the method ends there, and what ends.

    From the optional function ``milestones(config)`` of the method's module; without it there are none.
    """
    own: Callable[[Any], Mapping[int, str]] | None = getattr(method, "milestones", None)
    return {} if own is None else own(config)


def views_of(method: Method, net: nn.Module) -> Mapping[str, View]:
    """Parts of a network in evaluation mode that are scored too, by name.

    From the optional function ``views(net)`` of the method's module; without it there are none.
    """
    own: Callable[[nn.Module], Mapping[str, View]] | None = getattr(method, "views", None)
    return {} if own is None else own(net)


def has_views(method: Method) -> bool:
    """Whether evaluations need all the training streams, for the views."""
    return hasattr(method, "views")


def load_method(name: str) -> Method:
    """A method by name."""
    if name not in METHODS:
        raise UsageError(f"unknown method {name!r}; known: {', '.join(sorted(METHODS))}")
    return cast("Method", importlib.import_module(METHODS[name]))
