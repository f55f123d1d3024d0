"""VLC: the snippets that an attention keeps must tell the words of a masked sentence (paper 3.3, 3.4).

It only teaches the attention of the base head and is left out of plans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...heads.co2 import Attended, CrossAttention, attend, cross_attentions
from ...heads.interface import Batch
from ...heads.streams import add_parts, parts_of
from ...nn.losses import mean_of
from .config import Config
from .reconstructor import Recurrent, Transformer
from .text_segment import sinusoids
from .words import SentenceMaker, Sentences, WordTable, drawn_masks


@contextmanager
def fixed(module: nn.Module) -> Iterator[None]:
    """Block gradients to the module's parameters inside the block."""
    learned = [p for p in module.parameters() if p.requires_grad]
    for p in learned:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learned:
            p.requires_grad_(True)


def disagreement(attention: Tensor, fixed_one: Tensor, rule: str, mask: Tensor | None = None) -> Tensor:
    """Compute how far an attention [B, T] is from one that does not learn (Eq. 11, Table 5): "mse", "mae" or "kl"."""
    target = fixed_one.detach()
    if rule == "mse":
        return mean_of((attention - target) ** 2, mask)
    if rule == "mae":
        return mean_of((attention - target).abs(), mask)
    p, q = (x.float().clamp(1e-6, 1 - 1e-6) for x in (target, attention))
    return mean_of(p * torch.log(p / q) + (1 - p) * torch.log((1 - p) / (1 - q)), mask)


class Reconstructor(nn.Module):
    """Everything of VLC but its attention: snippets and a sentence to a loss for every video."""

    def __init__(self, config: Config, table: WordTable, vocabulary: int) -> None:
        super().__init__()
        object.__setattr__(self, "_table", table)  # shared with TSM
        self.config = config
        width = config.width
        self.frame = nn.Linear(config.total, width)
        self.word = nn.Linear(table.width, width)
        self.start = nn.Parameter(torch.zeros(table.width))
        self.mask = nn.Parameter(torch.zeros(table.width)) if config.masking == "words" else None
        self.body = Transformer(config) if config.reconstructor == "transformer" else Recurrent(config)
        #: The end of a sentence, then the words of the table.
        self.logits = nn.Linear(width, vocabulary)

    def words(self, sentences: Sentences, masked: Tensor) -> Tensor:
        """Embed what is read for each position, [B, M + 1, width]: the start, then the words, a mask where `masked`."""
        table: WordTable = self._table  # type: ignore[assignment]
        vectors = functional.pad(table.vectors, (0, 0, 1, 0))[sentences.ids]
        rows = len(vectors)
        x = torch.cat([self.start.expand(rows, 1, -1), vectors], 1)
        x = self.word(functional.dropout(x, self.config.vlc_dropout, self.training))
        if self.mask is None:
            return x
        hidden = functional.pad(masked, (1, 0))[..., None]
        x = torch.where(hidden, self.word(self.mask), x)
        return x + sinusoids(x.shape[1], x.shape[2]).to(x)

    def targets(self, sentences: Sentences) -> tuple[Tensor, Tensor]:
        """Return the word after each position [B, M + 1], 0 at the end, and which positions count."""
        ids = functional.pad(sentences.ids, (0, 1))
        count = sentences.real.sum(1, keepdim=True) + self.config.end_token
        return ids, torch.arange(ids.shape[1], device=ids.device)[None] < count

    def forward(
        self, video: Tensor, weights: Tensor, sentences: Sentences, masked: Tensor, frames: Tensor | None
    ) -> Tensor:
        """Compute the loss of each video's sentence by each of N attentions, [N, B] (Eq. 9).

        video [B, T, total], weights [N, B, T]. The attentions see the same words and the same dropout, so that
        what they are compared by is the snippets that they keep.
        """
        c, count = self.config, len(weights)

        def each(x: Tensor) -> Tensor:
            return x.repeat(count, *[1] * (x.ndim - 1))

        x = self.frame(functional.dropout(video, c.vlc_dropout, self.training))
        ids, counts = self.targets(sentences)
        hidden = self.body(
            each(x), weights.flatten(0, 1), each(self.words(sentences, masked)), each(counts),
            None if frames is None else each(frames),
        )  # fmt: skip
        losses = functional.cross_entropy(
            self.logits(hidden).transpose(1, 2).float(), each(ids), reduction="none", label_smoothing=c.label_smoothing
        )
        total = (losses * each(counts)).sum(1).unflatten(0, (count, -1))
        return total if c.word_loss == "sum" else total / counts.sum(1).clamp(min=1)


