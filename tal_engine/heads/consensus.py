"""Cross-modal consensus: RGB and flow gate each other, then agree on an attention.

Two published forms of the gate: CO2-Net's (PVLR's paper names it as its base) and the
auto-encoded one of Boosting-WTAL, which PVLR's public code uses on THUMOS14.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..nn.temporal import ConvBlock, mask_time, mean_time


class ConsensusOutput(NamedTuple):
    """embedding [B, T, rgb + flow]; attentions [B, T]: fused, RGB's, flow's."""

    embedding: Tensor
    attention: Tensor
    attention_rgb: Tensor
    attention_flow: Tensor


@dataclass(frozen=True)
class ConsensusConfig:
    """Widths and form of the base."""

    rgb: int = 1024
    flow: int = 1024
    #: "co2": CO2-Net's gate, fusion by a 1-wide convolution. "autoencoded": Boosting-WTAL's.
    gate: Literal["co2", "autoencoded"] = "co2"
    dropout: float = 0.5
    fusion_dropout: float = 0.7
    #: Dropout on the attention's logit (CO2-Net's code): half of the training attentions are 0.5.
    logit_dropout: float = 0.5


class _Attention(nn.Module):
    """Main stream, gated by the auxiliary one, to filtered features and an attention."""

    def __init__(self, main: int, aux: int, c: ConsensusConfig) -> None:
        super().__init__()
        self.autoencoded = c.gate == "autoencoded"
        half = main // 2
        self.channel = ConvBlock(main, main, 3, c.dropout)
        if self.autoencoded:
            self.encode = ConvBlock(aux, half, 3, c.dropout)
            # Only Boosting-WTAL's reconstruction loss trains it; PVLR keeps it without that loss.
            self.decode = ConvBlock(half, aux, 3, c.dropout)
            self.bit = ConvBlock(half, main, 3, c.dropout)
        else:
            self.bit = ConvBlock(aux, main, 3, c.dropout)
        self.hidden = nn.ModuleList([ConvBlock(main, half, 3, c.dropout), ConvBlock(half, half, 3, 0.0)])
        self.logit = nn.Conv1d(half, 1, 1)
        self.logit_dropout = nn.Dropout(c.logit_dropout)
        nn.init.kaiming_uniform_(self.logit.weight)
        nn.init.zeros_(self.logit.bias)  # type: ignore[arg-type]

    def forward(self, main: Tensor, aux: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        channel = self.channel(mean_time(main, mask))
        if self.autoencoded:
            bit = self.bit(self.encode(aux, mask), mask)
            agreement = (functional.normalize(channel, dim=1) * functional.normalize(bit, dim=1)).sum(1, keepdim=True)
            gate = torch.sigmoid(bit * agreement)
        else:
            gate = torch.sigmoid(self.bit(aux, mask) * channel)
        filtered = mask_time(gate * main, mask)
        x = filtered
        for layer in self.hidden:
            x = layer(x, mask)
        attention = torch.sigmoid(self.logit_dropout(self.logit(x)))
        return filtered, attention[:, 0]


class Consensus(nn.Module):
    """Two attentions that look at each other's stream, and a fused embedding."""

    def __init__(self, config: ConsensusConfig) -> None:
        super().__init__()
        width = config.rgb + config.flow
        self.rgb = _Attention(config.rgb, config.flow, config)
        self.flow = _Attention(config.flow, config.rgb, config)
        first = 3 if config.gate == "autoencoded" else 1
        self.fusion = nn.ModuleList(
            [ConvBlock(width, width, first, config.fusion_dropout), ConvBlock(width, width, 3, config.fusion_dropout)]
        )

    def forward(self, rgb: Tensor, flow: Tensor, mask: Tensor | None = None) -> ConsensusOutput:
        """rgb [B, T, D_rgb], flow [B, T, D_flow]; mask [B, T], 0 where a snippet is padding."""
        r, f = mask_time(rgb.transpose(1, 2), mask), mask_time(flow.transpose(1, 2), mask)
        filtered_r, attention_r = self.rgb(r, f, mask)
        filtered_f, attention_f = self.flow(f, r, mask)
        x = torch.cat([filtered_r, filtered_f], dim=1)
        for layer in self.fusion:
            x = layer(x, mask)
        return ConsensusOutput(x.transpose(1, 2), (attention_r + attention_f) / 2, attention_r, attention_f)
