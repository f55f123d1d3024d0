"""VLPO: vision-language preference optimization (under review, no public code; lineage AICL, ASL, SAL).

A frozen video-language model, slightly adapted, says which class each snippet resembles. That preference is trained
with video-level labels (CM-AFA, DSP) and teaches the localizer's classes (PPG) and actionness (APR). Equation numbers
are the paper's; "our choice" where it leaves something open. Eq. 5 reads labels, which no video has at test time:
inference reads the classes it predicts, and only `oracle` reads labels.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError
from ...vocabulary import Vocabulary
from ..heads.interface import Batch
from ..heads.streams import IMAGE, part_name
from ..nn import losses, preference
from ..nn.actionness import Actionness
from ..nn.temporal import ConvBlock, conv, mask_time, top_weights, topk_mean
from ..nn.text import TextEncoder, check_joint, spoken
from .vlpo_config import (  # fmt: skip
    EARLIER,
    RECIPES,
    Config,
    inference_streams,
    nms_options,
    proposal_options,
    training_streams,
)

__all__ = [
    "EARLIER", "RECIPES", "USES_TEST_LABELS", "VLPO", "Config", "Oracle", "build", "freeze", "inference_streams",
    "nms_options", "oracle", "proposal_options", "training_streams",
]  # fmt: skip

log = logging.getLogger("tal_engine")

name = "vlpo"
uses_text = True

#: On everything that was made with the labels of the videos it is about.
USES_TEST_LABELS = "uses test labels"


class _Scores(NamedTuple):
    """What one pass gives. cas, added, sequence [B, T, C]; action and each of parts [B, T]."""

    #: A, logits, and what Eq. 5 adds of it.
    cas: Tensor
    added: Tensor
    #: What GCE trains: S^a, by stream or as one, and S^v; and S (Eq. 8).
    parts: list[Tensor]
    action: Tensor

    @property
    def sequence(self) -> Tensor:
        """A + S: Eq. 5 with every class taken for one of the video's."""
        return self.added + self.action[..., None]


