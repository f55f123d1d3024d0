"""What every base head offers: features -> activations, its own losses, and a place for another classifier.

A head turns snippet features into an embedding, an embedding into a class activation sequence (CAS), and both
into losses. Methods that replace the classifier (PVLR's Gaussians against texts, TSM's text queries) pass
`classify` and keep everything else, so they plug onto any head.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from ...errors import UsageError, require
from ...vocabulary import Vocabulary
from ..nn.temporal import ConvBlock, conv, mask_time
from .streams import StreamConfig, joined

H = TypeVar("H", bound="Head")

#: From an embedding [B, T, D] to a CAS [B, T, C (+ 1)].
Classifier = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Batch:
    """Videos of one training step, sampled to the same length.

    streams: name -> [B, T, D]. labels: [B, C] multi-hot, from the video level only. pairs: the
    first 2 * pairs videos are pairs that share a class. mask: [B, T], 0 where a snippet is padding;
    None when nothing is. names: of the videos, for messages. points: [B, T, C], 1 where a point of
    the class is; None for methods that do not read them. segments: of each video [N, 3], start and
    end in sampled snippets (t is the middle of snippet t) and label id; None for methods that do not
    read them. untimed: [B, C], 1 where a video has a class and no points or segments of it; None where it has
    those of all its classes, or the method reads none.
    """

    streams: Mapping[str, Tensor]
    labels: Tensor
    pairs: int = 0
    mask: Tensor | None = None
    names: tuple[str, ...] = ()
    points: Tensor | None = None
    segments: tuple[Tensor, ...] | None = None
    untimed: Tensor | None = None

    @property
    def clicked(self) -> Tensor:
        """The points, for those who cannot do without them.

        Raises:
            UsageError: the batch has none.
        """
        if self.points is None:
            raise UsageError("this method reads point labels, the batch has none")
        return self.points

    @property
    def timed(self) -> tuple[Tensor, ...]:
        """The segments, for those who cannot do without them.

        Raises:
            UsageError: the batch has none.
        """
        if self.segments is None:
            raise UsageError("this method reads segments with start and end, the batch has none")
        return self.segments


@dataclass(frozen=True)
class Output:
    """What a head makes of a batch.

    cas: [B, T, C], or [B, T, C + 1] with background last: logits before any suppression.
    embedding: [B, T, D], what the classifier read. attention: [B, T], how much each snippet is
    foreground, None for heads without one. parts: what only this head's own losses and inference read.
    """

    cas: Tensor
    embedding: Tensor
    attention: Tensor | None = None
    parts: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def foreground(self) -> Tensor:
        """The attention, for those who cannot do without one.

        Raises:
            UsageError: the head has none.
        """
        if self.attention is None:
            raise UsageError("this head has no attention")
        return self.attention


class Recipe(NamedTuple):
    """Published settings of a data set: fields of config and training options that differ from the defaults."""

    config: Mapping[str, Any]
    train: Mapping[str, Any]


class Head(nn.Module):
    """A base head; see the module. Subclasses set `width` and, without a background column, `background`."""

    #: Width of the embedding.
    width: int
    #: The last column of the CAS is background.
    background: bool = True
    #: The head's own classifier; None where one is always given.
    classifier: nn.Module | None

    @abstractmethod
    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        """Compute the activations of a batch; `classify` replaces the head's own classifier."""

    @abstractmethod
    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """Compute weighted loss terms by their published names."""

    @abstractmethod
    def activations(self, out: Output) -> dict[str, Tensor]:
        """Return what inference cuts into proposals.

        "cas" [B, T, C (+ 1)] first; "attention" [B, T] if some source of proposals reads it or people want to see it;
        "video" [B, C], class probabilities, if they are not those of the CAS's largest values.
        """

    def classified(self, embedding: Tensor, given: Classifier | None) -> Tensor:
        """Classify an embedding [B, T, D] by `given`, or else by the head's own convolution over time.

        Raises:
            UsageError: the head was built without a classifier and none was given.
        """
        own = self.classifier
        return need_classifier(None if own is None else lambda x: over_time(own, x), given)(embedding)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Compute `objective` of a batch, with the head's own classifier."""
        return self.objective(self(batch.streams, batch.mask), batch)


@dataclass(frozen=True, kw_only=True)
class WideConfig(StreamConfig):
    """What the config of a wide head begins with."""

    #: Width of the embedding; 0: as wide as all streams together, as published.
    embedding: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.embedding >= 0, "embedding", self.embedding, "0 or more")


class WideHead(Head):
    """A head whose embedding is one convolution over all streams, and whose classifier is linear (UM, CoLA, LACP)."""

    def __init__(self, config: Any, classes: int, own_classifier: bool = True) -> None:
        super().__init__()
        self.config = config
        self.width = width = config.embedding or config.total
        self.streams = tuple(config.visual)
        self.embed = ConvBlock(config.total, width, 3, 0.0, slope=0.0)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = conv(width, classes + self.background, 1, bias=False) if own_classifier else None

    def embedded(self, streams: Mapping[str, Tensor], mask: Tensor | None) -> Tensor:
        """Return the embedding [B, T, D] before the dropout."""
        return self.embed(mask_time(joined(streams, self.streams).transpose(1, 2), mask), mask).transpose(1, 2)


class FrozenHead(nn.Module):
    """A head for export: streams in by name, activations out by name."""

    def __init__(self, head: Head, classify: nn.Module | None = None) -> None:
        super().__init__()
        self.head, self.classify = head, classify

    def forward(self, **streams: Tensor) -> dict[str, Tensor]:
        return self.head.activations(self.head(streams, None, self.classify))


def probabilities(head: Head, out: Output) -> Tensor:
    """Compute each class's probability at each snippet, [B, T, C]; a background snippet can be low for every class.

    With a background column: softmax over all columns, without the last. Without one but with an attention (UM):
    softmax times attention. Else sigmoids. The rule is ours.
    """
    logits = out.cas.float()
    if head.background:
        return logits.softmax(-1)[..., :-1]
    if out.attention is not None:
        return logits.softmax(-1) * out.attention.float()[..., None]
    return torch.sigmoid(logits)


def freeze(net: nn.Module) -> nn.Module:
    """See `methods.protocol.Method.freeze`; every head is frozen alike."""
    if not isinstance(net, Head):
        raise TypeError(f"cannot freeze a {type(net).__name__} as a head")
    return FrozenHead(net).eval()


def builder(kind: Callable[[Any, int, bool], H]) -> Callable[..., H]:
    """Return `methods.protocol.Method.build` of a head; without `own_classifier` every call has to be given one."""

    def build(config: Any, vocabulary: Vocabulary, text: Any = None, *, own_classifier: bool = True) -> H:
        return kind(config, len(vocabulary), own_classifier)

    return build


def check_choices(config: Any) -> None:
    """Hold a config's fields against the texts that their `Literal` types allow.

    Raises:
        UsageError: one has another value; the message lists what is allowed.
    """
    for name, hint in get_type_hints(type(config)).items():
        if get_origin(hint) is Literal:
            value, allowed = getattr(config, name), get_args(hint)
            require(value in allowed, name, value, f"one of {', '.join(allowed)}")


def over_time(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer of [B, D, T] to x [B, T, D]."""
    out: Tensor = layer(x.transpose(1, 2))
    return out.transpose(1, 2)


def need_classifier(own: Classifier | None, given: Classifier | None) -> Classifier:
    """Return the classifier to use.

    Raises:
        UsageError: the head was built without one and none was given.
    """
    chosen = given or own
    if chosen is None:
        raise UsageError("this head was built without a classifier: one has to be given")
    return chosen
