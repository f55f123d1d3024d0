"""APN: embedding, boundaries and proposals of a video, and what they learn from points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from .... import ops
from ....errors import UsageError
from ....vocabulary import Vocabulary
from ...heads.interface import Batch
from ...heads.streams import joined, own_width
from ...nn.temporal import ConvBlock, mask_time
from ...nn.text import TextEncoder, check_joint, spoken
from .boundary import Boundaries, balanced_bce, targets
from .config import Config
from .contrast import contrast
from .evaluation import Evaluator, Proposals, candidates, drawn, interpolated, pem_loss, score
from .pseudo_labels import Memory, Pseudo, check_sum


class APN(nn.Module):
    """The network, and the pseudo-labels that it learns from."""

    text: Tensor

    def __init__(self, config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> None:
        super().__init__()
        self.config = c = config
        check_joint(text, c.joint)
        self.trainable = text is not None
        # The class texts never change: they are kept with the weights, so that inference needs no text tower.
        self.register_buffer("text", torch.zeros(len(vocabulary), c.joint))
        if text is not None:
            with torch.no_grad():
                said = [text([p.replace("[CLS]", spoken(n)) for n in vocabulary.names]) for p in c.prompts]
                self.text.copy_(torch.stack([nn.functional.normalize(t, dim=-1) for t in said]).mean(0))
        self.embedding = ConvBlock(c.total, c.width, 3, 0.0, slope=0.0)
        self.boundaries = Boundaries(c.width, c.hidden)
        self.evaluator = Evaluator(c, len(vocabulary))
        self.memory = Memory(c)

    def embed(self, streams: Mapping[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """Compute X (paper 3.2), channels first: [B, D, T].

        Raises:
            UsageError: the streams are not as wide as the config says.
        """
        widths = self.config.visual
        own_width(streams, widths)
        out: Tensor = self.embedding(mask_time(joined(streams, tuple(widths)).transpose(1, 2), mask), mask)
        return out

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Compute the weighted terms of Eq. 4, by the paper's names.

        Videos in whose sampled part no point is teach nothing: an action may be there all the same.

        Raises:
            UsageError: built without a text tower, or the batch has no points.
        """
        c = self.config
        if not self.trainable:
            raise UsageError("this network can only be frozen: built without a text tower")
        clicked = batch.clicked
        real = torch.ones_like(clicked[..., 0]) if batch.mask is None else batch.mask
        if bool((clicked.any(-1) & (real == 0)).any()):
            raise UsageError("a point lies on a snippet that is padding")
        x = self.embed(batch.streams, batch.mask)
        logits = self.boundaries(x, batch.mask)
        with torch.autocast(x.device.type, enabled=False):  # the losses are sums of many small numbers
            x, logits = x.float().transpose(1, 2), logits.float()
            if not bool(torch.isfinite(x).all()):  # nothing can be clustered; training stops and names the batch
                return dict.fromkeys(("bdm", "pem", "ctr"), x.sum() * torch.nan)
            labels = self.label(batch, x.detach(), real, step)
            return {
                "bdm": self._bdm(logits, labels, real),
                "pem": c.pem_weight * self._pem(x, logits.detach(), labels, real),
                "ctr": c.ctr_weight * self._ctr(x, labels, real),
            }

    def label(self, batch: Batch, x: Tensor, real: Tensor, step: int) -> list[Pseudo | None]:
        """Return pseudo-labels of each video of a batch, None without a point; x [B, T, D], real [B, T].

        They are refreshed from the features of this very step, which costs no pass of its own.
        """
        found, points = x.cpu().numpy(), batch.clicked.cpu().numpy()
        snippets = batch.streams[next(iter(self.config.visual))][..., 0].float().cpu().numpy()
        lengths = real.sum(1).long().tolist()
        out: list[Pseudo | None] = []
        for v, (name, n) in enumerate(zip(batch.names or [""] * len(lengths), lengths, strict=True)):
            hot = points[v, :n]
            sum_ = check_sum(snippets[v, :n], hot)
            out.append(self.memory.label(name, step, found[v, :n], hot, sum_) if hot.any() else None)
        return out

    def _bdm(self, logits: Tensor, labels: list[Pseudo | None], real: Tensor) -> Tensor:
        """Compute L_BDM of logits [B, 2, T]: the losses of starts and of ends."""
        wanted, counts = np.zeros(logits.shape, np.float32), real.clone()
        for v, pseudo in enumerate(labels):
            if pseudo is None:
                counts[v] = 0
                continue
            wanted[v] = targets(pseudo.start, pseudo.end, logits.shape[2], self.config.region, self.config.region_share)
        target = torch.from_numpy(wanted).to(logits)
        return balanced_bce(logits[:, 0], target[:, 0], counts) + balanced_bce(logits[:, 1], target[:, 1], counts)

    def _pem(self, x: Tensor, logits: Tensor, labels: list[Pseudo | None], real: Tensor) -> Tensor:
        """Compute L_PEM over the proposals of all videos."""
        chances = torch.sigmoid(logits).double().cpu().numpy()
        features, hot, tiou = [], [], []
        for v, pseudo in enumerate(labels):
            if pseudo is None:
                continue
            n = int(real[v].sum())
            chosen = drawn(candidates(chances[v, 0, :n], chances[v, 1, :n], pseudo, self.config), pseudo, self.config)
            if not len(chosen.start):
                continue
            features.append(interpolated(x[v, :n], self._positions(chosen).to(x)))
            hot.append(torch.from_numpy(pseudo.classes[chosen.instance]))
            tiou.append(torch.from_numpy(chosen.tiou))
        if not features:
            return x.sum() * 0  # a loss of 0 that still has a gradient
        classes, confidences = self.evaluator(torch.cat(features), self.text)
        return pem_loss(classes, confidences, torch.cat(hot).to(x), torch.cat(tiou).to(x), self.config)

    def _positions(self, p: Proposals) -> Tensor:
        return torch.from_numpy(
            ops.sampling_positions(p.start, p.end, points=self.config.points, margin=self.config.margin)
        )

    def _ctr(self, x: Tensor, labels: list[Pseudo | None], real: Tensor) -> Tensor:
        """Compute L_CTR of a batch (Eq. 2): over anchors, for starts and for ends, see `Config.contrast_reduction`."""
        c = self.config
        found = [
            contrast(x[v, : int(real[v].sum())], p, c.temperature, c.contrast_similarity)
            for v, p in enumerate(labels)
            if p is not None
        ]
        each = torch.cat([x.new_zeros(0), *found])
        if not len(each):
            return x.sum() * 0
        return 2 * each.mean() if c.contrast_reduction == "mean" else each.sum() / len(found)

    def training_state(self) -> dict[str, Tensor]:
        """See `protocol.Remembering`."""
        return self.memory.state()

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """See `protocol.Remembering`."""
        self.memory.load(state)


