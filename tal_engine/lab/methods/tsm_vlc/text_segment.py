"""TSM's text queries: class names behind learned prompts, through one transformer block (paper 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....errors import UsageError
from .config import Config
from .words import WordTable, around


def sinusoids(length: int, width: int) -> Tensor:
    """Compute positions [length, width]: sines, then cosines; position 0 is zero (public code)."""
    half = width // 2
    rates = torch.exp(torch.arange(half) * -(torch.log(torch.tensor(1e4)) / max(half - 1, 1)))
    angles = torch.arange(length)[:, None] * rates[None]
    table = torch.cat([angles.sin(), angles.cos()], 1)
    table = functional.pad(table, (0, width - table.shape[1]))
    table[0] = 0
    return table


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Create a layer initialised as TSM's are: kaiming uniform, bias 0."""
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class AffineDropPath(nn.Module):
    """A residual branch [N, L, D], scaled by channel; in training it is left out for some of the N (classes)."""

    def __init__(self, width: int, dropout: float, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), scale))
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        kept = functional.dropout(x.new_ones(len(x), 1, 1), self.dropout, self.training)
        return x * self.scale * kept


class TextBlock(nn.Module):
    """Self-attention and an MLP, each on a residual branch, without normalisation: [N, L, D] -> token 0, [N, D].

    The other tokens are keys and values only: what the branches would make of them, nobody reads.
    """

    def __init__(self, config: Config, width: int) -> None:
        super().__init__()
        if width % config.heads:
            raise UsageError(f"heads is {config.heads}, must divide the width of the text block ({width})")
        self.heads = config.heads
        self.query, self.key, self.value, self.out = (linear(width, width) for _ in range(4))
        inner, drop = config.mlp_ratio * width, config.mlp_dropout
        self.mlp = nn.Sequential(
            linear(width, inner), nn.GELU(), nn.Dropout(drop), linear(inner, width), nn.Dropout(drop)
        )
        self.branches = nn.ModuleList(
            [AffineDropPath(width, config.path_dropout, config.branch_scale) for _ in range(2)]
        )

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Apply the block; `real` [N, L] marks the tokens that can be attended to."""
        first = x[:, :1]
        q, k, v = (
            f(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for f, y in ((self.query, first), (self.key, x), (self.value, x))
        )
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=real[:, None, None, :])
        first = first + self.branches[0](self.out(seen.transpose(1, 2).flatten(2)))
        first = first + self.branches[1](self.mlp(first))
        return first[:, 0]


class TextQueries(nn.Module):
    """Queries [C (+ 1), width] of the classes and, if wanted, of background (Eq. 2).

    Every class is a row of tokens: start, prompts, the words of its name. Background has zero vectors, which learn,
    in place of the words.
    """

    name_ids: Tensor
    name_known: Tensor
    real: Tensor
    positions: Tensor

    def __init__(
        self, config: Config, width: int, table: WordTable, names: Sequence[Sequence[str]], background: bool
    ) -> None:
        super().__init__()
        object.__setattr__(self, "_table", table)  # shared with VLC
        self.config = config
        rows, dim = len(names) + background, table.width
        learned, longest = config.prompt == "learned", max(len(n) for n in names)
        template = ([], []) if learned else around(config.template)
        self.template = [torch.tensor(table.rows(w), dtype=torch.long) for w in template]
        self.prompts = nn.Parameter(torch.empty(rows, config.prompts, dim)) if learned else None
        # As wide as kaiming's rule makes the code's prompts: [C + 1, dim, prompts] has a fan-in of dim * prompts.
        bound = (6 / (dim * config.prompts)) ** 0.5
        if self.prompts is not None:
            nn.init.uniform_(self.prompts, -bound, bound)
        self.start = nn.Parameter(torch.empty(dim).uniform_(-bound, bound)) if config.start == "token" else None
        self.background = nn.Parameter(torch.zeros(longest, dim)) if background else None
        self._place_names(table, names, longest, rows)
        length = self.real.shape[1]
        # Published widths are multiples of the heads; a layer of ours fits a block that had to be wider.
        inner = config.text_width or -(-width // config.heads) * config.heads
        self.embed = linear(dim, inner)
        self.dropout = nn.Dropout(config.text_dropout)
        self.learned_positions = nn.Parameter(torch.randn(rows, length, inner) * config.position_std)
        scale = inner**-0.5 if config.position_scale == "root_width" else 1.0
        self.register_buffer("positions", sinusoids(length, inner) * scale, persistent=False)
        self.block = TextBlock(config, inner)
        #: Ours: published text blocks are as wide as the embedding of the video.
        self.fit = nn.Identity() if inner == width else linear(inner, width)

    def _place_names(self, table: WordTable, names: Sequence[Sequence[str]], longest: int, rows: int) -> None:
        """Find each word of the names [C, W] in the table, and mark the real tokens [C (+ 1), L]."""
        known = torch.tensor([[i < len(n) for i in range(longest)] for n in names])
        ids = torch.tensor([table.rows([n[i % len(n)] for i in range(longest)]) for n in names])
        if self.config.short_names == "repeat":
            known = torch.ones_like(known)
        before, after = self._around
        words = torch.ones(rows, longest, dtype=torch.bool)
        if self.config.short_names == "masked":
            words[: len(names)] = known
        ones = torch.ones(rows, 1, dtype=torch.bool)
        real = torch.cat([ones.expand(-1, before), words, ones.expand(-1, after)], 1)
        for key, value in (("name_ids", ids), ("name_known", known), ("real", real)):
            self.register_buffer(key, value, persistent=False)

    @property
    def _around(self) -> tuple[int, int]:
        """Tokens before and after the words of a name."""
        start = int(self.start is not None)
        if self.prompts is not None:
            return start + self.prompts.shape[1], 0
        return start + len(self.template[0]), len(self.template[1])

    def tokens(self) -> Tensor:
        """Return the vectors of the tokens, [C (+ 1), L, dim]."""
        table: WordTable = self._table  # type: ignore[assignment]
        names = table.vectors[self.name_ids] * self.name_known[..., None]
        if self.background is not None:
            names = torch.cat([names, self.background[None]])
        rows = len(names)

        def same(x: Tensor) -> Tensor:
            return x.expand(rows, -1, -1)

        parts = [] if self.start is None else [same(self.start[None])]
        if self.prompts is not None:
            return torch.cat([*parts, self.prompts, names], 1)
        before, after = (same(table.vectors[ids.to(table.vectors.device)]) for ids in self.template)
        return torch.cat([*parts, before, names, after], 1)

    def forward(self) -> Tensor:
        x = self.dropout(functional.leaky_relu(self.embed(self.tokens()), 0.2))
        x = x + self.learned_positions + self.positions
        queries: Tensor = self.fit(self.block(x, self.real))
        return queries


class InnerProduct(nn.Module):
    """CAS of inference: embedding [B, T, D] times folded queries, [B, T, C (+ 1)]."""

    queries: Tensor

    def __init__(self, queries: Tensor) -> None:
        super().__init__()
        self.register_buffer("queries", queries.detach())

    def forward(self, embedding: Tensor) -> Tensor:
        # Not a matrix product: of that the exporter would fix the number of videos.
        return functional.linear(embedding, self.queries)
