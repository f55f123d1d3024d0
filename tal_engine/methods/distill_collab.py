"""Distillation-collaboration of CBP and VLP (Ju et al., CVPR 2023): two branches label the snippets for each other.

CBP reads RGB and flow of a classification network and misses parts of actions; VLP compares CLIP's image features
with texts and takes context for action. B steps teach VLP by CBP's confident labels, F steps CBP by VLP's. No code
was published; "our choice" marks what the paper leaves open (methods.md 5.2). Equation numbers are the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UsageError, require
from ..heads import HEADS, load_head
from ..heads.interface import Batch, FrozenHead, Head, Recipe, probabilities
from ..nn.prompt import PromptLearner
from ..nn.pseudo import contrast, distillation, scaled, ternary
from ..nn.text import TextEncoder
from ..nn.transformer import TemporalTransformer
from ..options import NmsOptions, ProposalOptions
from ..vocabulary import Vocabulary

name = "distill_collab"
uses_text = True


@dataclass(frozen=True, kw_only=True)
class Config:
    """The framework's choices; those of the CBP branch are in its head's config."""

    #: Widths of the feature streams and of CLIP's joint space (paper 4.1: I3D, ViT-B/16).
    rgb: int = 1024
    flow: int = 1024
    joint: int = 512
    #: The CBP branch: "transformer" (paper 4.1) or another base head (Table 6), and fields of its config that differ
    #: from its own defaults; the transformer has positions and dropout from here.
    cbp: str = "transformer"
    cbp_options: Mapping[str, Any] = field(default_factory=dict)
    #: Rows of the position tables: the snippets that training samples (T of paper 4.1).
    positions: int = 1000
    #: Of the VLP branch: layers (paper 4.1), their heads and dropout (our choice), prompt vectors before and after a
    #: name, and the standard deviation of all initial weights (paper 4.1: N(0, .01), read as in the authors' earlier
    #: code). The layers so begin close to the identity, which keeps what CLIP knows.
    layers: int = 2
    heads: int = 8
    dropout: float = 0.1
    prefix: int = 16
    suffix: int = 16
    std: float = 0.01
    #: P_vl of cosines: "softmax" over classes (Eq. 3), or "sigmoid" of each, which is one half at `offset`, learned:
    #: then background can be low for every one of few classes (our choice).
    vlp_probability: Literal["softmax", "sigmoid"] = "softmax"
    offset: float = 0.25
    #: Factor of the cosines at first; learned, at most CLIP's 100 (our choice: where CLIP's own began).
    scale: float = 1 / 0.07
    #: delta_h and delta_l of Eq. 4 (paper 4.1).
    delta_high: float = 0.3
    delta_low: float = 0.1
    #: What they cut: probabilities (paper), or each class's scaled to 0..1 over time (ours).
    teacher: Literal["probability", "minmax"] = "probability"
    #: Weights of L_kd and, lambda of Eq. 5, L_fb (paper 4.1). 0 switches a term off (Table 5).
    kd_weight: float = 1.0
    fb_weight: float = 0.05
    #: Of CBP's own losses in F steps. Eq. 5 has none; without them video scores would drift (our choice).
    cls_weight: float = 1.0
    #: O of Eq. 6, see `nn.pseudo.distillation`: snippets without an uncertain class (paper), or all certain labels.
    kd_over: Literal["frames", "pairs"] = "frames"
    #: tau of Eq. 7 (paper 4.1), and at most how many snippets of each kind it compares (our choice, for memory).
    temperature: float = 0.07
    contrast_frames: int = 2048
    #: Table 4. "only_f": F steps by the plain tower, without prompts and layers. "only_b": B steps.
    mode: Literal["alternate", "only_f", "only_b"] = "alternate"
    #: Inference by CBP alone (paper 3.4), or by both (Table 4): their mean, or fusion_weight of CBP and the rest of
    #: VLP ("weighting" is not explained; our choice).
    fusion: Literal["none", "average", "weighted"] = "none"
    fusion_weight: float = 0.7
    #: Steps: CBP alone first, then rounds of B and F steps; after the last round F goes on (all our choice).
    warm_up: int = 2000
    b_steps: int = 500
    f_steps: int = 500
    rounds: int = 4

    def __post_init__(self) -> None:
        chosen = {k: get_args(v) for k, v in get_type_hints(type(self)).items() if isinstance(getattr(self, k), str)}
        choices = chosen | {"cbp": tuple(HEADS)}
        for name, allowed in choices.items():
            require(getattr(self, name) in allowed, name, getattr(self, name), f"one of {', '.join(allowed)}")
        for name in ("contrast_frames", "rounds"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("warm_up", "b_steps", "f_steps", "kd_weight", "fb_weight", "cls_weight"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("scale", "temperature"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        require(0 <= self.delta_low < self.delta_high <= 1, "delta_low", self.delta_low,
                f"in [0, delta_high), delta_high ({self.delta_high}) in (0, 1]")  # fmt: skip
        require(0 <= self.fusion_weight <= 1, "fusion_weight", self.fusion_weight, "in [0, 1]")
        if not self.kd_weight + self.fb_weight:
            raise UsageError("kd_weight and fb_weight are both 0: the branches would learn nothing from each other")
        if not self.b_steps + self.f_steps:
            raise UsageError("b_steps and f_steps are both 0: nothing comes after the warm-up")
        if self.fusion != "none" and self.cbp != "transformer":
            raise UsageError(f"fusion is {self.fusion!r}, which needs cbp 'transformer'; {self.cbp} has its own rules")

    @property
    def base_config(self) -> Any:
        """The config of the CBP branch."""
        ours = {"positions": self.positions, "dropout": self.dropout} if self.cbp == "transformer" else {}
        kind = load_head(self.cbp).Config
        try:
            return kind(rgb=self.rgb, flow=self.flow, **{**ours, **self.cbp_options})
        except TypeError as e:
            raise UsageError(f"cbp_options of {self.cbp}: {str(e).removeprefix('Config.__init__() got an ')}") from e


_THUMOS14 = {"steps": 6000, "batch": 16, "pairs": 0, "length": 1000, "sampling": "contiguous",
             "learning_rate": 1e-4, "weight_decay": 5e-4}  # fmt: skip
#: T and learning rate: paper 4.1; the rest: our choice. The last two: Table 6, with the pairs that CO2-Net reads.
RECIPES = {
    "thumos14": Recipe({}, _THUMOS14),
    "activitynet": Recipe({"positions": 400}, {**_THUMOS14, "length": 400}),
    "thumos14-co2": Recipe({"cbp": "co2"}, {**_THUMOS14, "pairs": 3}),
    "thumos14-um": Recipe({"cbp": "um"}, _THUMOS14),
}


def training_streams(config: Config) -> tuple[str, ...]:
    """What both branches read."""
    return ("rgb", "flow", "clip")


def inference_streams(config: Config) -> tuple[str, ...]:
    """What CBP reads (paper 3.4), or both branches where they are fused."""
    return ("rgb", "flow") if config.fusion == "none" else ("rgb", "flow", "clip")


def phase(step: int, config: Config) -> Literal["warm_up", "b", "f"]:
    """What a step of the loop trains: CBP by video labels, VLP by CBP ("b"), or CBP by VLP ("f")."""
    if step < config.warm_up:
        return "warm_up"
    if config.mode != "alternate":
        return "b" if config.mode == "only_b" else "f"
    done, at = divmod(step - config.warm_up, config.b_steps + config.f_steps)
    return "b" if done < config.rounds and at < config.b_steps else "f"


@contextmanager
def _teaching(module: nn.Module | None) -> Iterator[None]:
    """Inside of the block no gradient, and no dropout in the module; after it the module is as it was."""
    was = module is not None and module.training
    if module is not None:
        module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if module is not None:
            module.train(was)


class DistillCollab(nn.Module):
    """Both branches: `cbp`, and VLP, which is `temporal`, `prompt` or the folded text, and the scale."""

    folded_text: Tensor

    def __init__(self, config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> None:
        super().__init__()
        self.config, self.can_train = config, text is not None
        if text is not None and text.dim != config.joint:
            raise UsageError(f"the text tower gives {text.dim} dimensions, joint is {config.joint}")
        self.cbp: Head = load_head(config.cbp).build(config.base_config, vocabulary)
        self.log_scale = nn.Parameter(torch.tensor(math.log(config.scale)))
        if config.vlp_probability == "sigmoid":
            self.offset = nn.Parameter(torch.tensor(config.offset))
        # Kept with the weights, so that inference by both branches needs no text tower.
        self.register_buffer("folded_text", torch.zeros(len(vocabulary), config.joint))
        self.temporal: TemporalTransformer | None = None
        self.prompt: PromptLearner | None = None
        if config.mode != "only_f":
            self.temporal = TemporalTransformer(
                config.joint, layers=config.layers, heads=config.heads, dropout=config.dropout,
                positions=config.positions, std=config.std,
            )  # fmt: skip
        if text is not None and config.mode != "only_f":
            self.prompt = PromptLearner(
                text, vocabulary.names, prefix=config.prefix, suffix=config.suffix, std=config.std, background=False
            )
        elif text is not None:
            with torch.no_grad():
                self.folded_text.copy_(text(vocabulary.names))

    def fold_text(self) -> None:
        """Store the current text embeddings in `folded_text`."""
        if self.prompt is not None:
            with torch.no_grad():
                self.folded_text.copy_(self.prompt())

    def vlp(self, image: Tensor, mask: Tensor | None = None, text: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """P_vl [B, T, C] (Eq. 3) and F_vid [B, T, D] (Eq. 2) of image features; `text` [C, D] instead of prompts."""
        if text is None:
            text = self.folded_text if self.prompt is None else self.prompt()
        feature = image if self.temporal is None else self.temporal(image, mask)
        with torch.autocast(feature.device.type, enabled=False):  # the scale would blow up what half precision loses
            cosine = functional.normalize(feature.float(), dim=-1) @ functional.normalize(text.float(), dim=-1).T
        scale = self.log_scale.exp().clamp(max=100.0)
        if self.config.vlp_probability == "sigmoid":
            return torch.sigmoid(scale * (cosine - self.offset)), feature
        return (scale * cosine).softmax(-1), feature

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Terms of the step's phase; the branch that does not learn in it gets no gradient."""
        if not self.can_train:
            raise UsageError("this network was built without a text tower: it can only be frozen")
        now, mask = phase(step, self.config), batch.mask
        if now == "b":
            with _teaching(self.cbp):
                p = probabilities(self.cbp, self.cbp(batch.streams, mask))
            return self._collaborate(p, *self.vlp(batch.streams["clip"], mask), batch)
        out = self.cbp(batch.streams, mask)
        if now == "warm_up":
            return self.cbp.objective(out, batch)
        with _teaching(self.temporal):
            p, _ = self.vlp(batch.streams["clip"], mask)
        terms = self._collaborate(p, probabilities(self.cbp, out), out.embedding, batch)
        if self.config.cls_weight:
            terms |= {k: self.config.cls_weight * v for k, v in self.cbp.objective(out, batch).items()}
        return terms

    def _collaborate(self, teacher: Tensor, probability: Tensor, feature: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Eq. 5 by the pseudo-labels that the other branch's probabilities give: "kd" and "fb"."""
        c, terms = self.config, {}
        teacher = teacher if c.teacher == "probability" else scaled(teacher, batch.mask)
        pseudo = ternary(teacher, batch.labels, c.delta_high, c.delta_low, batch.mask)
        if c.kd_weight:
            terms["kd"] = c.kd_weight * distillation(pseudo, probability, c.kd_over)
        if c.fb_weight:
            # Half precision is too coarse for cosines over .07.
            with torch.autocast(feature.device.type, enabled=False):
                terms["fb"] = c.fb_weight * contrast(feature.float(), pseudo, c.temperature, c.contrast_frames)
        return terms


def branches(net: DistillCollab, batch: Batch) -> dict[str, Tensor]:
    """Probabilities [B, T, C] of "cbp" and "vlp", without dropout; 0 on padding. All three streams are read."""
    if "clip" not in batch.streams:
        raise UsageError("the VLP branch reads stream 'clip', which the batch lacks")
    was = net.training
    net.eval()
    with torch.no_grad():
        cbp = probabilities(net.cbp, net.cbp(batch.streams, batch.mask))
        vlp, _ = net.vlp(batch.streams["clip"], batch.mask)
    net.train(was)
    keep = 1.0 if batch.mask is None else batch.mask[..., None]
    return {"cbp": cbp * keep, "vlp": vlp * keep}


class _FrozenPair(nn.Module):
    """Both branches for export: snippets by their fusion (Table 4), the video's classes by CBP."""

    def __init__(self, net: DistillCollab) -> None:
        super().__init__()
        self.net = net
        self.share = 0.5 if net.config.fusion == "average" else net.config.fusion_weight

    def forward(self, **streams: Tensor) -> dict[str, Tensor]:
        own = self.net.cbp.activations(self.net.cbp(streams))
        vlp, _ = self.net.vlp(streams["clip"], text=self.net.folded_text)
        return {**own, "cas": self.share * own["cas"] + (1 - self.share) * vlp}


def build(config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> DistillCollab:
    """The network; see `protocol.Method.build`."""
    return DistillCollab(config, vocabulary, text)


def freeze(net: nn.Module) -> nn.Module:
    """See `protocol.Method.freeze`."""
    if not isinstance(net, DistillCollab):
        raise TypeError(f"cannot freeze a {type(net).__name__} as distill_collab")
    net.fold_text()
    return (FrozenHead(net.cbp) if net.config.fusion == "none" else _FrozenPair(net)).eval()


def proposal_options(config: Config) -> ProposalOptions:
    """The CBP branch's own (paper 3.4); a fusion of both has the same scale."""
    options: ProposalOptions = load_head(config.cbp).proposal_options(config.base_config)
    return options


def nms_options(config: Config) -> NmsOptions:
    """The CBP branch's own."""
    options: NmsOptions = load_head(config.cbp).nms_options(config.base_config)
    return options
