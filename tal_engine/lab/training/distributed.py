"""Training in several processes, started by torchrun; with one process nothing here does anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from ...errors import UsageError
from ..heads.interface import Batch
from .training_options import TrainOptions


@dataclass(frozen=True)
class World:
    """Place of this process among those that train together. Rank 0 writes, prints and evaluates."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process; all processes have to call it."""
        if self.size == 1:
            return flag
        count = torch.tensor(int(flag), device=self.device)
        distributed.all_reduce(count)
        return bool(count)

    def gathered(self, value: Any) -> list[Any]:
        """Return the value of every process, by rank; all processes have to call it."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Run the block in the first process, then in the others, which find what it left on disk."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def share(self, options: TrainOptions) -> tuple[int, int]:
        """Return (videos, pairs) of this process's part of a batch.

        Raises:
            UsageError: the batch does not divide.
        """
        if options.batch % self.size:
            raise UsageError(f"batch is {options.batch}, must be a multiple of the {self.size} processes")
        videos = options.batch // self.size
        pairs = options.pairs // self.size + (self.rank < options.pairs % self.size)
        return videos, min(pairs, videos // 2)


def first_process() -> bool:
    """Return whether this process prints: it is alone, or torchrun started it first."""
    return int(os.environ.get("RANK", 0)) == 0


def this_world(options: TrainOptions) -> World:
    """Return this process's place in the group that `joined` (or a caller) set up.

    Raises:
        UsageError: there is no such device, or it cannot do the precision.
    """
    joined_up = distributed.is_available() and distributed.is_initialized()
    rank, size = (distributed.get_rank(), distributed.get_world_size()) if joined_up else (0, 1)
    return World(rank, size, _device(options))


def _device(options: TrainOptions) -> torch.device:
    present = torch.cuda.is_available()
    if options.device == "cuda" and not present:
        raise UsageError("device is 'cuda', but torch finds no CUDA card; use 'auto' or 'cpu'")
    if options.device == "cpu" or not present:
        if options.amp == "fp16":
            raise UsageError("amp is 'fp16', which needs a CUDA card; on the CPU use 'bf16' or 'none'")
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


@contextmanager
def joined(options: TrainOptions) -> Iterator[World]:
    """Join the processes that torchrun started (gloo on the CPU, nccl on CUDA), and leave them at the end."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    mine = size > 1 and not distributed.is_initialized()
    if mine:
        device = _device(options)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        # Rank 0 may extract features or evaluate for hours while the others wait.
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=timedelta(days=1))
    try:
        yield this_world(options)
    finally:
        if mine:
            distributed.destroy_process_group()


class _Terms(nn.Module):
    """Loss terms as a forward pass, which is where DistributedDataParallel looks."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return self.net.loss(batch, step)  # type: ignore[operator]


def terms_of(net: nn.Module, world: World) -> nn.Module:
    """Wrap the network as a module from (batch, step) to loss terms, averaging gradients over all processes."""
    terms = _Terms(net)
    if world.size == 1 or not any(p.requires_grad for p in net.parameters()):
        return terms
    # A term may leave a layer out (reconstruction, text background), which is not an error.
    return nn.parallel.DistributedDataParallel(terms, find_unused_parameters=True)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Copy the batch to a device."""
    if device.type == "cpu":
        return batch
    streams = {k: v.to(device, non_blocking=True) for k, v in batch.streams.items()}
    mask, points, untimed = (None if x is None else x.to(device) for x in (batch.mask, batch.points, batch.untimed))
    segments = None if batch.segments is None else tuple(x.to(device) for x in batch.segments)
    moved = replace(batch, streams=streams, labels=batch.labels.to(device), mask=mask, points=points)
    return replace(moved, segments=segments, untimed=untimed)
