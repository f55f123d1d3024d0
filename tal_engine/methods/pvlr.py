"""PVLR: probabilistic vision-language representation (ACM MM 2024).

Snippets become Gaussians in the joint space of an image-text model; classes are texts in it.
Equation numbers are the paper's. Where paper and public code (sejong-rcv/PVLR) disagree the
default follows the paper and the code's behaviour is another value of the same field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UsageError
from ..heads.consensus import Consensus, ConsensusConfig
from ..nn import gaussian, losses
from ..nn.mining import gather, mine
from ..nn.prompt import PromptLearner
from ..nn.text import TextEncoder
from ..options import NmsOptions, ProposalOptions
from ..vocabulary import Vocabulary
from .protocol import Batch

name = "pvlr"
training_streams = ("rgb", "flow", "clip")
inference_streams = ("rgb", "flow")


@dataclass(frozen=True, kw_only=True)
class Config:
    """PVLR's choices. Weights and counts: public code, THUMOS14 (the paper prints none)."""

    #: Widths of the feature streams and of the joint space (paper: 1024 each).
    rgb: int = 1024
    flow: int = 1024
    joint: int = 1024
    #: "co2": the paper's base head, CO2-Net. "autoencoded": what the public code runs on THUMOS14.
    base: Literal["co2", "autoencoded"] = "co2"
    dropout: float = 0.5
    fusion_dropout: float = 0.7
    logit_dropout: float = 0.5
    #: Prompt vectors before and after the name; "affix" paper 4.2, "full" public code.
    prefix: int = 4
    suffix: int = 4
    prompt: Literal["affix", "full"] = "affix"
    #: Standard deviation of their initial values: N(0, .01) is a variance of .01.
    prompt_std: float = 0.1
    #: K samples of the embedding (Table 5); 0 is the deterministic embedding.
    samples: int = 20
    #: What g_Sigma gives: "sigma" z = mu + eps * g (Eq. 8); "log_variance" z = mu + eps * exp(g / 2) (code).
    spread: Literal["sigma", "log_variance"] = "sigma"
    #: Standard deviation of eps: 1 paper; .005 THUMOS14 / .05 ActivityNet public code.
    noise: float = 1.0
    #: Similarity in training: "cosine" (Eq. 10) or "dot" (code, with temperature 8). Inference: cosine.
    similarity: Literal["cosine", "dot"] = "cosine"
    #: tau of Eq. 10, which the paper leaves open; inference of the public code: .03.
    temperature: float = 0.05
    test_temperature: float = 0.05
    #: L_supp: "product" a*x (Eq. 5) or "shifted" (public code).
    suppression: Literal["product", "shifted"] = "product"
    topk_ratio: int = 7
    #: Inference keeps classes of at least this video probability (public code: .2).
    class_threshold: float = 0.2
    #: L_kd: mean of logs (Eq. 12) or log of the mean (code).
    distillation: Literal["mean_log", "log_mean"] = "mean_log"
    #: L_ortho: squared Frobenius norm (Eq. 11) or not (code).
    ortho_squared: bool = True
    #: Distance of distributions (Table 4), and whether it is divided by the width.
    distance: Literal["kl", "bhattacharyya", "mahalanobis"] = "kl"
    per_dimension: bool = False
    #: Snippets of each kind for L_intra, radii m and M of its rings (CoLA: 3, 6; code: 24, 3, empty rings).
    easy: int = 20
    hard: int = 5
    inner_radius: int = 3
    outer_radius: int = 6
    mining_dropout: float = 0.6
    #: Mixture weights of Eq. 18 sum to 1; the public code leaves them as they are.
    mixture_normalised: bool = True
    #: Weights of the terms. L_oppo is in Eq. 6 and not in the code, co-activity the reverse.
    cls_weight: float = 0.8
    oppo_weight: float = 1.0
    norm_weight: float = 0.8
    guide_weight: float = 0.8
    coactivity_weight: float = 0.0
    kd_weight: float = 200.0
    ortho_weight: float = 0.5
    intra_action_weight: float = 0.005
    intra_background_weight: float = 0.005
    inter_weight: float = 0.005

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise UsageError(f"samples is {self.samples}, must be 0 (deterministic) or more")
        if min(self.temperature, self.test_temperature) <= 0:
            raise UsageError(f"temperature is {self.temperature}, must be positive")


