"""A head that reads a stream snippet by snippet: a recurrent network whose delayed outputs see a little ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import require


@dataclass(frozen=True, kw_only=True)
class OnlineConfig:
    """Sizes of an `OnlineHead`.

    look_ahead: snippets that delayed outputs see beyond their own. hidden: width of each recurrent layer. layers: how
    many there are. dropout: between layers, and of what they read. horizon_s: see `plan.online_fields.OnlineOptions`.
    """

    look_ahead: int = 1
    hidden: int = 128
    layers: int = 1
    dropout: float = 0.4
    horizon_s: float = 2.0

    def __post_init__(self) -> None:
        require(0 <= self.look_ahead <= 1000, "look_ahead", self.look_ahead, "in 0..1000 snippets")
        require(8 <= self.hidden <= 4096, "hidden", self.hidden, "in 8..4096")
        require(1 <= self.layers <= 8, "layers", self.layers, "in 1..8")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "in [0, 1)")
        require(0 < self.horizon_s < 1e4, "horizon_s", self.horizon_s, "positive seconds")


#: What the last layer gives of each snippet, beside the activations of classes: delayed ones, then that of now.
DELAYED = ("actionness", "start", "end")
CAUSAL = ("hazard",)


class OnlineHead(nn.Module):
    """Features of a stream to logits; what it remembers is one vector, so memory and time a snippet are constant.

    Args:
        streams: widths of the features by name.
        classes: how many.
        config: sizes.

    Source: the recurrent online detectors that OnPoint, OAT and MATR are compared with, and MiniROAD (An et al., ICCV
    2023), which found one GRU enough.
    """

    def __init__(self, streams: Mapping[str, int], classes: int, config: OnlineConfig) -> None:
        super().__init__()
        self.streams, self.classes, self.config = dict(streams), classes, config
        width = sum(streams.values())
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.reduce = nn.Linear(width, config.hidden)
        self.gru = nn.GRU(config.hidden, config.hidden, config.layers, batch_first=True)
        self.drop = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.hidden, 2 * classes + len(DELAYED) + len(CAUSAL))

    @property
    def memory(self) -> int:
        """How many numbers it remembers."""
        return self.config.hidden * self.config.layers

    def forward(self, x: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read snippets in order.

        Args:
            x: all streams beside each other, in their order, [B, T, D].
            memory: what it remembers, [B, M]; None: a stream begins.

        Returns:
            Logits [B, T, 2 C + 4]: classes (delayed), classes (now), `DELAYED`, `CAUSAL`; and the next memory [B, M].
        """
        layers, hidden = self.config.layers, self.config.hidden
        before = None if memory is None else memory.reshape(-1, layers, hidden).transpose(0, 1).contiguous()
        x = torch.relu(self.reduce(self.drop((x - self.mean) * self.scale)))
        y, after = self.gru(self.drop(x), before)
        return self.out(self.drop(y)), after.transpose(0, 1).reshape(len(x), -1)
