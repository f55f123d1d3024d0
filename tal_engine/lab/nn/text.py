"""What a text tower must offer so that prompts can be learned around class names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...texts.spoken import spoken
from ...texts.tokenizer import Clean
from .tokens import ClipTokenizer

__all__ = ["ClipTokens", "TextEncoder", "check_joint", "spoken"]


class TextEncoder(nn.Module):
    """A text tower. Token embeddings go in, so that learned vectors can stand between words.

    context: most tokens of a text, start and end included. width: of a token embedding.
    dim: of the output, the joint image-text space. padded: texts are filled up to `context`, since padding is seen.
    """

    context: int
    width: int
    dim: int
    padded: bool = False

    @abstractmethod
    def tokenize(self, text: str) -> list[int]:
        """Return the token ids of a text, without start and end."""

    @property
    @abstractmethod
    def special(self) -> tuple[int | None, int, int]:
        """Ids of start, end and padding; start is None where texts have none."""

    @abstractmethod
    def stored_tokenizer(self) -> tuple[Literal["words", "tokenizer.json"], bytes, Clean]:
        """Return its tokenizer as plans keep it: kind, content, how texts are cleaned before."""

    @abstractmethod
    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Embed token ids [...] as [..., width]."""

    @abstractmethod
    def encode(self, embedded: Tensor, end: Tensor) -> Tensor:
        """Encode embedded texts [N, L, width] whose end tokens are at `end` [N] as vectors [N, dim]."""

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Encode plain texts as vectors [N, dim]."""
        start, stop, pad = self.special
        device = next((t.device for t in (*self.parameters(), *self.buffers())), None)
        first = [] if start is None else [start]
        rows = [[*first, *self.tokenize(t)[: self.context - 1 - len(first)], stop] for t in texts]
        length = self.context if self.padded else max(len(r) for r in rows)
        tokens = torch.tensor([r + [pad] * (length - len(r)) for r in rows], device=device)
        end = torch.tensor([len(r) - 1 for r in rows], device=device)
        return self.encode(self.embed_tokens(tokens), end)


class ClipTokens(TextEncoder):
    """A text tower that reads CLIP's byte pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer = ClipTokenizer()

    def tokenize(self, text: str) -> list[int]:
        return self.tokenizer.encode(spoken(text))

    @property
    def special(self) -> tuple[int | None, int, int]:
        return self.tokenizer.special

    def stored_tokenizer(self) -> tuple[Literal["words", "tokenizer.json"], bytes, Clean]:
        return "tokenizer.json", *self.tokenizer.stored()


def check_joint(text: TextEncoder | None, joint: int) -> None:
    """Refuse a text tower of another width than a config's joint space.

    Raises:
        UsageError: naming both widths.
    """
    if text is not None and text.dim != joint:
        raise UsageError(f"the text tower gives {text.dim} dimensions, joint is {joint}")
