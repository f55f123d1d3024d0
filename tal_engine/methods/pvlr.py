"""PVLR: probabilistic vision-language representation (ACM MM 2024).

Snippets become Gaussians in the joint space of an image-text model; classes are texts in it.
Equation numbers are the paper's. Where paper and public code (sejong-rcv/PVLR) disagree the
default follows the paper and the code's behaviour is another value of the same field.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UsageError
from ..heads import load_head
from ..heads.interface import Batch, FrozenHead, Head, Output
from ..nn import gaussian, losses
from ..nn.mining import gather, mine
from ..nn.prompt import PromptLearner
from ..nn.text import TextEncoder
from ..vocabulary import Vocabulary
from .pvlr_config import (
    RECIPES,
    Config,
    inference_streams,
    nms_options,
    proposal_options,
    training_streams,
)

__all__ = [
    "PVLR",
    "RECIPES",
    "Config",
    "build",
    "freeze",
    "inference_streams",
    "nms_options",
    "proposal_options",
    "training_streams",
]

name = "pvlr"
uses_text = True


class _Scores(NamedTuple):
    """What the loss terms look at; [B, T, ...]."""

    out: Output
    mean: Tensor
    variance: Tensor
    contrast_variance: Tensor
    text: Tensor


def _adapter(width: int, config: Config) -> tuple[nn.Module, nn.Module]:
    """g_mu and g_Sigma before its ReLU (Eq. 7)."""
    mean = nn.Linear(width, config.joint)
    if config.adapter == "linear":
        return mean, nn.Linear(width, config.joint)
    hidden = nn.Linear(width, config.joint)
    return mean, nn.Sequential(hidden, nn.Dropout(0.2), nn.ReLU(), nn.Linear(config.joint, config.joint))


class PVLR(nn.Module):
    """Base head, probabilistic adapter, probabilistic class activation sequence."""

    folded_text: Tensor

    def __init__(self, config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> None:
        super().__init__()
        self.config = config
        self.base: Head = load_head(config.base).build(config.base_config, vocabulary, own_classifier=False)
        self.mean, self.spread = _adapter(self.base.width, config)
        if text is not None and text.dim != config.joint:
            raise UsageError(f"the text tower gives {text.dim} dimensions, joint is {config.joint}")
        layout = config.prompt
        self.prompt = None
        if text is not None:
            self.prompt = PromptLearner(
                text, vocabulary.names, prefix=config.prefix, suffix=config.suffix, layout=layout,
                std=config.prompt_std, background=self.base.background,
            )  # fmt: skip
        # The prompts' output, kept with the weights so that inference needs no text tower.
        self.register_buffer("folded_text", torch.zeros(len(vocabulary) + self.base.background, config.joint))

    def fold_text(self) -> None:
        """Store the current text embeddings in `folded_text`."""
        if self.prompt is not None:
            with torch.no_grad():
                self.folded_text.copy_(self.prompt())

    def gaussians(self, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance of each snippet (Eq. 7), and the variance that distances see."""
        g = functional.relu(self.spread(embedding))
        variance = torch.exp(g) if self.config.spread == "log_variance" else g**2
        return self.mean(embedding), variance, g if self.config.contrast_variance == "g" else variance

    def similarity(self, z: Tensor, text: Tensor) -> Tensor:
        """Similarity of embeddings [..., D] to texts [C, D], before the temperature."""
        if self.config.similarity == "dot":
            return z @ text.T
        # The norm divides the products, so that K samples are not held twice.
        return z @ functional.normalize(text, dim=-1).T / z.norm(dim=-1, keepdim=True).clamp(min=1e-12)

    def activation(self, mean: Tensor, variance: Tensor, text: Tensor) -> Tensor:
        """P-CAS by Monte Carlo (Eq. 8, 10): [B, T, C + 1]."""
        c = self.config
        if c.samples == 0:
            return self.similarity(mean, text) / c.temperature
        # A dot product is linear: the mean over K samples is the product with one sample of a K-th the variance.
        samples, noise_std = (c.samples, c.noise) if c.similarity == "cosine" else (1, c.noise / c.samples**0.5)
        noise = torch.randn(samples, *mean.shape, device=mean.device, dtype=mean.dtype) * noise_std
        return self.similarity(mean + noise * variance.clamp(min=1e-12).sqrt(), text).mean(0) / c.temperature

    def scores(self, batch: Batch) -> _Scores:
        """Forward pass of training."""
        if self.prompt is None:
            raise UsageError("this network was built without a text tower: it can only be frozen")
        text = self.prompt()
        seen: list[tuple[Tensor, Tensor, Tensor]] = []

        def classify(embedding: Tensor) -> Tensor:
            seen.append(self.gaussians(embedding))
            return self.activation(seen[-1][0], seen[-1][1], text)

        out = self.base(batch.streams, batch.mask, classify)
        # A head with two branches classifies twice, the plain one first.
        return _Scores(out, *seen[0], text)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted terms of Eq. 20, by the paper's names."""
        c, s = self.config, self.scores(batch)
        terms = {"oppo" if k == "mutual" else k: v for k, v in self.base.objective(s.out, batch).items()}
        if c.kd_weight:
            terms["kd"] = c.kd_weight * self._distil(s.mean, batch.streams["clip"])
        if c.ortho_weight:
            terms["ortho"] = c.ortho_weight * self._orthogonality(s.text)
        if c.samples:
            with torch.autocast(s.mean.device.type, enabled=False):
                terms |= self._contrast(s, batch.labels)
        return terms

    def _distil(self, mean: Tensor, image: Tensor) -> Tensor:
        """L_kd (Eq. 12): the mean embedding is where the image tower puts the middle frame."""
        match = (functional.cosine_similarity(mean, image, dim=-1) + 1) / 2
        if self.config.distillation == "log_mean":
            return -torch.log(match.mean().clamp(min=1e-6))
        return -torch.log(match.clamp(min=1e-6)).mean()

    def _orthogonality(self, text: Tensor) -> Tensor:
        """L_ortho (Eq. 11): classes are apart in the joint space."""
        e = functional.normalize(text, dim=-1)
        gap = ((e @ e.T - torch.eye(len(e), device=e.device)) ** 2).sum()
        return gap if self.config.ortho_squared else torch.sqrt(gap + 1e-12)

    def _contrast(self, s: _Scores, labels: Tensor) -> dict[str, Tensor]:
        """L_intra (Eq. 17) and L_inter (Eq. 19)."""
        c = self.config
        terms: dict[str, Tensor] = {}
        wanted = c.intra_action_weight or c.intra_background_weight or c.inter_weight
        if not wanted:
            return terms
        if s.out.attention is None:
            raise UsageError(f"the contrastive terms need an attention, {c.base} has none: set their weights to 0")
        # Half precision cannot hold ratios of small variances, nor probabilities next to 0 and 1.
        mean, variance, attention = s.mean.float(), s.contrast_variance.float(), s.out.attention.float()
        if c.intra_action_weight or c.intra_background_weight:
            action, background = self._intra(mean, variance, attention)
            terms["intra_action"] = c.intra_action_weight * action
            terms["intra_background"] = c.intra_background_weight * background
        if c.inter_weight:
            m, v = gaussian.mixture(mean, variance, attention, c.mixture_normalised)
            p = gaussian.match_probability(self._distance(m, v, m, v))
            same = (labels @ labels.T > 0).to(p.dtype)
            terms["inter"] = c.inter_weight * losses.bce(p, same).mean()
        return terms

    def _intra(self, mean: Tensor, variance: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Hard snippets go to the easy ones of their kind and away from those of the other kind (Eq. 17)."""
        c = self.config
        mined = mine(
            attention, easy=c.easy, hard=c.hard, inner=c.inner_radius, outer=c.outer_radius, dropout=c.mining_dropout
        )
        sets = {k: (gather(mean, i), gather(variance, i)) for k, i in mined._asdict().items()}

        def pair(p: str, q: str) -> Tensor:
            return gaussian.match_probability(self._distance(*sets[p], *sets[q])).mean((1, 2))

        def near_and_far(hard: str, same: str, other: str) -> Tensor:
            return (-torch.log(pair(hard, same)) - torch.log(1 - pair(hard, other))).mean()

        return (
            near_and_far("hard_action", "easy_action", "easy_background"),
            near_and_far("hard_background", "easy_background", "easy_action"),
        )

    def _distance(self, mean_p: Tensor, var_p: Tensor, mean_q: Tensor, var_q: Tensor) -> Tensor:
        c = self.config
        kind = "kl_one_way" if c.distance == "kl" and not c.symmetric else c.distance
        return gaussian.distance(mean_p, var_p, mean_q, var_q, kind, c.per_dimension)


class _MeanAgainstText(nn.Module):
    """P-CAS of inference: the mean embedding against folded texts, no sampling (paper 4.1)."""

    text: Tensor

    def __init__(self, net: PVLR) -> None:
        super().__init__()
        self.mean, self.temperature = net.mean, net.config.test_temperature
        self.register_buffer("text", functional.normalize(net.folded_text, dim=-1).T.contiguous())

    def forward(self, embedding: Tensor) -> Tensor:
        return functional.normalize(self.mean(embedding), dim=-1) @ self.text / self.temperature


def build(config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> PVLR:
    """The network; see `protocol.Method.build`."""
    return PVLR(config, vocabulary, text)


def freeze(net: nn.Module) -> nn.Module:
    """See `protocol.Method.freeze`."""
    if not isinstance(net, PVLR):
        raise TypeError(f"cannot freeze a {type(net).__name__} as PVLR")
    net.fold_text()
    return FrozenHead(net.base, _MeanAgainstText(net)).eval()
