"""Distillation-collaboration of CBP and VLP (Ju et al., CVPR 2023): two branches label the snippets for each other.

CBP reads RGB and flow of a classification network and misses parts of actions; VLP compares CLIP's image features
with texts and takes context for action. B steps teach VLP by CBP's confident labels, F steps CBP by VLP's. No code
was published; "our choice" marks what the paper leaves open. Equation numbers are the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError
from ...vocabulary import Vocabulary
from ..heads import load_head
from ..heads.interface import Batch, FrozenHead, Head, probabilities
from ..heads.streams import IMAGE
from ..nn.prompt import PromptLearner
from ..nn.pseudo_snippets import contrast, distillation, scaled, ternary
from ..nn.temporal import topk_mean
from ..nn.text import TextEncoder, check_joint
from ..nn.transformer_layers import TemporalTransformer
from .distill_collab_config import (  # fmt: skip
    EARLIER,
    RECIPES,
    Config,
    inference_streams,
    milestones,
    nms_options,
    phase,
    proposal_options,
    training_streams,
)
from .protocol import View, load_method

__all__ = [
    "EARLIER", "RECIPES", "Config", "DistillCollab", "branches", "build", "freeze", "inference_streams", "milestones",
    "nms_options", "phase", "proposal_options", "training_streams", "views",
]  # fmt: skip

name = "distill_collab"
uses_text = True


@contextmanager
def _teaching(module: nn.Module | None) -> Iterator[None]:
    """Disable gradients and the module's dropout inside the block, and restore the module after it."""
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
        check_joint(text, config.joint)
        self.cbp: Head = load_head(config.cbp).build(config.base_config, vocabulary)
        if config.vlp_similarity == "cosine":
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
        """Compute P_vl [B, T, C] (Eq. 3) and F_vid [B, T, D] (Eq. 2) of images; `text` [C, D] replaces prompts."""
        if text is None:
            text = self.folded_text if self.prompt is None else self.prompt()
        feature = image if self.temporal is None else self.temporal(image, mask)
        with torch.autocast(feature.device.type, enabled=False):  # the scale would blow up what half precision loses
            alike, scale = self._compared(feature.float(), text.float())
        if self.config.vlp_probability == "sigmoid":
            return torch.sigmoid(scale * (alike - self.offset)), feature
        return (scale * alike).softmax(-1), feature

    def _compared(self, feature: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the products of Eq. 3 [B, T, C], and their factor."""
        if self.config.vlp_similarity == "dot":
            return feature @ text.T, feature.new_ones(())
        cosine = functional.normalize(feature, dim=-1) @ functional.normalize(text, dim=-1).T
        return cosine, self.log_scale.exp().clamp(max=100.0)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Compute the terms of the step's phase; the branch that does not learn in it gets no gradient."""
        if not self.can_train:
            raise UsageError("this network was built without a text tower: it can only be frozen")
        now, mask = phase(step, self.config), batch.mask
        if now == "b":
            with _teaching(self.cbp):
                p = probabilities(self.cbp, self.cbp(batch.streams, mask))
            return self._collaborate(p, *self.vlp(batch.streams[IMAGE], mask), batch)
        out = self.cbp(batch.streams, mask)
        if now == "warm_up":
            return self.cbp.objective(out, batch)
        with _teaching(self.temporal):
            p, _ = self.vlp(batch.streams[IMAGE], mask)
        terms = self._collaborate(p, probabilities(self.cbp, out), out.embedding, batch)
        if self.config.cls_weight:
            terms |= {k: self.config.cls_weight * v for k, v in self.cbp.objective(out, batch).items()}
        return terms

    def _collaborate(self, teacher: Tensor, probability: Tensor, feature: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compute Eq. 5 by pseudo-labels from the other branch's probabilities: "kd" and "fb"."""
        c, terms = self.config, {}
        teacher = teacher if c.teacher == "probability" else scaled(teacher, batch.mask)
        pseudo = ternary(teacher, batch.labels, c.delta_high, c.delta_low, batch.mask)
        if c.kd_weight:
            terms["kd"] = c.kd_weight * distillation(pseudo, probability, c.kd_over)
        if c.fb_weight:
            # Half precision is too coarse for cosines over .07.
            with torch.autocast(feature.device.type, enabled=False):
                terms["fb"] = c.fb_weight * contrast(
                    feature.float(), pseudo, c.temperature, c.contrast_frames, c.contrast_similarity,
                    c.contrast_reduction,
                )  # fmt: skip
        return terms


def branches(net: DistillCollab, batch: Batch) -> dict[str, Tensor]:
    """Compute probabilities [B, T, C] of "cbp" and "vlp", without dropout; 0 on padding. Reads all three streams."""
    if IMAGE not in batch.streams:
        raise UsageError("the VLP branch reads stream 'clip', which the batch lacks")
    was = net.training
    net.eval()
    with torch.no_grad():
        cbp = probabilities(net.cbp, net.cbp(batch.streams, batch.mask))
        vlp, _ = net.vlp(batch.streams[IMAGE], batch.mask)
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
        vlp, _ = self.net.vlp(streams[IMAGE], text=self.net.folded_text)
        return {**own, "cas": self.share * own["cas"] + (1 - self.share) * vlp}


def build(config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> DistillCollab:
    """Build the network; see `protocol.Method.build`."""
    return DistillCollab(config, vocabulary, text)


def freeze(net: nn.Module) -> nn.Module:
    """See `protocol.Method.freeze`."""
    if not isinstance(net, DistillCollab):
        raise TypeError(f"cannot freeze a {type(net).__name__} as distill_collab")
    net.fold_text()
    return (FrozenHead(net.cbp) if net.config.fusion == "none" else _FrozenPair(net)).eval()


class _FrozenVLP(nn.Module):
    """The VLP branch as if it were a head of its own: its snippets, and the video's classes by its own top k."""

    def __init__(self, net: DistillCollab, topk_ratio: int) -> None:
        super().__init__()
        self.net, self.topk_ratio = net, topk_ratio

    def forward(self, **streams: Tensor) -> dict[str, Tensor]:
        cas, _ = self.net.vlp(streams[IMAGE], text=self.net.folded_text)
        return {"cas": cas, "video": topk_mean(cas, self.topk_ratio)}


def views(net: DistillCollab) -> dict[str, View]:
    """Return the branches that inference does not show, to be scored in training; see `protocol.views_of`.

    VLP has no inference of its own: it is cut by the rules of the transformer, with CBP's thresholds where CBP is one.
    """
    net.fold_text()
    plain = load_method("transformer")
    rules = net.config.base_config if net.config.cbp == "transformer" else plain.Config()
    found = {"vlp": View(_FrozenVLP(net, rules.topk_ratio).eval(), plain, rules)}
    if net.config.fusion != "none":
        found["cbp"] = View(FrozenHead(net.cbp).eval(), plain, rules)
    return found
