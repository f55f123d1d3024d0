"""Pre-trains the tiny encoders: snippet encoders on random programs, the image-text pair on captions.

Neither ever sees a labelled exercise video: the programs are checked to move unlike every
exercise, and captions come from their own scenes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ...demo.captions import captioned, vocabulary
from ...demo.skeleton import JOINTS
from ..nn.tiny import DIM, REGIONS, TinyEncoders, TinyFlow, TinyImage, TinyRGB, TinyText, save_tiny
from .snippets import FLOW_STEP, MOMENTS, SnippetSet, snippet_set

log = logging.getLogger("tal_engine")

_PARTS: dict[str, Callable[[], nn.Module]] = {"rgb": TinyRGB, "flow": TinyFlow, "image": TinyImage}


class _Pretraining(nn.Module):
    """An encoder with what it is taught by: the program, and the pose or its motion.

    The pose is asked of every moment's picture, so that the trunk finds the figure, and of the
    snippet's vector, so that the vector keeps it.
    """

    def __init__(self, which: str, classes: int) -> None:
        super().__init__()
        self.which = which
        self.net = cast("TinyRGB | TinyFlow", _PARTS[which]())
        joints = 2 * len(JOINTS)
        self.of_moment = nn.Linear(REGIONS, joints)
        self.of_snippet = nn.Linear(DIM, MOMENTS * joints)
        self.program = nn.Linear(DIM, classes)

    def target(self, pose: Tensor) -> Tensor:
        """Convert [B, 16, J] to the targets at each moment [B, 4, J]: positions, or how far each joint moves."""
        if self.which == "rgb":
            return pose[:, 1::4]
        return 4.0 * (pose[:, [4, 8, 12, 15]] - pose[:, [0, 4, 8, 12]])

    def forward(self, x: Tensor, pose: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the predicted program for prepared snippets."""
        b, t = x.shape[:2]
        with torch.autocast("cpu", torch.bfloat16):
            moments = self.net.trunk(x.flatten(0, 1)).reshape(b, t, -1)
            feature = self.net.time(moments)
            places, kept = self.of_moment(moments), self.of_snippet(feature)
            logits = self.program(functional.dropout(feature, 0.2, self.training)).float()
        wanted = self.target(pose)
        error = (places.float() - wanted).abs().mean() + (kept.float().reshape(wanted.shape) - wanted).abs().mean()
        return functional.cross_entropy(logits, labels, label_smoothing=0.1) + 5.0 * error, logits.argmax(1)


def pretrain(
    cache: Path, output: Path, *, epochs: dict[str, int], pictures: int, seed: int, workers: int = 1
) -> dict[str, float]:
    """Train all towers, each in a process of its own, and write them to one file.

    Args:
        cache: snippets, from `cut_clips`.
        output: the weights file.
        epochs: of "rgb", "flow" and "pair" (image and text).
        pictures: captioned ones that the pair sees.
        seed: of weights, order and jitter.
        workers: processes at once; each computes on one core, so that the weights do not depend on it.

    Returns:
        How well each went: held-out accuracy on programs, last loss of the pair.
    """
    jobs = [(which, cache, count, pictures, seed) for which, count in epochs.items()]
    towers, figures = TinyEncoders(vocabulary()), {}
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        for state, name, value in pool.map(_pretrain_one, jobs):
            towers.load_state_dict({**towers.state_dict(), **state})
            figures[name] = value
    save_tiny(output, towers, {"seed": seed, "epochs": epochs, "pictures": pictures})
    return figures


def _pretrain_one(job: tuple[str, Path, int, int, int]) -> tuple[dict[str, Tensor], str, float]:
    """Train one tower or pair; return its state, the name of its figure, and the figure."""
    which, cache, epochs, pictures, seed = job
    torch.set_num_threads(1)
    parts: dict[str, nn.Module]
    if which == "pair":
        image, text, figure = pretrain_pair(pictures, epochs=epochs, seed=seed)
        parts, name = {"image": image, "text": text}, "pair_loss"
    else:
        net, figure = pretrain_snippets(which, snippet_set(cache), epochs=epochs, seed=seed)
        parts, name = {which: net}, f"{which}_held_out_accuracy"
    state = {f"{part}.{k}": v.contiguous() for part, net in parts.items() for k, v in net.state_dict().items()}
    return state, name, round(figure, 4)


