"""A text tower that needs no weights: hashed words through one frozen random layer.

It knows no meaning: two texts are close where they share words. It stands where CLIP's text tower stands when there
is none, for the simulator and for tests, and gives the same vectors on every machine for the same seed.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...texts.tokenizer import Clean, Words
from .text import TextEncoder, spoken


class HashedText(TextEncoder):
    """Words to buckets, buckets to random vectors, one layer of attention, a rotation: [N, dim]."""

    context = 77
    _START, _END, _PAD, _FIRST, _BUCKETS = 0, 1, 2, 3, 4096

    _TABLE: ClassVar[dict[str, Any]] = {"words": [], "first": _FIRST, "buckets": _BUCKETS}

    table: Tensor
    query: Tensor
    out: Tensor

    def __init__(self, dim: int = 64, seed: int = 0) -> None:
        super().__init__()
        self.dim = self.width = dim
        self._tokenizer = Words(self._TABLE, self.special)
        rng = np.random.default_rng([seed, dim])

        def fixed(*shape: int) -> Tensor:
            return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

        table = fixed(self._FIRST + self._BUCKETS, dim)
        table[: self._FIRST] *= 0.1  # start, end and padding say little
        rotation, _ = torch.linalg.qr(fixed(dim, dim))
        for name, value in (("table", table), ("query", fixed(dim, dim) / dim), ("out", rotation)):
            self.register_buffer(name, value, persistent=False)

    def tokenize(self, text: str) -> list[int]:
        return self._tokenizer.encode(spoken(text))

    def stored_tokenizer(self) -> tuple[Literal["words", "tokenizer.json"], bytes, Clean]:
        return "words", json.dumps(self._TABLE).encode(), "none"

    @property
    def special(self) -> tuple[int | None, int, int]:
        return self._START, self._END, self._PAD

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        return self.table[tokens]

    def encode(self, embedded: Tensor, end: Tensor) -> Tensor:
        rows = torch.arange(embedded.shape[0], device=embedded.device)
        scores = torch.einsum("nd,de,nle->nl", embedded[rows, end], self.query, embedded) / self.dim**0.5
        beyond = torch.arange(embedded.shape[1], device=end.device)[None] > end[:, None]
        weights = scores.masked_fill(beyond, float("-inf")).softmax(1)
        pooled = torch.einsum("nl,nld->nd", weights, embedded)
        return functional.gelu(pooled) @ self.out + pooled @ self.out
