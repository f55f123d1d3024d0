"""Self-attention over time: pre-norm transformer layers that keep padding out of the data."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError
from .initial import SMALL_STD


class TransformerLayer(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)), over [B, T, D]; the MLP is 4 D wide with CLIP's quick GELU."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: [B, T], 0 where a snippet is padding; no snippet looks at those."""
        x = x + self._drop(self.mixed(self._attend(self.before_attention(x), mask)))
        hidden = self.up(self.before_mlp(x))
        hidden = hidden * torch.sigmoid(1.702 * hidden)
        return x + self._drop(self.down(self._drop(hidden)))

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        b, t, d = x.shape
        parts = self.query_key_value(x).reshape(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else (mask > 0)[:, None, None, :]
        rate = self.dropout if self.training else 0.0
        out = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=seen, dropout_p=rate)
        return out.transpose(1, 2).reshape(b, t, d)

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)


class TemporalTransformer(nn.Module):
    """Learned positions and `layers` transformer layers: [B, T, D] -> [B, T, D].

    Args:
        width: D.
        layers, heads, dropout: of the transformer.
        positions: rows of the position table: the number of snippets that training samples. A shorter video
            uses the first rows, as it does when it is padded in training; for a longer one the table is
            stretched linearly over the whole video.
        std: standard deviation of all initial weights (biases 0), which close to 0 makes the transformer start
            out as the identity; None keeps torch's own for the layers and `SMALL_STD` for the positions.

    Raises:
        UsageError: the heads do not divide the width, or a count is not positive.
    """

    def __init__(
        self, width: int, *, layers: int, heads: int, dropout: float, positions: int, std: float | None = None
    ) -> None:
        super().__init__()
        if min(layers, heads, positions) < 1:
            raise UsageError(f"layers, heads and positions are {layers}, {heads}, {positions}, must be at least 1")
        if width % heads:
            raise UsageError(f"{heads} heads do not divide a width of {width}")
        self.positions = nn.Parameter(torch.randn(positions, width) * (SMALL_STD if std is None else std))
        self.layers = nn.ModuleList([TransformerLayer(width, heads, dropout) for _ in range(layers)])
        if std is not None:
            for module in self.layers.modules():
                if isinstance(module, nn.Linear):
                    nn.init.normal_(module.weight, std=std)
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.rows(x.shape[1])
        for layer in self.layers:
            x = layer(x, mask)
        return x

    def rows(self, length: int) -> Tensor:
        """Return the positions of a video of `length` snippets, [length, D], for any T in a graph."""
        last = self.positions.shape[0] - 1
        at = torch.arange(length, device=self.positions.device, dtype=torch.float32)
        at = (at * (last / at[-1:].clamp(min=max(last, 1)))).clamp(max=last)
        low = at.floor().long()
        share = (at - low)[:, None]
        return self.positions[low] * (1 - share) + self.positions[(low + 1).clamp(max=last)] * share