class Completion(nn.Module):
    """VLC: an attention of its own (Eq. 5), a reconstructor, and their losses."""

    def __init__(self, config: Config, table: WordTable, names: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self.config = config
        self.sentences = SentenceMaker(names, config.sentence, config.key_weight)
        self.reconstructor = Reconstructor(config, table, len(table.words) + 1)
        if config.consistency != "shared":
            add_parts(self, cross_attentions(config.visual, config.attention_config))

    def look(self, batch: Batch, lent: Mapping[str, CrossAttention] | None) -> Attended:
        """Compute the attention of a batch by its own gates or, if it has none, by those that are lent."""
        gates = parts_of(self, self.config.visual) if lent is None else lent
        share = self.config.attention_config.flow_share
        rebuild = lent is None and self.config.vlc_reconstruction_weight > 0
        return attend(gates, batch.streams, batch.mask, share, rebuild=rebuild)

    def loss(
        self, batch: Batch, attention: Tensor | None, lent: Mapping[str, CrossAttention] | None = None
    ) -> dict[str, Tensor]:
        """Compute weighted terms; `attention` [B, T] is the base head's, att_m."""
        c = self.config
        seen = self.look(batch, lent)
        terms = self._completion(seen, batch)
        if lent is None:
            if seen.error is not None:
                terms["vlc_reconstruction"] = c.vlc_reconstruction_weight * seen.error
            if attention is not None and c.consistency_weight:
                for name, a, b in (("con_tsm", attention, seen.attention), ("con_vlc", seen.attention, attention)):
                    terms[name] = c.consistency_weight * disagreement(a, b, c.consistency, batch.mask)
        return terms

    def _completion(self, seen: Attended, batch: Batch) -> dict[str, Tensor]:
        """Compute rec (Eq. 9) for the reconstructor, contrast (Eq. 10) for the attention."""
        c = self.config
        table: WordTable = self.reconstructor._table  # type: ignore[assignment]
        sentences = self.sentences(batch.labels, table)
        video, weight = seen.filtered.transpose(1, 2), seen.attention
        whole = torch.ones_like(weight)
        joint = c.updates == "joint"
        terms: dict[str, Tensor] = {}
        masked = drawn_masks(sentences)
        if c.rec_weight:
            weights = torch.stack([weight, whole] if c.learn_whole else [weight])
            v, weights = (video, weights) if joint else (video.detach(), weights.detach())
            losses = self.reconstructor(v, weights, sentences, masked, batch.mask)
            terms["rec"] = c.rec_weight * losses.mean(1).sum()
        if c.contrast_weight:
            masked = masked if joint else drawn_masks(sentences)  # other words for the other part (code)
            weights = torch.stack([weight, whole, 1 - weight])
            with nullcontext() if joint else fixed(self.reconstructor):
                losses = self.reconstructor(video, weights, sentences, masked, batch.mask)
            terms["contrast"] = c.contrast_weight * self._contrast(*losses)
        return terms

    def _contrast(self, kept: Tensor, whole: Tensor, rest: Tensor) -> Tensor:
        """Compute Eq. 10 over the videos: the kept snippets predict the sentence better than all, and than the rest."""
        c = self.config
        return (functional.relu(kept - whole + c.margin_whole) + functional.relu(kept - rest + c.margin_rest)).mean()
