"""A head that reads a stream snippet by snippet: what a stem says of each class, followed over time.

The same small recurrent network follows every class by itself, so it learns what an action looks like in time and not
which classes there were. Its delayed outputs see a little ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import require


@dataclass(frozen=True, kw_only=True)
class OnlineConfig:
    """Sizes of an `OnlineHead`.

    look_ahead: snippets that delayed outputs see beyond their own. hidden: numbers that are remembered of each class.
    dropout: of what is remembered, in training. window: the teacher's snippets that the stem reads. overlap: a snippet
    begins so many times while one of the teacher's lasts. horizon_s: see `plan.online_fields.OnlineOptions`.
    """

    look_ahead: int = 1
    hidden: int = 24
    dropout: float = 0.2
    window: int = 6
    overlap: int = 1
    horizon_s: float = 2.0

    def __post_init__(self) -> None:
        require(0 <= self.look_ahead <= 1000, "look_ahead", self.look_ahead, "in 0..1000 snippets")
        require(2 <= self.hidden <= 4096, "hidden", self.hidden, "in 2..4096")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "in [0, 1)")
        require(1 <= self.overlap <= 64, "overlap", self.overlap, "in 1..64")
        least = self.look_ahead // self.overlap + 1
        allowed = f"in {least}..1000 snippets, as {self.look_ahead} are looked ahead"
        require(least <= self.window <= 1000, "window", self.window, allowed)
        require(0 < self.horizon_s < 1e4, "horizon_s", self.horizon_s, "positive seconds")


#: What is given of each snippet, whatever the class: three delayed outputs and one of now.
SCALARS = ("actionness", "start", "end", "hazard")
#: Numbers that are read of each class: its own at both places, the attention at both, and the likeliest other class.
READ = 6


class OnlineHead(nn.Module):
    """What a stem says of C classes to logits; what it remembers is one vector, so memory and time are constant.

    Args:
        classes: how many.
        config: sizes.

    Source: MiniROAD (An et al., ICCV 2023) found one GRU enough for online detection; that all classes share it is
    ours.
    """

    def __init__(self, classes: int, config: OnlineConfig) -> None:
        super().__init__()
        self.classes, self.config = classes, config
        self.gru = nn.GRU(READ, config.hidden, batch_first=True)
        self.drop = nn.Dropout(config.dropout)
        self.each = nn.Linear(config.hidden + READ, 2)
        self.any = nn.Linear(config.hidden + READ, len(SCALARS))

    @property
    def memory(self) -> int:
        """How many numbers it remembers."""
        return self.config.hidden * self.classes

    def forward(self, said: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Read snippets in order.

        Args:
            said: what `stem.TeacherStem` gives, [B, T, 2, C + 1].
            memory: what it remembers, [B, M]; None: a stream begins.

        Returns:
            Logits of the classes [B, T, C, 2], delayed and now; logits of `SCALARS` [B, T, 4]; the next memory [B, M].
        """
        batch, time, classes, hidden = len(said), said.shape[1], self.classes, self.config.hidden
        x = self._read(said)
        before = None if memory is None else memory.reshape(1, batch * classes, hidden)
        y, after = self.gru(x.transpose(1, 2).reshape(batch * classes, time, READ), before)
        y = y.reshape(batch, classes, time, hidden).transpose(1, 2)
        both = torch.cat([self.drop(y), x], dim=3)
        return self.each(both), self.any(both.amax(dim=2)), after.reshape(batch, -1)

    def _read(self, said: Tensor) -> Tensor:
        """Put beside each class the attention and the likeliest of the others: [B, T, C, 6]."""
        likely, attention = said[..., :-1], said[..., -1:].expand(*said.shape[:-1], self.classes)
        own = torch.eye(self.classes, device=said.device)
        others = (likely[..., None, :] - 2 * own).amax(dim=-1).clamp_min(0)
        return torch.cat([likely, attention, others], dim=2).transpose(2, 3)