class VLPO(nn.Module):
    """AICL's base, an adapted video-language model beside it, and what the one learns from the other."""

    text: Tensor

    def __init__(self, config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> None:
        super().__init__()
        self.config = c = config
        check_joint(text, c.joint)
        self.trainable = text is not None and c.adaptation != "zero_shot"
        # The class texts never change: they are kept with the weights, so that inference needs no text tower.
        self.register_buffer("text", torch.zeros(len(vocabulary), c.joint))
        if text is not None:
            with torch.no_grad():
                self.text.copy_(text([c.prompt.replace("[CLS]", spoken(n)) for n in vocabulary.names]))
        self.adapter: nn.Module = preference.Frozen()
        if c.adaptation == "cm_afa":
            self.adapter = preference.Anchored(c.joint)
        elif c.adaptation == "clip_adapter":
            self.adapter = preference.Bottleneck(c.joint, c.adapter_reduction, c.adapter_share)
        elif c.adaptation == "zero_shot":
            return
        self.embed = ConvBlock(c.total, c.hidden, 3, 0.0, slope=0.0)
        self.classifier = conv(c.hidden, len(vocabulary), 1)
        self.actionness = nn.ModuleDict({part_name(s): Actionness(w, c.hidden) for s, w in c.visual.items()})
        if c.apr:
            self.actionness[IMAGE] = Actionness(c.joint, c.video_hidden)

    def scores(self, streams: Mapping[str, Tensor], mask: Tensor | None = None) -> _Scores:
        """Compute the base's classes and actionness, and S^v."""
        c = self.config
        x = {s: mask_time(streams[s].transpose(1, 2), mask) for s in c.visual}
        cas = self.classifier(self.embed(torch.cat(list(x.values()), dim=1), mask)).transpose(1, 2)
        by_stream = [self.actionness[part_name(s)](x[s], mask) for s in x]
        own = torch.stack(by_stream).mean(0)
        parts = by_stream if c.gce_on == "each" else [own]
        action = own
        if c.apr:
            seen = self.actionness[IMAGE](mask_time(streams[IMAGE].transpose(1, 2), mask), mask)
            parts = [*parts, seen]
            action = own + seen
            action = action / 2 if c.hybrid_action == "mean" else action
        return _Scores(cas, cas.softmax(-1) if c.hybrid_cas == "softmax" else cas, parts, action)

    def similarities(self, video: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute M^t and M^v (Eq. 3), each [B, T, C], of the model's snippets [B, T, D]."""
        to_text, to_video = self.adapter(video, self.text)
        scale = self.config.norm_scale
        if self.config.norm == "softmax":
            return (scale * to_text).softmax(-1), (scale * to_video).softmax(-1)
        if self.config.norm == "minmax":
            return preference.over_time(to_text, mask), preference.over_time(to_video, mask)
        return to_text, to_video

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Compute the weighted terms of Eq. 14, by the paper's names; L_base is "mil" and "act"."""
        c = self.config
        if not self.trainable:
            why = "zero_shot has nothing to train" if c.adaptation == "zero_shot" else "built without a text tower"
            raise UsageError(f"this network can only be frozen: {why}")
        s = self.scores(batch.streams, batch.mask)
        # Half precision holds neither the small differences that L_kl weighs by 300 nor the eps of GCE.
        with torch.autocast(s.cas.device.type, enabled=False):
            s = _Scores(s.cas.float(), s.added.float(), [p.float() for p in s.parts], s.action.float())
            return self._terms(s, *self.similarities(batch.streams[IMAGE].float(), batch.mask), batch)

    def _terms(self, s: _Scores, to_text: Tensor, to_video: Tensor, batch: Batch) -> dict[str, Tensor]:
        c, mask, y = self.config, batch.mask, batch.labels
        m = (to_text + to_video) / 2
        chosen = top_weights(s.cas if c.mil_pooling == "cas" else s.sequence, c.topk_ratio, mask)
        terms = {"mil": losses.video_ce((chosen * s.cas).sum(1), y)}
        # Pseudo-labels are labels: nothing is trained through them.
        preferred = preference.over_time(m.detach(), mask)
        positive = self.positives(s, preferred, y, mask)
        terms["act"] = torch.stack([losses.generalized_ce(p, positive, c.q, mask) for p in s.parts]).sum()
        if c.adaptation == "cm_afa" and c.kl_weight:
            terms["kl"] = c.kl_weight * self._agreement(to_text, to_video, mask)
        if c.adaptation != "training_free" and c.vl_weight:
            pooled = (self.select(s, y, mask) * m).sum(1)
            terms["vl"] = c.vl_weight * losses.video_ce(c.vl_scale * pooled, y)
        if c.ppg and c.snip_weight:
            b = preference.snippet_labels(preferred, y, c.high)
            terms["snip"] = c.snip_weight * losses.mean_of(-(b * s.cas.log_softmax(-1)).sum(-1), mask)
        return terms

    def select(self, s: _Scores, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Choose snippets (idx of Eq. 6) for `labels` [B, C]: 1 / k at k snippets of each class, else 0, [B, T, C].

        Without DSP the labels do not matter.
        """
        sequence = preference.hybrid(s.added, s.action, labels) if self.config.dsp else s.sequence
        return top_weights(sequence, self.config.topk_ratio, mask)

    def positives(self, s: _Scores, preferred: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute C_p (Eq. 12), or A_p without APR: 1 or 0, [B, T]."""
        c = self.config
        if c.positives == "action":
            positive = top_weights(s.action, c.topk_ratio, mask) > 0
        else:
            positive = ((top_weights(s.sequence, c.topk_ratio, mask) > 0) & (labels[:, None] > 0)).any(-1)
        if c.apr:
            positive = preference.refined(positive, preference.of_classes(preferred, labels), c.low, c.high)
        return positive.to(s.action.dtype)

    def _agreement(self, a: Tensor, b: Tensor, mask: Tensor | None) -> Tensor:
        """Compute L_kl (Eq. 4) of M^t and M^v."""
        c = self.config
        if c.norm == "softmax":
            logs = [x.clamp(min=1e-12).log() for x in (a, b)]
        else:
            logs = [functional.log_softmax(x / c.kl_temperature, -1) for x in (a, b)]
        terms = preference.symmetric_kl(*logs)
        return losses.mean_of(terms.mean(-1) if c.kl_reduction == "elements" else terms.sum(-1), mask)

    def video(self, s: _Scores, m: Tensor | None, chosen: Tensor) -> Tensor:
        """Compute class probabilities [B, C] of the chosen snippets (Eq. 6)."""
        found = []
        if m is not None:
            found.append((self.config.vl_scale * (chosen * m).sum(1)).softmax(-1))
        if self.config.class_from != "preference":
            found.append((chosen * s.cas).sum(1).softmax(-1))
        return torch.stack(found).mean(0)

    def kept(self, video: Tensor) -> Tensor:
        """Mark the classes [B, C] that inference cuts by 1: probable enough, or the most probable one."""
        return ((video >= self.config.class_threshold) | (video == video.amax(1, keepdim=True))).to(video.dtype)

    def activations(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return inference's activations, named as in `Head.activations`; `labels` [B, C] only through `oracle`.

        Classes are predicted from the top k of A + S and then, `passes` times, by Eq. 5 and 6 of the predicted ones.
        "cas" is A + S in every column, divided by its bound: Eq. 5 for the classes that are kept. The others are not
        cut, so that this changes no segment, and another class threshold at run time may keep them.
        """
        c = self.config
        if c.adaptation == "zero_shot":
            m = c.vl_scale * preference.cosine(streams[IMAGE], self.text)
            return {"cas": m.softmax(-1), "video": topk_mean(m, c.topk_ratio, mask).softmax(-1)}
        s, preferred = self.scores(streams, mask), None
        if c.class_from != "cas":
            preferred = torch.stack(self.similarities(streams[IMAGE], mask)).mean(0)
        bound = 2.0 if c.hybrid_action == "sum" and c.apr else 1.0
        if labels is not None:
            sequence = preference.hybrid(s.added, s.action, labels) if c.dsp else s.sequence
            video = self.video(s, preferred, self.select(s, labels, mask))
        else:
            sequence = s.sequence
            video = self.video(s, preferred, top_weights(sequence, c.topk_ratio, mask))
            for _ in range(c.passes if c.dsp else 0):
                video = self.video(s, preferred, self.select(s, self.kept(video), mask))
        cas = sequence if c.hybrid_cas == "logits" else sequence / (1 + bound)
        return {"cas": cas, "attention": s.action / bound, "video": video}


class _Frozen(nn.Module):
    """Streams in by name, activations out by name."""

    def __init__(self, net: VLPO) -> None:
        super().__init__()
        self.net = net

    def forward(self, **streams: Tensor) -> dict[str, Tensor]:
        return self.net.activations(streams)


def build(config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> VLPO:
    """Build the network; see `protocol.Method.build`."""
    return VLPO(config, vocabulary, text)


def freeze(net: nn.Module) -> nn.Module:
    """See `protocol.Method.freeze`."""
    if not isinstance(net, VLPO):
        raise TypeError(f"cannot freeze a {type(net).__name__} as VLPO")
    return _Frozen(net).eval()


@dataclass(frozen=True)
class Oracle:
    """Uses test labels: what Eq. 5 would give if labels were known, against what is given without them.

    activations: as `VLPO.activations`, uses test labels. exact_match: share of videos whose kept classes are exactly
    their labels, when selection uses test labels; exact_match_predicted: when it does not.
    """

    activations: Mapping[str, Tensor]
    exact_match: float
    exact_match_predicted: float
    note: str = USES_TEST_LABELS

    def __str__(self) -> str:
        return (
            f"exact match {self.exact_match:.3f} ({self.note}), {self.exact_match_predicted:.3f} with predicted classes"
        )


@torch.no_grad()
def oracle(net: VLPO, streams: Mapping[str, Tensor], labels: Tensor, mask: Tensor | None = None) -> Oracle:
    """Measure how much Eq. 5 gains from labels [B, C] that no video has at test time. Never a result to report."""
    known, predicted = net.activations(streams, mask, labels), net.activations(streams, mask)
    exact, without = (float((net.kept(x["video"]) == labels).all(1).float().mean()) for x in (known, predicted))
    found = Oracle(known, exact, without)
    log.warning("VLPO: %s", found)
    return found
