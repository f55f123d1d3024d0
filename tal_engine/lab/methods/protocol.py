"""What a method must offer, and the list of methods."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from ...errors import UsageError
from ...options import BoundaryOptions, NmsOptions, ProposalOptions, PyramidOptions
from ...vocabulary import Vocabulary
from ..heads import HEADS
from ..heads.interface import Batch, Recipe
from ..nn.text import TextEncoder

#: Base heads are methods too: they train, export and localize on their own.
METHODS = {
    "actionformer": "tal_engine.lab.methods.actionformer",
    "apn": "tal_engine.lab.methods.apn",
    "distill_collab": "tal_engine.lab.methods.distill_collab",
    "pser": "tal_engine.lab.methods.pser",
    "pvlr": "tal_engine.lab.methods.pvlr",
    "tsm_vlc": "tal_engine.lab.methods.tsm_vlc",
    "vlpo": "tal_engine.lab.methods.vlpo",
    **HEADS,
}


class Net(Protocol):
    """A trainable network of a method; also an `nn.Module`."""

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Compute weighted loss terms by the names of the paper; their sum is minimised."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A network that keeps more between two steps than weights, such as pseudo-labels of videos.

    Checkpoints save it to go on from, each process its own; it is no part of the weights.
    """

    def training_state(self) -> dict[str, Tensor]:
        """Return all of it by name; tensors on the CPU."""
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
    #: Training reads the start and end of every action; modules that do not name it do not.
    uses_segments: bool
    #: Training reads labels of videos too, where they are without points or segments (`Batch.untimed`); methods that do
    #: not name it train on videos with times for all classes only.
    mixes: bool

    #: The setting without which training reads the stream of an image-text model; modules that cannot do without it, or
    #: do not read it, do not name one.
    WITHOUT_IMAGE: str

    def training_streams(self, config: Any) -> tuple[str, ...]:
        """Return the feature streams that training reads."""
        ...

    def inference_streams(self, config: Any) -> tuple[str, ...]:
        """Return the feature streams that inference reads, in the order of the frozen module's arguments."""
        ...

    def build(self, config: Any, vocabulary: Vocabulary, text: TextEncoder | None) -> nn.Module:
        """Build the network. Without `text` it can only be frozen, after its weights were loaded."""
        ...

    def freeze(self, net: nn.Module) -> nn.Module:
        """Wrap inference as a module from streams [B, T, D], by name, to what `Head.activations` describes, by name.

        Of methods with `PyramidOptions`: "score" [B, P, C], probabilities of the classes at each moment and 0 where it
        is on padding, and "distance" [B, P, 2]; see `records.Pyramid`.
        """
        ...

    def proposal_options(self, config: Any) -> ProposalOptions | BoundaryOptions | PyramidOptions:
        """Return how its activations become proposals."""
        ...

    def freeze_evaluator(self, net: nn.Module) -> nn.Module:
        """Wrap what scores the proposals of methods with `BoundaryOptions`.

        A module from "embedding" [T, D] and "positions" [P, points], places between 0 and T - 1 (others are moved
        to the nearer end), to {"score": [P, C]}, each in 0..1. `freeze` then gives "start" and "end" [B, T],
        probabilities that an action starts or ends where a snippet begins, and "embedding" [B, T, D].
        """
        ...

    def nms_options(self, config: Any) -> NmsOptions:
        """Return how its proposals are suppressed."""
        ...


def uses_points(method: Method) -> bool:
    """Return whether a method trains from point labels; most train from labels of videos and do not define it."""
    return bool(getattr(method, "uses_points", False))


def uses_segments(method: Method) -> bool:
    """Whether a method trains from labels with start and end."""
    return bool(getattr(method, "uses_segments", False))


def mixes(method: Method) -> bool:
    """Return whether a method of points or segments also learns from videos of which only the classes are known."""
    return bool(getattr(method, "mixes", False))


def milestones_of(method: Method, config: Any) -> Mapping[int, str]:
    """Return the steps after which a run is evaluated because a phase of the method ends, and what ends.

    From the optional function ``milestones(config)`` of the method's module; without it there are none.
    """
    own: Callable[[Any], Mapping[int, str]] | None = getattr(method, "milestones", None)
    return {} if own is None else own(config)


def earlier_of(method: Method) -> Mapping[str, Any]:
    """Return the values of config fields that checkpoints lack because they are older than the field.

    From the optional constant ``EARLIER`` of the method's module, by field; without it a field that a checkpoint lacks
    has its default.
    """
    return cast("Mapping[str, Any]", getattr(method, "EARLIER", {}))


def views_of(method: Method, net: nn.Module) -> Mapping[str, View]:
    """Return parts of a network in evaluation mode that are scored too, by name.

    From the optional function ``views(net)`` of the method's module; without it there are none.
    """
    own: Callable[[nn.Module], Mapping[str, View]] | None = getattr(method, "views", None)
    return {} if own is None else own(net)


def has_views(method: Method) -> bool:
    """Return whether evaluations need all the training streams, for the views."""
    return hasattr(method, "views")


def load_method(name: str) -> Method:
    """Return a method by name."""
    if name not in METHODS:
        raise UsageError(f"unknown method {name!r}; known: {', '.join(sorted(METHODS))}")
    return cast("Method", importlib.import_module(METHODS[name]))
