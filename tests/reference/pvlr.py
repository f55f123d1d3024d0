"""PVLR's added loss terms one pair, one video and one dimension at a time, by its paper and by its public code.

Written from the printed equations and from what sejong-rcv/PVLR computes (787855d, `src/thumos` and `src/anet`), as
loops over scalars of torch, so that gradients come with the values. Terms are not weighted. Snippets of the intra
terms are given as four lists of indices; how they are mined is another question.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

#: What the public code itself gave for `inputs`, seed by seed: values, and gradients as a dot product with `probe`.
PUBLIC = json.loads(Path(__file__).with_suffix(".json").read_text())
#: What the public code adds to every variance.
EPSILON = 1e-5


def kl(mean_p, var_p, mean_q, var_q):
    """Eq. 16 of two diagonal Gaussians [D], variances as they are."""
    total = 0.0
    for a, v, b, w in zip(mean_p, var_p, mean_q, var_q, strict=True):
        total = total + (v / w + (b - a) ** 2 / w + torch.log(w / v) - 1) / 2
    return total


def jsd(mean_p, var_p, mean_q, var_q):
    """(KL(P | M) + KL(Q | M)) / 2, M the Gaussian with the mean and the variance of the half and half mixture."""
    mean_m = [(a + b) / 2 for a, b in zip(mean_p, mean_q, strict=True)]
    var_m = [
        (v + a**2 + w + b**2) / 2 - m**2
        for a, v, b, w, m in zip(mean_p, var_p, mean_q, var_q, mean_m, strict=True)
    ]  # fmt: skip
    return (kl(mean_p, var_p, mean_m, var_m) + kl(mean_q, var_q, mean_m, var_m)) / 2


def floored(variance):
    return variance + EPSILON


class Code:
    """Of the public code. symmetric: THUMOS14's averages both directions of KL in the intra terms."""

    def __init__(self, symmetric=True):
        self.symmetric = symmetric

    def probability(self, mean_p, var_p, mean_q, var_q):
        return 1 / (1 + kl(mean_p, floored(var_p), mean_q, floored(var_q)))

    def mean_probability(self, mean, var, first, second):
        """Of all pairs of two lists of snippets."""
        found = []
        for i in first:
            for j in second:
                p = self.probability(mean[i], var[i], mean[j], var[j])
                if self.symmetric:
                    p = (p + self.probability(mean[j], var[j], mean[i], var[i])) / 2
                found.append(p)
        return sum(found) / len(found)

    def intra(self, mean, var, hard, same, other):
        """One term: mean over videos; indices by video."""
        each = []
        for b in range(len(mean)):
            near = self.mean_probability(mean[b], var[b], hard[b], same[b])
            far = self.mean_probability(mean[b], var[b], hard[b], other[b])
            each.append(-torch.log(near) - torch.log(1 - far))
        return sum(each) / len(each)

    def mixture(self, mean, var, attention):
        """Of one video: moments are means over time of attention times moment."""
        steps = len(mean)
        m = sum(attention[t] * mean[t] for t in range(steps)) / steps
        second = sum(attention[t] * (mean[t] ** 2 + var[t]) for t in range(steps)) / steps
        return m, second - m**2

    def inter(self, mean, var, attention, labels):
        """Pairs of videos of a shared class and other pairs, each kind averaged; a video is a pair with itself."""
        videos = [self.mixture(m, v, a) for m, v, a in zip(mean, var, attention, strict=True)]
        same, others = [], []
        for (mp, vp), y in zip(videos, labels, strict=True):
            for (mq, vq), z in zip(videos, labels, strict=True):
                p = self.probability(mp, vp, mq, vq)
                if any(a > 0 and b > 0 for a, b in zip(y, z, strict=True)):
                    same.append(-torch.log(p))
                else:
                    others.append(-torch.log(1 - p))
        return sum(same) / len(same) + sum(others) / len(others)

    def ortho(self, text):
        """text [C + 1, D] with background; one factor of each product is a constant for the gradient."""
        total = 0.0
        for i, a in enumerate(text):
            for j, b in enumerate(text):
                constant = (b / torch.sqrt((b * b).sum())).detach()
                similarity = (a * constant).sum() / torch.sqrt((a * a).sum())
                total = total + (similarity - (1.0 if i == j else 0.0)) ** 2
        return torch.sqrt(total)

    def distillation(self, mean, image):
        found = [rescaled_cosine(a, b) for m, x in zip(mean, image, strict=True) for a, b in zip(m, x, strict=True)]
        return -torch.log(sum(found) / len(found))


