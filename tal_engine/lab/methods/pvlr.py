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

from ...errors import UsageError
from ...vocabulary import Vocabulary
from ..heads import load_head
from ..heads.interface import Batch, FrozenHead, Head, Output
from ..heads.streams import IMAGE
from ..nn.prompt import PromptLearner
from ..nn.sampled import sampled_cosine
from ..nn.text import TextEncoder, check_joint
from . import pvlr_losses
from .pvlr_config import EARLIER, RECIPES, Config, inference_streams, nms_options, proposal_options, training_streams

__all__ = [
    "EARLIER",
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
#: See `protocol.Method`.
WITHOUT_IMAGE = "kd_weight=0"


class _Scores(NamedTuple):
    """What the loss terms look at; [B, T, ...]."""

    out: Output
    mean: Tensor
    variance: Tensor
    contrast_variance: Tensor
    text: Tensor


def _adapter(width: int, config: Config) -> tuple[nn.Module, nn.Module]:
    """Create g_mu, and g_Sigma before its ReLU (Eq. 7)."""
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
        check_joint(text, config.joint)
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
        """Return mean and variance of each snippet (Eq. 7), and the variance that distances use."""
        g = functional.relu(self.spread(embedding))
        variance = torch.exp(g) if self.config.spread == "log_variance" else g**2
        return self.mean(embedding), variance, g if self.config.contrast_variance == "g" else variance

    def similarity(self, z: Tensor, text: Tensor) -> Tensor:
        """Compute the similarity of embeddings [..., D] to texts [C, D], before the temperature."""
        if self.config.similarity == "dot":
            return z @ text.T
        # The norm divides the products, so that K samples are not held twice.
        return z @ functional.normalize(text, dim=-1).T / z.norm(dim=-1, keepdim=True).clamp(min=1e-12)

    def activation(self, mean: Tensor, variance: Tensor, text: Tensor) -> Tensor:
        """Compute the P-CAS by Monte Carlo (Eq. 8, 10): [B, T, C + 1]."""
        c = self.config
        if c.samples == 0:
            return self.similarity(mean, text) / c.temperature
        # A dot product is linear: the mean over K samples is the product with one sample of a K-th the variance.
        samples, noise_std = (c.samples, c.noise) if c.similarity == "cosine" else (1, c.noise / c.samples**0.5)
        noise = torch.randn(samples, *mean.shape, device=mean.device, dtype=mean.dtype)
        deviation = noise_std * variance.clamp(min=1e-12).sqrt()
        if c.similarity == "cosine":
            return sampled_cosine(mean, deviation, functional.normalize(text, dim=-1), noise) / c.temperature
        return self.similarity(mean + noise[0] * deviation, text) / c.temperature

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
        """Compute the weighted terms of Eq. 20, by the paper's names."""
        c, s = self.config, self.scores(batch)
        terms = {"oppo" if k == "mutual" else k: v for k, v in self.base.objective(s.out, batch).items()}
        if c.kd_weight:
            terms["kd"] = c.kd_weight * pvlr_losses.distillation(s.mean, batch.streams[IMAGE], c)
        if c.ortho_weight:
            terms["ortho"] = c.ortho_weight * pvlr_losses.orthogonality(self.texts_apart(s.text), c)
        if c.samples:
            with torch.autocast(s.mean.device.type, enabled=False):
                terms |= self._contrast(s, batch.labels)
        return terms

    def texts_apart(self, text: Tensor) -> Tensor:
        """Return the texts of Eq. 11: c = 1...C, of classes; in the public code background too."""
        return text[:-1] if self.base.background and not self.config.ortho_background else text

    def _contrast(self, s: _Scores, labels: Tensor) -> dict[str, Tensor]:
        """Compute L_intra (Eq. 17) and L_inter (Eq. 19)."""
        c = self.config
        terms: dict[str, Tensor] = {}
        wanted = c.intra_action_weight or c.intra_background_weight or c.inter_weight
        if not wanted:
            return terms
        if s.out.attention is None:
            raise UsageError(f"the contrastive terms need an attention, {c.base} has none: set their weights to 0")
        # Half precision cannot hold ratios of small variances, nor probabilities next to 0 and 1.
        mean, variance, attention = (_single(x) for x in (s.mean, s.contrast_variance, s.out.attention))
        if c.intra_action_weight or c.intra_background_weight:
            sets = pvlr_losses.snippets(mean, variance, attention, c)
            action, background = pvlr_losses.intra(sets, c)
            terms["intra_action"] = c.intra_action_weight * action
            terms["intra_background"] = c.intra_background_weight * background
        if c.inter_weight:
            terms["inter"] = c.inter_weight * pvlr_losses.inter(mean, variance, attention, labels, c)
        return terms


def _single(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


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
    """Build the network; see `protocol.Method.build`."""
    return PVLR(config, vocabulary, text)


def freeze(net: nn.Module) -> nn.Module:
    """See `protocol.Method.freeze`."""
    if not isinstance(net, PVLR):
        raise TypeError(f"cannot freeze a {type(net).__name__} as PVLR")
    net.fold_text()
    return FrozenHead(net.base, _MeanAgainstText(net)).eval()