class _Frozen(nn.Module):
    """Streams in by name, boundary probabilities and the embedding out by name."""

    def __init__(self, net: APN) -> None:
        super().__init__()
        self.net = net

    def forward(self, **streams: Tensor) -> dict[str, Tensor]:
        x = self.net.embed(streams)
        chances = torch.sigmoid(self.net.boundaries(x))
        return {"start": chances[:, 0], "end": chances[:, 1], "embedding": x.transpose(1, 2)}


class _FrozenEvaluator(nn.Module):
    """A video's embedding [T, D] and positions in it [P, N] -> "score" of its proposals [P, C]."""

    def __init__(self, net: APN) -> None:
        super().__init__()
        self.net = net

    def forward(self, embedding: Tensor, positions: Tensor) -> dict[str, Tensor]:
        c = self.net.config
        if embedding.ndim != 2 or embedding.shape[1] != c.width:
            raise UsageError(f"embedding has shape {list(embedding.shape)}, must be [T, {c.width}]")
        if positions.ndim != 2 or positions.shape[1] != c.points:
            raise UsageError(f"positions have shape {list(positions.shape)}, must be [P, {c.points}]")
        classes, confidences = self.net.evaluator(interpolated(embedding, positions), self.net.text)
        return {"score": score(classes, confidences, c.score)}


def build(config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> APN:
    """Build the network; see `protocol.Method.build`."""
    return APN(config, vocabulary, text)


def _own(net: nn.Module) -> APN:
    if not isinstance(net, APN):
        raise TypeError(f"cannot freeze a {type(net).__name__} as APN")
    return net


def freeze(net: nn.Module) -> nn.Module:
    """Wrap streams [B, T, D], by name, to boundaries; see `protocol.Method.freeze_evaluator`."""
    return _Frozen(_own(net)).eval()


def freeze_evaluator(net: nn.Module) -> nn.Module:
    """See `protocol.Method.freeze_evaluator`."""
    return _FrozenEvaluator(_own(net)).eval()
