"""Reconstructors of VLC: snippets, weighted by an attention, and a masked sentence to the words (paper 3.3, Table 6).

`weight` [B, T] is att_r, 1 - att_r, or 1 for the whole video. `frames` [B, T] is 0 where a snippet is padding.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import Config

#: Keeps snippets of weight 0 from leaving nothing to attend to (public code).
_TINY = 1e-10


def weighted_softmax(
    logits: Tensor, weight: Tensor | None, allowed: Tensor | None, rule: Literal["inside", "after"]
) -> Tensor:
    """Compute attention weights over the last axis of logits [B, H, M, T].

    weight [B, T] is multiplied with the logits ("inside", Eq. 6 and 7) or with the softmax, which is then normalised
    again ("after"). allowed, broadcast to the logits: where it is False nothing is attended to.
    """
    w = None if weight is None else weight[:, None, None, :]
    if w is not None and rule == "inside":
        logits = logits * w
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -1e30)
    p = functional.softmax(logits.float(), dim=-1)
    if w is None or rule == "inside":
        return p
    p = p * (w.float() + _TINY)
    return p / p.sum(-1, keepdim=True)


class WeightedAttention(nn.Module):
    """Multi-head attention of queries [B, M, D] to a memory [B, T, D]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads, self.rule = config.vlc_heads, config.weighting
        width = config.width
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, memory: Tensor, weight: Tensor | None, real: Tensor | None, causal: bool) -> Tensor:
        """Attend to the memory; `real` [B, T] marks what is not padding; `causal`: position m sees up to m."""

        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(memory)), split(self.value(memory))
        allowed = None if real is None else real[:, None, None, :]
        if causal:
            past = torch.ones(x.shape[1], memory.shape[1], dtype=torch.bool, device=x.device).tril()
            allowed = past if allowed is None else allowed & past
        p = weighted_softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, weight, allowed, self.rule)
        seen: Tensor = self.out((p.to(v.dtype) @ v).transpose(1, 2).flatten(2))
        return seen


class Layer(nn.Module):
    """Self-attention, attention to a memory if there is one, feed-forward; normalised after each sum."""

    def __init__(self, config: Config, crosses: bool) -> None:
        super().__init__()
        width = config.width
        self.itself = WeightedAttention(config)
        self.memory = WeightedAttention(config) if crosses else None
        self.feedforward = nn.Sequential(
            nn.Linear(width, config.feedforward), nn.ReLU(), nn.Linear(config.feedforward, width)
        )
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3 if crosses else 2)])

    def forward(
        self,
        x: Tensor,
        weight: Tensor | None,
        real: Tensor | None,
        causal: bool,
        memory: tuple[Tensor, Tensor | None, Tensor | None] | None = None,
    ) -> Tensor:
        """Let x [B, M, D] attend to itself, weighted, then to a memory (vectors, weight, which are no padding)."""
        x = self.norms[0](x + self.itself(x, x, weight, real, causal))
        if self.memory is not None and memory is not None:
            x = self.norms[1](x + self.memory(x, *memory, False))
        y: Tensor = self.norms[-1](x + self.feedforward(x))
        return y


class Transformer(nn.Module):
    """An encoder of snippets, weighted (Eq. 6), and a causal decoder of words (Eq. 7): [B, M, D]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.causal_video = config.causal_video
        self.encoder = nn.ModuleList([Layer(config, crosses=False) for _ in range(config.encoder_layers)])
        self.decoder = nn.ModuleList([Layer(config, crosses=True) for _ in range(config.decoder_layers)])

    def forward(self, video: Tensor, weight: Tensor, words: Tensor, real: Tensor, frames: Tensor | None) -> Tensor:
        kept = None if frames is None else frames > 0
        for layer in self.encoder:
            video = layer(video, weight, kept, self.causal_video)
        for layer in self.decoder:
            words = layer(words, None, real, True, (video, weight, kept))
        return words


class Recurrent(nn.Module):
    """A GRU or LSTM over the words, `decoder_layers` deep: [B, M, D].

    Ours, for the paper does not describe them: it begins with the weighted mean of the snippets as its state, and
    reads it again beside every word.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        kind = nn.GRU if config.reconstructor == "gru" else nn.LSTM
        self.layers = config.decoder_layers
        self.cell = kind(config.width, config.width, config.decoder_layers, batch_first=True)

    def forward(self, video: Tensor, weight: Tensor, words: Tensor, real: Tensor, frames: Tensor | None) -> Tensor:
        w = weight + _TINY if frames is None else (weight + _TINY) * frames
        summary = (video * w[..., None]).sum(1) / w.sum(1, keepdim=True).clamp(min=_TINY)
        first = summary.expand(self.layers, -1, -1).contiguous()
        state = first if isinstance(self.cell, nn.GRU) else (first, torch.zeros_like(first))
        hidden: Tensor = self.cell(words + summary[:, None], state)[0]
        return hidden
