"""What a text tower must offer so that prompts can be learned around class names."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..._util.extras import need
from ...errors import UsageError


def spoken(name: str) -> str:
    """Split a class name into words: CleanAndJerk -> Clean And Jerk, sit_down -> sit down.

    Raises:
        UsageError: it has neither a letter nor a digit, so that every such class would be the same text.
    """
    if not re.search(r"[^\W_]", name):
        raise UsageError(f"class name {name!r} has no words, a text tower cannot tell what it means")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ")


class TextEncoder(nn.Module):
    """A text tower. Token embeddings go in, so that learned vectors can stand between words.

    context: most tokens of a text, start and end included. width: of a token embedding.
    dim: of the output, the joint image-text space.
    """

    context: int
    width: int
    dim: int

    @abstractmethod
    def tokenize(self, text: str) -> list[int]:
        """Return the token ids of a text, without start and end."""

    @property
    @abstractmethod
    def special(self) -> tuple[int, int, int]:
        """Ids of start, end and padding."""

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
        rows = [[start, *self.tokenize(t)[: self.context - 2], stop] for t in texts]
        length = max(len(r) for r in rows)
        tokens = torch.tensor([r + [pad] * (length - len(r)) for r in rows], device=device)
        end = torch.tensor([len(r) - 1 for r in rows], device=device)
        return self.encode(self.embed_tokens(tokens), end)


class ClipTokens(TextEncoder):
    """A text tower that reads CLIP's byte pairs."""

    def __init__(self) -> None:
        super().__init__()
        self._tokenizer = need("open_clip.tokenizer").SimpleTokenizer()

    def tokenize(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(spoken(text)))

    @property
    def special(self) -> tuple[int, int, int]:
        return self._tokenizer.sot_token_id, self._tokenizer.eot_token_id, 0


def check_joint(text: TextEncoder | None, joint: int) -> None:
    """Refuse a text tower of another width than a config's joint space.

    Raises:
        UsageError: naming both widths.
    """
    if text is not None and text.dim != joint:
        raise UsageError(f"the text tower gives {text.dim} dimensions, joint is {joint}")