def pretrain_snippets(
    which: str, data: SnippetSet, *, epochs: int, seed: int, batch: int = 64
) -> tuple[nn.Module, float]:
    """Train TinyRGB ("rgb") or TinyFlow ("flow") on random programs.

    One clip in twenty is held out.

    Returns:
        The encoder, and its accuracy on the programs of held-out clips.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = _Pretraining(which, int(data.labels.max()) + 1).to(memory_format=torch.channels_last)
    values = data.frames if which == "rgb" else data.flow
    ready = _ready_frames if which == "rgb" else _ready_flow
    held = data.clips % 20 == 19
    train, check = np.flatnonzero(~held), np.flatnonzero(held)

    def of(rows: NDArray[np.int64], jitter: bool) -> tuple[Tensor, Tensor, Tensor]:
        x, pose = ready(values[rows]), torch.from_numpy(data.pose[rows])
        if jitter:
            x, pose = _jitter(x, pose, rng, which)
        return x, pose, torch.from_numpy(data.labels[rows])

    share, steps = 0.0, epochs * (len(train) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=max(steps, 1), pct_start=0.1)
    for epoch in range(epochs):
        order, losses = rng.permutation(train), []
        model.train()
        for i in range(0, len(order) - batch + 1, batch):
            loss, _ = model(*of(np.sort(order[i : i + batch]), True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            parts = [check[i : i + 128] for i in range(0, len(check), 128)]
            right = sum(int((model(*of(p, False))[1].numpy() == data.labels[p]).sum()) for p in parts)
        share = right / max(len(check), 1)
        log.info("%s epoch %d: loss %.3f, held-out accuracy %.3f", which, epoch + 1, float(np.mean(losses)), share)
    return model.net.eval(), share


def _ready_frames(x: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x)).permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0


def _ready_flow(x: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x)).float() / (FLOW_STEP * 4.0)


def _jitter(x: Tensor, pose: Tensor, rng: np.random.Generator, which: str) -> tuple[Tensor, Tensor]:
    """Shift the position, and for images the light: neither may matter."""
    side = x.shape[-1]
    dy, dx = (int(v) for v in rng.integers(-side // 14, side // 14 + 1, 2))
    x = torch.roll(x, (dy, dx), (-2, -1))
    if which == "flow":
        return x + torch.randn_like(x) * 0.02, pose
    pose = pose + torch.tensor([dx, dy]).repeat(pose.shape[-1] // 2) / (side / 2)
    return _relight(x), pose


def _relight(x: Tensor) -> Tensor:
    """Change brightness, contrast and tint of each sample of images [B, ..., 3, H, W]."""
    shape = (x.shape[0], *([1] * (x.ndim - 1)))
    gain, shift = torch.rand(shape) * 0.5 + 0.75, torch.rand(shape) * 0.4 - 0.2
    tint = torch.rand(*shape[:-3], 3, 1, 1) * 0.3 - 0.15
    return x * gain + shift + tint


def pretrain_pair(count: int, *, epochs: int, seed: int, batch: int = 256) -> tuple[TinyImage, TinyText, float]:
    """Train the image and text towers contrastively on captioned pictures (CLIP's loss).

    Equal captions in a batch count as positives of each other.

    Returns:
        Image tower, text tower, mean loss of the last epoch.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pictures = np.empty((count, 112, 112, 3), np.uint8)
    captions: list[str] = []
    for i, (picture, caption) in enumerate(captioned(count, seed, 112)):
        pictures[i] = picture
        captions.append(caption)
    image = TinyImage().to(memory_format=torch.channels_last)
    text = TinyText(vocabulary())
    scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
    optimizer = torch.optim.AdamW([*image.parameters(), *text.parameters(), scale], lr=1e-3, weight_decay=0.02)
    steps = epochs * (count // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=max(steps, 1), pct_start=0.1)
    mean = float("nan")
    for epoch in range(epochs):
        order, running = rng.permutation(count), 0.0
        for i in range(0, count - batch + 1, batch):
            rows = np.sort(order[i : i + batch])
            x = torch.from_numpy(pictures[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1.0
            words = [captions[r] for r in rows]
            with torch.autocast("cpu", torch.bfloat16):
                a = image.embed(_relight(x))
            a = functional.normalize(a.float(), dim=1)
            b = functional.normalize(text(words), dim=1)
            logits = a @ b.T * scale.exp().clamp(max=100)
            same = torch.tensor([[float(p == q) for q in words] for p in words])
            target = same / same.sum(1, keepdim=True)
            loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            running += loss.item()
        mean = running / max(count // batch, 1)
        log.info("image-text epoch %d: loss %.3f", epoch + 1, mean)
    return image.eval(), text.eval(), mean
