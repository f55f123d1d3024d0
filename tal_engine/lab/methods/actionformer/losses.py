"""The losses: focal for classes, distance-IoU for borders. Both element by element, without weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: Length that stands for none (published).
_TINY = 1e-8


def focal(logits: Tensor, labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Compute the focal loss of sigmoids, of the shape of its inputs.

    -alpha_t * (1 - p_t)^gamma * log(p_t), where p_t = p for a label of 1 and 1 - p for 0, and alpha_t likewise; labels
    between are mixed (label smoothing).

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, Eq. 5.

    >>> round(focal(torch.zeros(1), torch.ones(1)).item(), 4)  # 0.25 * 0.5^2 * log(2)
    0.0433
    """
    p = torch.sigmoid(logits)
    right = p * labels + (1 - p) * (1 - labels)
    weight = alpha * labels + (1 - alpha) * (1 - labels)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return weight * (1 - right) ** gamma * cross_entropy


def distance_iou(found: Tensor, wanted: Tensor) -> Tensor:
    """Compute 1 - IoU + (distance of the middles / length of the hull)^2 of two segments around a moment: [N].

    Args:
        found: distances from the moment back to the start and on to the end [N, 2], none negative.
        wanted: likewise.

    Source: Zheng et al., "Distance-IoU Loss", AAAI 2020, Eq. 7, in one dimension.

    >>> distance_iou(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 3.0]])).tolist()  # IoU 1/2, middles 1 of 4 apart
    [0.5625]
    """
    common = torch.minimum(found, wanted).sum(-1)
    union = found.sum(-1) + wanted.sum(-1) - common
    hull = torch.maximum(found, wanted).sum(-1)
    apart = ((found[:, 1] - found[:, 0]) - (wanted[:, 1] - wanted[:, 0])) / 2
    return 1 - common / union.clamp(min=_TINY) + (apart / hull.clamp(min=_TINY)) ** 2