class _Scores(NamedTuple):
    """What the loss terms look at; [B, T, ...]."""

    cas: Tensor
    attention: Tensor
    attentions: list[Tensor]
    embedding: Tensor
    mean: Tensor
    variance: Tensor
    text: Tensor


class PVLR(nn.Module):
    """Base head, probabilistic adapter, probabilistic class activation sequence."""

    folded_text: Tensor

    def __init__(self, config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> None:
        super().__init__()
        self.config = config
        base = ConsensusConfig(
            config.rgb, config.flow, config.base, config.dropout, config.fusion_dropout, config.logit_dropout
        )
        self.base = Consensus(base)
        width = config.rgb + config.flow
        self.mean = nn.Linear(width, config.joint)
        self.spread = nn.Linear(width, config.joint)
        if text is not None and text.dim != config.joint:
            raise UsageError(f"the text tower gives {text.dim} dimensions, joint is {config.joint}")
        layout = config.prompt
        self.prompt = None
        if text is not None:
            self.prompt = PromptLearner(
                text, vocabulary.names, prefix=config.prefix, suffix=config.suffix, layout=layout, std=config.prompt_std
            )
        # The prompts' output, kept with the weights so that inference needs no text tower.
        self.register_buffer("folded_text", torch.zeros(len(vocabulary) + 1, config.joint))

    def fold_text(self) -> None:
        """Store the current text embeddings in `folded_text`."""
        if self.prompt is not None:
            with torch.no_grad():
                self.folded_text.copy_(self.prompt())

    def gaussians(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each snippet (Eq. 7)."""
        g = functional.relu(self.spread(embedding))
        variance = torch.exp(g) if self.config.spread == "log_variance" else g**2
        return self.mean(embedding), variance

    def similarity(self, z: Tensor, text: Tensor) -> Tensor:
        """Similarity of embeddings [..., D] to texts [C, D], before the temperature."""
        if self.config.similarity == "dot":
            return z @ text.T
        return functional.normalize(z, dim=-1) @ functional.normalize(text, dim=-1).T

    def activation(self, mean: Tensor, variance: Tensor, text: Tensor) -> Tensor:
        """P-CAS by Monte Carlo (Eq. 8, 10): [B, T, C + 1]."""
        c = self.config
        if c.samples == 0:
            return self.similarity(mean, text) / c.temperature
        noise = torch.randn(c.samples, *mean.shape, device=mean.device, dtype=mean.dtype) * c.noise
        return self.similarity(mean + noise * variance.clamp(min=1e-12).sqrt(), text).mean(0) / c.temperature

    def scores(self, batch: Batch) -> _Scores:
        """Forward pass of training."""
        if self.prompt is None:
            raise UsageError("this network was built without a text tower: it can only be frozen")
        base = self.base(batch.streams["rgb"], batch.streams["flow"])
        mean, variance = self.gaussians(base.embedding)
        text = self.prompt()
        cas = self.activation(mean, variance, text)
        attentions = [base.attention, base.attention_rgb, base.attention_flow]
        return _Scores(cas, base.attention, attentions, base.embedding, mean, variance, text)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted terms of Eq. 20, by the paper's names."""
        c, s = self.config, self.scores(batch)
        labels = batch.labels
        with_background = torch.cat([labels, torch.ones_like(labels[:, :1])], dim=1)
        without = torch.cat([labels, torch.zeros_like(labels[:, :1])], dim=1)
        supp = losses.suppressed(s.cas, s.attention, c.suppression)
        terms = {
            "cls": c.cls_weight
            * (losses.mil_ce(s.cas, with_background, c.topk_ratio) + losses.mil_ce(supp, without, c.topk_ratio)),
            "oppo": c.oppo_weight * losses.mutual(s.attentions[1], s.attentions[2]),
            "norm": c.norm_weight * losses.sparsity(s.attentions),
            "guide": c.guide_weight * losses.guide(s.attentions, s.cas),
        }
        if c.coactivity_weight and batch.pairs:
            value = losses.co_activity(supp[..., :-1], s.embedding, labels, batch.pairs)
            terms["coactivity"] = c.coactivity_weight * value
        if c.kd_weight:
            terms["kd"] = c.kd_weight * self._distil(s.mean, batch.streams["clip"])
        if c.ortho_weight:
            terms["ortho"] = c.ortho_weight * self._orthogonality(s.text)
        if c.samples:
            terms |= self._contrast(s, labels)
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
        if c.intra_action_weight or c.intra_background_weight:
            rings = {"inner": c.inner_radius, "outer": c.outer_radius}
            mined = mine(s.attention, easy=c.easy, hard=c.hard, dropout=c.mining_dropout, **rings)
            sets = {k: (gather(s.mean, i), gather(s.variance, i)) for k, i in mined._asdict().items()}

            def pair(p: str, q: str) -> Tensor:
                d = gaussian.distance(*sets[p], *sets[q], c.distance, c.per_dimension)
                return gaussian.match_probability(d).mean((1, 2))

            def near_and_far(hard: str, same: str, other: str) -> Tensor:
                return (-torch.log(pair(hard, same)) - torch.log(1 - pair(hard, other))).mean()

            action = near_and_far("hard_action", "easy_action", "easy_background")
            background = near_and_far("hard_background", "easy_background", "easy_action")
            terms["intra_action"] = c.intra_action_weight * action
            terms["intra_background"] = c.intra_background_weight * background
        if c.inter_weight:
            m, v = gaussian.mixture(s.mean, s.variance, s.attention, c.mixture_normalised)
            p = gaussian.match_probability(gaussian.distance(m, v, m, v, c.distance, c.per_dimension))
            same = (labels @ labels.T > 0).to(p.dtype)
            terms["inter"] = c.inter_weight * functional.binary_cross_entropy(p, same)
        return terms


class Frozen(nn.Module):
    """Inference: the mean embedding against folded texts, no sampling (paper 4.1)."""

    text: Tensor

    def __init__(self, net: PVLR) -> None:
        super().__init__()
        self.base, self.mean = net.base, net.mean
        self.register_buffer("text", functional.normalize(net.folded_text, dim=-1).T.contiguous())
        self.temperature = net.config.test_temperature

    def forward(self, rgb: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """(attention-weighted CAS [B, T, C + 1] with background last, attention [B, T])."""
        base = self.base(rgb, flow)
        cas = functional.normalize(self.mean(base.embedding), dim=-1) @ self.text / self.temperature
        return cas * base.attention[..., None], base.attention


def build(config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> PVLR:
    """The network; see `protocol.Method.build`."""
    return PVLR(config, vocabulary, text)


def freeze(net: nn.Module) -> nn.Module:
    """See `protocol.Method.freeze`."""
    if not isinstance(net, PVLR):
        raise TypeError(f"cannot freeze a {type(net).__name__} as PVLR")
    net.fold_text()
    return Frozen(net).eval()


def proposal_options(config: Config) -> ProposalOptions:
    """Published options of PVLR's inference on THUMOS14."""
    return ProposalOptions(class_threshold=config.class_threshold)


def nms_options(config: Config) -> NmsOptions:
    """Gaussian soft-NMS, sigma .2 (public code, THUMOS14)."""
    del config
    return NmsOptions(kind="gaussian", sigma=0.2)
