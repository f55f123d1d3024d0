"""Averaged weights: an exponential moving average of what is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ...errors import CheckpointError


class Ema:
    """average <- decay * average + (1 - decay) * weights, after each step; it begins with the weights.

    Only trained parameters are averaged: heads have no running statistics, and their other buffers follow from
    the parameters.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self._trained = {k: p for k, p in net.named_parameters() if p.requires_grad}
        self.average = {k: p.detach().clone() for k, p in self._trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of a step."""
        for name, p in self._trained.items():
            self.average[name].lerp_(p, 1 - self.decay)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from saved averages.

        Raises:
            CheckpointError: one is missing.
        """
        for name, value in self.average.items():
            if name not in state:
                raise CheckpointError(f"averaged weights lack {name!r}")
            value.copy_(state[name])

    def put(self) -> None:
        """Give the network the averaged weights for good."""
        self._put(self.average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the network the averaged weights inside the block, and its own after it, bit for bit."""
        own = {k: p.detach().clone() for k, p in self._trained.items()}
        self._put(self.average)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, p in self._trained.items():
            p.copy_(values[name])
