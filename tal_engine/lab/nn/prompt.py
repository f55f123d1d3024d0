"""Learned prompts around class names, through a frozen text tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ...errors import UsageError
from .initial import SMALL_STD
from .text import TextEncoder, spoken


class PromptLearner(nn.Module):
    """Text embeddings [C (+ 1), dim] of class names and, if wanted, background, with learned context.

    layout "affix" (PVLR, paper): start, `prefix` learned vectors, the name, `suffix` learned
    vectors, end; the background is one learned vector of the joint space.
    layout "full" (PVLR, public code): every position but the start and the name's tokens is
    learned, padding included; the end is read `suffix` after the name; the background is a
    sequence of learned vectors only, read at position 0.
    """

    def __init__(
        self,
        text: TextEncoder,
        names: Sequence[str],
        *,
        prefix: int = 4,
        suffix: int = 4,
        layout: Literal["affix", "full"] = "affix",
        std: float = SMALL_STD,
        background: bool = True,
    ) -> None:
        super().__init__()
        object.__setattr__(self, "_text", text)  # frozen and shared: not a part of this module's state
        self.layout, self.prefix, self.suffix = layout, prefix, suffix
        self.tokens = [text.tokenize(spoken(n)) for n in names]
        longest = max(len(t) for t in self.tokens)
        if prefix + longest + suffix + 2 > text.context:
            long = names[[len(t) for t in self.tokens].index(longest)]
            raise UsageError(f"class name {long!r} has {longest} tokens, too many for a context of {text.context}")
        whole = layout == "full" or text.padded
        self._length = text.context if whole else 2 + prefix + longest + suffix
        rows = text.context if layout == "full" else prefix + suffix
        self.context = nn.Parameter(torch.randn(rows, text.width) * std)
        self.has_background = background
        learned = background and layout == "affix"
        self.background = nn.Parameter(torch.randn(text.dim) * std) if learned else None

    def forward(self) -> Tensor:
        text: TextEncoder = self._text  # type: ignore[assignment]
        rows, ends = [], []
        for tokens in self.tokens:
            row, end = self._row(text, tokens)
            rows.append(row)
            ends.append(end)
        if self.layout == "full" and self.has_background:
            rows.append(self.context)
            ends.append(0)
        out = text.encode(torch.stack(rows), torch.tensor(ends, device=self.context.device))
        return out if self.background is None else torch.cat([out, self.background[None]])

    def _row(self, text: TextEncoder, tokens: list[int]) -> tuple[Tensor, int]:
        start, stop, pad = text.special
        device = self.context.device

        def embed(ids: list[int]) -> Tensor:
            return text.embed_tokens(torch.tensor(ids, dtype=torch.long, device=device))

        n, first = len(tokens), [] if start is None else [start]
        if self.layout == "full":
            at = self.prefix + 1
            end = self.prefix + n + self.suffix
            return torch.cat([embed(first), self.context[len(first) : at], embed(tokens), self.context[at + n :]]), end
        before, after = self.context[: self.prefix], self.context[self.prefix :]
        end = len(first) + self.prefix + n + self.suffix
        padding = [pad] * (self._length - end - 1)
        return torch.cat([embed(first), before, embed(tokens), after, embed([stop, *padding])]), end
