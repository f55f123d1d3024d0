"""Options of the training loop."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args, get_type_hints

from ...errors import UsageError

#: Options that say how long, where and how a run is reported, not what it computes: free to change on resume.
#: With a schedule that ends with the last step, "steps" is not.
FREE = ("steps", "save_every", "eval_every", "device", "mean_of_last", "select", "tensorboard")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a method is trained; PVLR's public code on THUMOS14 where nothing else is said."""

    #: 0 writes and scores the network as it was built.
    steps: int = 7000
    #: Videos of a forward pass, over all processes.
    batch: int = 10
    #: Videos that share a class come first in a batch, two by two.
    pairs: int = 3
    #: Snippets a video is sampled to, and how; "full" pads to the longest of the batch.
    length: int = 320
    sampling: Literal["random_perturb", "uniform", "contiguous", "crop", "full"] = "random_perturb"
    #: Point labels, for methods that read them: the data set's own, or drawn from its segments with `seed`.
    points: Literal["given", "uniform", "gaussian"] = "given"
    learning_rate: float = 5e-5
    weight_decay: float = 1e-3
    #: "adam" adds the decay to the gradient; "adamw" takes it off the weights, of matrices and convolutions alone.
    optimizer: Literal["adam", "adamw"] = "adam"
    #: Steps over which the learning rate rises from 0; after them it stays, or falls to 0 as half a cosine.
    warmup: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    seed: int = 0
    #: Batches a step; their losses are averaged.
    accumulate: int = 1
    #: Largest norm of the gradient; 0 leaves it.
    clip_norm: float = 0.0
    #: Decay of averaged weights, which are then what is evaluated and exported; 0 keeps none.
    ema: float = 0.0
    #: "auto" is a CUDA card where there is one.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    #: Mixed precision of the forward pass; "fp16" scales the loss and needs a CUDA card.
    amp: Literal["none", "bf16", "fp16"] = "none"
    #: Steps between two checkpoints.
    save_every: int = 500
    #: Steps between two evaluations; 0 evaluates at the end only.
    eval_every: int = 0
    #: Evaluations whose mean is reported.
    mean_of_last: int = 5
    #: Which weights are the result: the last, or the best on validation videos (at an evaluation).
    select: Literal["last", "validation"] = "last"
    #: What an evaluation reads of a video: all snippets, or `test_length` of them, of every video or of
    #: longer ones only (CO2-Net, BaS-Net, CoLA).
    test_sampling: Literal["full", "uniform", "uniform_if_longer"] = "full"
    test_length: int = 750
    #: Write every loss term and mAP for TensorBoard.
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for field in ("batch", "length", "save_every", "accumulate", "mean_of_last", "test_length"):
            _require(getattr(self, field) >= 1, field, getattr(self, field), "at least 1")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "positive")
        for field in ("steps", "warmup", "weight_decay", "clip_norm", "eval_every", "seed"):
            _require(getattr(self, field) >= 0, field, getattr(self, field), "0 or more")
        _require(0 <= self.ema < 1, "ema", self.ema, "in [0, 1); 0 keeps no averaged weights")
        _require(0 <= 2 * self.pairs <= self.batch, "pairs", self.pairs, f"in 0..batch/2 ({self.batch // 2})")
        if self.select == "validation" and not self.eval_every:
            raise UsageError("select is 'validation', which needs evaluations to choose from: eval_every is 0")
        hints = get_type_hints(type(self))
        choices = {f.name: get_args(hints[f.name]) for f in fields(self)}
        for name, allowed in choices.items():
            _require(not allowed or getattr(self, name) in allowed, name, getattr(self, name), f"one of {allowed}")
        if self.amp == "fp16" and self.device == "cpu":
            raise UsageError("amp is 'fp16', which needs device 'cuda'; on the CPU use 'bf16' or 'none'")

    def differs(self, other: TrainOptions) -> str | None:
        """Return the first option that makes a run compute something else than `other`, if there is one."""
        free = set(FREE) - ({"steps"} if self.schedule == "cosine" else set())
        names = (f.name for f in fields(self) if f.name not in free)
        return next((n for n in names if getattr(self, n) != getattr(other, n)), None)


def _require(ok: bool, what: str, value: object, allowed: str) -> None:
    if not ok:
        raise UsageError(f"{what} is {value!r}, must be {allowed}")
