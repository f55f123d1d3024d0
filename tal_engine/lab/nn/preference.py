"""What a frozen video-language model prefers, and what a localizer learns from it.

Similarities of snippets and class texts with little that is trained around them, and pseudo-labels from them.
Equation numbers are those of VLPO. T snippets, C classes, D the joint space.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def cosine(video: Tensor, text: Tensor) -> Tensor:
    """Compute the cosine similarity of snippets [B, T, D] and texts [C, D]: [B, T, C]."""
    return functional.normalize(video, dim=-1) @ functional.normalize(text, dim=-1).T


class Frozen(nn.Module):
    """Nothing is trained (Table 4, "Training-Free"): both similarities are the model's own."""

    def forward(self, video: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return (M^t, M^v), each [B, T, C], of snippets [B, T, D] and texts [C, D]."""
        similarity = cosine(video, text)
        return similarity, similarity


class Anchored(nn.Module):
    """CM-AFA (Eq. 3 before its norm): one side is projected halfway, the other one is the anchor."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.video, self.text = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, video: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Do the same as `Frozen.forward`."""
        halfway_text, halfway_video = (text + self.text(text)) / 2, (video + self.video(video)) / 2
        return cosine(video, halfway_text), cosine(halfway_video, text)


class Bottleneck(nn.Module):
    """CLIP-Adapter (Gao et al., IJCV 2024): share * MLP(x) + (1 - share) * x on either side, one similarity."""

    def __init__(self, dim: int, reduction: int, share: float) -> None:
        super().__init__()
        self.share = share
        self.video, self.text = self._mlp(dim, reduction), self._mlp(dim, reduction)

    @staticmethod
    def _mlp(dim: int, reduction: int) -> nn.Sequential:
        narrow = max(1, dim // reduction)
        layers = nn.Linear(dim, narrow, bias=False), nn.ReLU(), nn.Linear(narrow, dim, bias=False), nn.ReLU()
        return nn.Sequential(*layers)

    def forward(self, video: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Do the same as `Frozen.forward`."""
        adapted = [self.share * f(x) + (1 - self.share) * x for f, x in ((self.video, video), (self.text, text))]
        similarity = cosine(*adapted)
        return similarity, similarity


def over_time(m: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scale min-max over the real snippets, per class: [B, T, C] in [0, 1], 0 in padding and for constant sequences."""
    hide = torch.zeros_like(m, dtype=torch.bool) if mask is None else (mask[..., None] == 0).expand_as(m)
    low = m.masked_fill(hide, float("inf")).amin(1, keepdim=True)
    high = m.masked_fill(hide, float("-inf")).amax(1, keepdim=True)
    return ((m - low) / (high - low).clamp(min=1e-12)).masked_fill(hide, 0.0)


def symmetric_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Compute KL of two distributions over the last dimension, both directions averaged (Eq. 4): terms [..., C].

    The terms are not summed: the method chooses the reduction.
    """
    return 0.5 * (log_p.exp() - log_q.exp()) * (log_p - log_q)


def hybrid(cas: Tensor, action: Tensor, labels: Tensor) -> Tensor:
    """Combine DSP's sequence (Eq. 5): A_c + S for a video's classes, A_c + 1 - S for the others.

    cas [B, T, C], action [B, T], labels [B, C] multi-hot -> [B, T, C].
    """
    return cas + torch.where(labels[:, None] > 0, action[..., None], 1 - action[..., None])


def of_classes(preference: Tensor, labels: Tensor) -> Tensor:
    """Compute temporal confidence S^M (Eq. 10): the largest preference among a video's classes, [B, T].

    preference [B, T, C] in [0, 1], labels [B, C]. A video without a class has -1 everywhere.
    """
    return preference.masked_fill(labels[:, None] == 0, -1.0).amax(-1)


def snippet_labels(preference: Tensor, labels: Tensor, high: float) -> Tensor:
    """Assign PPG's pseudo-labels [B, T, C]: above `high` the video's most preferred class, else 1/C for each class."""
    own = preference.masked_fill(labels[:, None] == 0, -1.0)
    best, at = own.max(-1)
    hard = functional.one_hot(at, labels.shape[1]).to(preference.dtype)
    return torch.where((best > high)[..., None], hard, 1 / labels.shape[1])


def refined(positive: Tensor, confidence: Tensor, low: float, high: float) -> Tensor:
    """Refine APR's positives (Eq. 11, 12): (A_p - B_n) | B_p, all [B, T]; confidence is S^M."""
    return (positive & ~(confidence < low)) | (confidence > high)
