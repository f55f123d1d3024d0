"""BaS-Net, taught also by times where they are known: those of the procedural streams, which cost nothing.

The network and what it computes are BaS-Net's, so checkpoints and plans are. Training adds one term: each snippet of a
stream whose times are known is classified by what happens in most of it. Videos of which only the classes are known,
such as trials of real people, teach BaS-Net's own terms alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..heads import basnet
from ..heads.basnet import RECIPES, Config, freeze, nms_options, proposal_options
from ..heads.interface import Batch, Output, builder
from ..heads.streams import visual_streams

__all__ = ["RECIPES", "Config", "TimedBaSNet", "build", "freeze", "nms_options", "proposal_options"]

name = "basnet"
uses_text = False
uses_segments = True
mixes = True
training_streams = visual_streams
inference_streams = visual_streams

#: Least share of a snippet that an action fills to be what happens in it, and most that it fills to be background.
MOST, LEAST = 0.5, 0.15
#: Weight of the term, and how far targets are from 0 and 1: borders are a matter of opinion.
WEIGHT, SMOOTHING = 3.0, 0.05


class TimedBaSNet(basnet.BaSNet):
    """BaS-Net whose objective has a term for what is known of single snippets."""

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """Compute base, suppressed, norm, and timed."""
        terms = super().objective(out, batch)
        target, known = targets(batch, out.cas.shape[1], out.cas.shape[2] - 1)
        total = known.sum().clamp(min=1)

        def classified(cas: Tensor) -> Tensor:
            each = functional.cross_entropy(
                cas.transpose(1, 2).float(), target, reduction="none", label_smoothing=SMOOTHING
            )
            return (each * known).sum() / total

        action = (target < out.cas.shape[2] - 1).float()
        filtered = functional.binary_cross_entropy(out.foreground.float().clamp(1e-6, 1 - 1e-6), action, known)
        both = classified(out.parts["suppressed"]) + classified(out.cas)
        return {**terms, "timed": WEIGHT * (both + filtered)}


def targets(batch: Batch, length: int, classes: int) -> tuple[Tensor, Tensor]:
    """Say what happens in each snippet.

    Args:
        batch: with segments.
        length: snippets.
        classes: how many, without background.

    Returns:
        Classes [B, T], `classes` for background; and where they are known [B, T], 1 or 0: not in padding, not in videos
        with classes of unknown times, and not where an action fills some of a snippet.
    """
    labels = batch.labels
    at = torch.arange(length, dtype=torch.float32)
    target = torch.full((len(labels), length), classes, dtype=torch.long)
    known = torch.ones(len(labels), length)
    for b, segments in enumerate(batch.timed):
        if batch.untimed is not None and batch.untimed[b].any():
            known[b] = 0
        filled = torch.zeros(length)
        for start, end, label in segments.tolist():
            share = (torch.minimum(at + 0.5, torch.tensor(end)) - torch.maximum(at - 0.5, torch.tensor(start))).clamp(0)
            better = share > filled
            filled = torch.where(better, share, filled)
            target[b] = torch.where(better & (share >= MOST), int(label), target[b])
        known[b] = torch.where((filled < MOST) & (filled > LEAST), torch.zeros(()), known[b])
    if batch.mask is not None:
        known = known * batch.mask.cpu()
    return target.to(labels.device), known.to(labels.device)


def build(*args: Any, **more: Any) -> nn.Module:
    """See `methods.protocol.Method.build`."""
    net: nn.Module = builder(TimedBaSNet)(*args, **more)
    return net
