"""Which segments of a bag are good: how well each shows the class of its point, and how much it is like the seed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_TINY = 1e-6


def _trunk(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())


class Ranking(nn.Module):
    """Classes of each segment, and which segment of its bag speaks for each class."""

    def __init__(self, width: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.trunk = _trunk(width, hidden)
        self.classes, self.instances = nn.Linear(hidden, classes), nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features [..., D] to logits of classes and of instances, [..., C] each."""
        hidden = self.trunk(x)
        return self.classes(hidden), self.instances(hidden)


class Overlap(nn.Module):
    """The tIoU of each segment of a bag with its seed, from the segment and the mean of the bag."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.trunk, self.head = _trunk(width, hidden), nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, bag, D] to [N, bag] in 0..1."""
        hidden = self.trunk(x)
        out: Tensor = torch.sigmoid(self.head(hidden + hidden.mean(1, keepdim=True)))[..., 0]
        return out


def focal(p: Tensor, target: Tensor) -> Tensor:
    """Compute the focal loss of probabilities [..., C], gamma 2 and no balance, summed over classes."""
    log = target * (p + _TINY).log() + (1 - target) * (1 - p + _TINY).log()
    return -((p - target) ** 2 * log).sum(-1)


def bag_loss(classes: Tensor, instances: Tensor, labels: Tensor) -> Tensor:
    """Learn that some segment of each bag [N, bag, C] shows the class of its point [N]; mean over bags.

    A bag's probability of a class is the mean of its segments' over the softmax of `instances` in the bag.
    """
    p = (torch.sigmoid(classes) * instances.softmax(1)).sum(1).clamp(0, 1)
    return focal(p, functional.one_hot(labels, p.shape[-1]).to(p)).mean()


def negative_loss(classes: Tensor, count: int) -> Tensor:
    """Learn that segments [K, C] show no class; sum over them by the `count` that was drawn."""
    p = torch.sigmoid(classes)
    return focal(p, torch.zeros_like(p)).sum() / count


def merged(bags: Tensor, classes: Tensor, instances: Tensor, overlap: Tensor, labels: Tensor, best: int) -> Tensor:
    """Return the pseudo-label of each bag, [N, 2]: the mean of its best segments, weighted by how good they are.

    That is the product of class, instance and tIoU; bags [N, bag, 2], logits [N, bag, C], overlap [N, bag].
    """
    of = labels[:, None, None].expand(-1, bags.shape[1], 1)
    good = (torch.sigmoid(classes) * instances.softmax(1)).gather(2, of)[..., 0] * overlap
    weight, which = good.topk(best, 1)
    weight = weight / (weight.sum(1, keepdim=True) + 1e-8)
    return (bags.gather(1, which[..., None].expand(-1, -1, 2)) * weight[..., None]).sum(1)
