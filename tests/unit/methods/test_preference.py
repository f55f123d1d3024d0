"""The actionness loss and pseudo-labels against plain twins."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tal_engine.lab.nn import preference
from tal_engine.lab.nn.losses import generalized_ce, video_ce
from tests.reference import vlpo as twin


def test_actionness_loss(rng):
    scores = torch.from_numpy(rng.uniform(0.01, 0.99, (3, 11)))
    positive = torch.from_numpy(rng.random((3, 11)) > 0.5)
    positive[1], positive[2] = True, False
    for q in (0.2, 0.6, 1.0):
        wanted = np.mean([
            twin.actionness_loss(s.tolist(), set(np.flatnonzero(p)), q) for s, p in zip(scores, positive, strict=True)
        ])  # fmt: skip
        assert generalized_ce(scores, positive.double(), q).item() == pytest.approx(wanted, abs=1e-6)
        assert generalized_ce(scores.float(), positive.float(), q, torch.ones(3, 11)).item() == pytest.approx(
            wanted, abs=1e-5
        )


def test_actionness_loss_has_a_gradient_at_the_ends():
    scores = torch.tensor([[0.0, 1.0, 0.0, 1.0]], requires_grad=True)
    generalized_ce(scores, torch.tensor([[1.0, 1.0, 0.0, 0.0]]), 0.6).backward()
    assert torch.isfinite(scores.grad).all()


def test_a_video_without_preference_has_background_only():
    flat = preference.over_time(torch.full((1, 7, 3), 0.3))
    y = torch.tensor([[1.0, 0, 0]])
    assert flat.abs().max() == 0
    assert (preference.snippet_labels(flat, y, 0.9) == 1 / 3).all()
    assert not preference.refined(torch.ones(1, 7) > 0, preference.of_classes(flat, y), 0.25, 0.9).any()


def test_video_loss():
    logits, labels = torch.tensor([[1.0, 2.0, -1.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    assert video_ce(logits, labels).item() == pytest.approx(twin.video_loss([1.0, 2.0, -1.0], [1, 0, 1]), rel=1e-5)