class Paper:
    """Of the paper; p(N) = 1 - exp(-JSD), see `tal_engine.lab.nn.gaussian`."""

    def match(self, mean_p, var_p, mean_q, var_q):
        """1 - p(N), which for far distributions is more exact than p(N)."""
        return torch.exp(-jsd(mean_p, floored(var_p), mean_q, floored(var_q)))

    def intra(self, mean, var, hard, same, other):
        """Eq. 17: a loss a pair. Mean over positive pairs and mean over negative ones, then over videos."""
        each = []
        for b in range(len(mean)):
            near = [self.match(mean[b][i], var[b][i], mean[b][j], var[b][j]) for i in hard[b] for j in same[b]]
            far = [self.match(mean[b][i], var[b][i], mean[b][j], var[b][j]) for i in hard[b] for j in other[b]]
            positive = sum(-torch.log(match) for match in near) / len(near)
            each.append(positive + sum(-torch.log(1 - match) for match in far) / len(far))
        return sum(each) / len(each)

    def mixture(self, mean, var, attention):
        """Eq. 18: weights of one video that sum to 1."""
        steps, total = len(mean), sum(attention)
        m = sum(attention[t] / total * mean[t] for t in range(steps))
        second = sum(attention[t] / total * (mean[t] ** 2 + var[t]) for t in range(steps))
        return m, second - m**2

    def inter(self, mean, var, attention, labels):
        """Eq. 19: mean binary cross-entropy over all N * N pairs, of a match's probability 1 - p(N)."""
        videos = [self.mixture(m, v, a) for m, v, a in zip(mean, var, attention, strict=True)]
        total = 0.0
        for i, ((mp, vp), y) in enumerate(zip(videos, labels, strict=True)):
            for j, ((mq, vq), z) in enumerate(zip(videos, labels, strict=True)):
                match = self.match(mp, vp, mq, vq)
                same = i == j or any(a > 0 and b > 0 for a, b in zip(y, z, strict=True))
                total = total - torch.log(match if same else 1 - match)
        return total / len(videos) ** 2

    def ortho(self, text):
        """Eq. 11: text [C, D] of the classes alone, rows of unit length."""
        total = 0.0
        for i, a in enumerate(text):
            for j, b in enumerate(text):
                cosine = (a * b).sum() / torch.sqrt((a * a).sum() * (b * b).sum())
                total = total + (cosine - (1.0 if i == j else 0.0)) ** 2
        return total

    def distillation(self, mean, image):
        """Eq. 12, mean over videos too."""
        found = [rescaled_cosine(a, b) for m, x in zip(mean, image, strict=True) for a, b in zip(m, x, strict=True)]
        return sum(-torch.log(p) for p in found) / len(found)


def rescaled_cosine(a, b):
    return ((a * b).sum() / torch.sqrt((a * a).sum() * (b * b).sum()) + 1) / 2


#: Names of the terms.
TERMS = ("kd", "ortho", "intra_action", "intra_background", "inter")
#: Of each intra term: the hard snippets, the easy ones of their kind, and those of the other kind.
INTRA = {"intra_action": ("hard_action", "easy_action", "easy_background"),
         "intra_background": ("hard_background", "easy_background", "easy_action")}  # fmt: skip


def inputs(seed, videos=6, steps=24, width=10, classes=3):
    """Random tensors in double: means, ReLU's variances (some are 0), attention, labels, texts, images, and indices."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((videos, classes))
    labels[np.arange(videos), np.arange(videos) % classes] = 1
    labels[0, 1] = 1
    found = {
        "mean": rng.normal(size=(videos, steps, width)),
        "variance": np.maximum(rng.normal(0.3, 0.5, (videos, steps, width)), 0),
        "attention": rng.uniform(size=(videos, steps)),
        "text": rng.normal(size=(classes + 1, width)),
        "image": rng.normal(size=(videos, steps, width)),
    }
    order = np.stack([rng.permutation(steps) for _ in range(videos)])
    cuts = {"hard_action": slice(0, 3), "hard_background": slice(3, 6), "easy_action": slice(6, 11),
            "easy_background": slice(11, 16)}  # fmt: skip
    tensors = {k: torch.tensor(v) for k, v in found.items()}
    tensors["labels"] = torch.tensor(labels)
    return tensors, {k: torch.tensor(order[:, v]) for k, v in cuts.items()}


def probe(tensor):
    """Fixed numbers of a tensor's shape that a gradient is multiplied with."""
    return torch.cos(torch.arange(tensor.numel(), dtype=torch.float64)).reshape(tensor.shape)


def terms(twin, tensors, indices, background):
    """The unweighted terms of `Code` or `Paper`; background: whether the last text is in L_ortho."""
    x = tensors
    text = x["text"] if background else x["text"][:-1]
    found = {"kd": twin.distillation(x["mean"], x["image"]), "ortho": twin.ortho(text)}
    for name, sets in INTRA.items():
        found[name] = twin.intra(x["mean"], x["variance"], *(indices[k].tolist() for k in sets))
    return found | {"inter": twin.inter(x["mean"], x["variance"], x["attention"], x["labels"].tolist())}
