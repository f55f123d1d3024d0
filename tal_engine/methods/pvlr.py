"""PVLR: probabilistic vision-language representation (ACM MM 2024).

Snippets become Gaussians in the joint space of an image-text model; classes are texts in it.
Equation numbers are the paper's. Where paper and public code (sejong-rcv/PVLR) disagree the
default follows the paper and the code's behaviour is another value of the same field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UsageError
from ..heads import load_head
from ..heads.interface import Batch, FrozenHead, Head, Output, Recipe
from ..nn import gaussian
from ..nn.mining import gather, mine
from ..nn.prompt import PromptLearner
from ..nn.text import TextEncoder
from ..options import NmsOptions, ProposalOptions, SourceOptions, linspace
from ..vocabulary import Vocabulary

name = "pvlr"
uses_text = True

#: What each base head does differently under PVLR than in its own publication. On CO2-Net: Eq. 6 has L_oppo
#: (CO2-Net's mutual loss) and no co-activity; the suppressed branch is a*x (Eq. 5).
BASES: dict[str, dict[str, Any]] = {
    "co2": {"entry_dropout": 0.0, "suppression": "product", "coactivity_on": "embedding", "cls_weight": 0.8,
            "coactivity_weight": 0.0},
    "basnet": {},
    "cola": {},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Config:
    """PVLR's choices. Weights and counts: public code, THUMOS14 (the paper prints none)."""

    #: Widths of the feature streams and of the joint space (paper: 1024 each).
    rgb: int = 1024
    flow: int = 1024
    joint: int = 1024
    #: The base head (Table 6 puts PVLR on BaS-Net and CoLA), and fields of its config that differ from `BASES`.
    base: Literal["co2", "basnet", "cola"] = "co2"
    base_options: Mapping[str, Any] = field(default_factory=dict)
    #: Prompt vectors before and after the name; "affix" paper 4.2, "full" public code.
    prefix: int = 4
    suffix: int = 4
    prompt: Literal["affix", "full"] = "affix"
    #: Standard deviation of their initial values: N(0, .01) is a variance of .01.
    prompt_std: float = 0.1
    #: g_mu and g_Sigma: "linear" (THUMOS14 code), or with a dropout and a layer more (ActivityNet code).
    adapter: Literal["linear", "two_layer"] = "linear"
    #: K samples of the embedding (Table 5); 0 is the deterministic embedding.
    samples: int = 20
    #: What g_Sigma gives: "sigma" z = mu + eps * g (Eq. 8); "log_variance" z = mu + eps * exp(g / 2) (code).
    spread: Literal["sigma", "log_variance"] = "sigma"
    #: Which variance distances see: that of z, or g itself, as the public code has it.
    contrast_variance: Literal["of_z", "g"] = "of_z"
    #: Standard deviation of eps: 1 paper; .005 THUMOS14 / .05 ActivityNet public code.
    noise: float = 1.0
    #: Similarity in training: "cosine" (Eq. 10) or "dot" (code, with temperature 8). Inference: cosine.
    similarity: Literal["cosine", "dot"] = "cosine"
    #: tau of Eq. 10, which the paper leaves open; inference of the public code: .03.
    temperature: float = 0.05
    test_temperature: float = 0.05
    #: L_kd: mean of logs (Eq. 12) or log of the mean (code).
    distillation: Literal["mean_log", "log_mean"] = "mean_log"
    #: L_ortho: squared Frobenius norm (Eq. 11) or not (code).
    ortho_squared: bool = True
    #: Distance of distributions (Table 4), and whether it is divided by the width.
    distance: Literal["kl", "bhattacharyya", "mahalanobis"] = "kl"
    per_dimension: bool = False
    #: KL in both directions, averaged (Eq. 16; THUMOS14 code), or in one (ActivityNet code).
    symmetric: bool = True
    #: Snippets of each kind for L_intra, radii m and M of its rings (CoLA: 3, 6; code: 24, 3, empty rings).
    easy: int = 20
    hard: int = 5
    inner_radius: int = 3
    outer_radius: int = 6
    mining_dropout: float = 0.6
    #: Mixture weights of Eq. 18 sum to 1; the public code leaves them as they are.
    mixture_normalised: bool = True
    #: Weights of the terms that PVLR adds; those of the base head are in its own config.
    kd_weight: float = 200.0
    ortho_weight: float = 0.5
    intra_action_weight: float = 0.005
    intra_background_weight: float = 0.005
    inter_weight: float = 0.005
    #: Inference: whose proposal rules (public code), classes of at least this video probability are kept.
    inference: Literal["thumos14", "activitynet"] = "thumos14"
    class_threshold: float = 0.2

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise UsageError(f"samples is {self.samples}, must be 0 (deterministic) or more")
        if min(self.temperature, self.test_temperature) <= 0:
            raise UsageError(f"temperature is {self.temperature}, must be positive")
        if self.base not in BASES:
            raise UsageError(f"base is {self.base!r}, must be one of {', '.join(BASES)}")

    @property
    def base_config(self) -> Any:
        """The config of the base head."""
        kind = load_head(self.base).Config
        try:
            return kind(rgb=self.rgb, flow=self.flow, **{**BASES[self.base], **self.base_options})
        except TypeError as e:
            raise UsageError(f"base_options of {self.base}: {str(e).removeprefix('Config.__init__() got an ')}") from e


#: What the public code does where the paper says otherwise or nothing (methods.md 4).
_CODE = {
    "prompt": "full", "spread": "log_variance", "contrast_variance": "g", "similarity": "dot",
    "distillation": "log_mean", "ortho_squared": False, "inner_radius": 24, "outer_radius": 3,
    "mixture_normalised": False,
}  # fmt: skip
_THUMOS14 = {"steps": 7000, "batch": 10, "pairs": 3, "length": 320, "learning_rate": 5e-5, "weight_decay": 1e-3}
_ACTIVITYNET = {"steps": 20000, "batch": 10, "pairs": 3, "length": 60, "learning_rate": 3e-5, "weight_decay": 5e-5}
_ANET_BASE = {"smoothing": "attention", "topk_ratio": 5, "flow_share": 0.4}
_ANET = {
    "inference": "activitynet", "adapter": "two_layer", "easy": 3, "hard": 3, "kd_weight": 1.0, "ortho_weight": 4.0,
    "intra_action_weight": 0.01, "intra_background_weight": 0.01, "inter_weight": 0.0, "base_options": _ANET_BASE,
}  # fmt: skip

RECIPES = {
    "thumos14": Recipe({}, _THUMOS14),
    "thumos14-code": Recipe(
        {**_CODE, "noise": 0.005, "temperature": 8.0, "test_temperature": 0.03,
         "base_options": {"gate": "autoencoded", "suppression": "shifted", "mutual_weight": 0.0,
                          "coactivity_weight": 1.0}},
        _THUMOS14,
    ),
    "activitynet": Recipe(_ANET, _ACTIVITYNET),
    "activitynet-code": Recipe(
        {**_ANET, **_CODE, "noise": 0.05, "temperature": 1.0, "test_temperature": 0.01, "symmetric": False,
         "inner_radius": 12,
         "base_options": {**_ANET_BASE, "suppression": "shifted", "cls_weight": 1.0, "mutual_weight": 0.0,
                          "coactivity_weight": 1.0}},
        _ACTIVITYNET,
    ),
    # Table 6: adapter and P-CAS alone on another head.
    "plug-in": Recipe(
        {"kd_weight": 0.0, "ortho_weight": 0.0, "intra_action_weight": 0.0, "intra_background_weight": 0.0,
         "inter_weight": 0.0},
        _THUMOS14,
    ),
}  # fmt: skip


def training_streams(config: Config) -> tuple[str, ...]:
    """CLIP's image features are read where they are distilled."""
    return ("rgb", "flow", "clip") if config.kd_weight else ("rgb", "flow")


def inference_streams(config: Config) -> tuple[str, ...]:
    """The image tower is not needed after training (paper 4.1)."""
    return ("rgb", "flow")


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
            terms["inter"] = c.inter_weight * functional.binary_cross_entropy(p, same)
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


def proposal_options(config: Config) -> ProposalOptions:
    """PVLR's inference on CO2-Net's activations (public code); on another head, that head's own."""
    if config.base != "co2":
        options: ProposalOptions = load_head(config.base).proposal_options(config.base_config)
        return options
    if config.inference == "thumos14":
        return ProposalOptions(class_threshold=config.class_threshold)
    cas = SourceOptions(of="cas", thresholds=linspace(0.1, 0.95, 10), outer_ratio=0.2, class_weight=0.01)
    attention = SourceOptions(
        of="attention", thresholds=linspace(0.2, 0.95, 10), scale="none", score_scale="none", outer_ratio=0.4,
        class_weight=0.5,
    )  # fmt: skip
    return ProposalOptions(sources=(cas, attention), class_threshold=config.class_threshold, topk_ratio=10)


def nms_options(config: Config) -> NmsOptions:
    """Gaussian soft-NMS, sigma .2 on THUMOS14, .5 on ActivityNet (public code); another head's own."""
    if config.base != "co2":
        options: NmsOptions = load_head(config.base).nms_options(config.base_config)
        return options
    return NmsOptions(kind="gaussian", sigma=0.2 if config.inference == "thumos14" else 0.5)
