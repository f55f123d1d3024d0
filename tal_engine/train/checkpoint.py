"""Checkpoints: a folder with ``checkpoint.json`` and safetensors files. Nothing is pickled.

``weights.safetensors`` is what export needs; ``resume.safetensors`` is what continuing needs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from .. import __version__
from ..errors import CheckpointError, UsageError
from ..files import whole_file, write_text
from ..methods import Method, load_method
from ..vocabulary import Vocabulary
from .options import TrainOptions

_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A read checkpoint."""

    folder: Path
    method: Method
    config: Any
    vocabulary: Vocabulary
    step: int
    train: TrainOptions
    provenance: dict[str, Any]

    def network(self, text: Any = None) -> nn.Module:
        """The network with its weights. `text` is only needed to train on."""
        net = self.method.build(self.config, self.vocabulary, text)
        state = _read(self.folder / "weights.safetensors")
        missing, unexpected = net.load_state_dict(state, strict=False)
        # Without a text tower there is no prompt to load; its result is among the weights.
        unexpected = [k for k in unexpected if text is not None or not k.startswith("prompt.")]
        if missing or unexpected:
            raise CheckpointError(
                f"{self.folder}: weights do not fit; missing {sorted(missing)}, unexpected {sorted(unexpected)}"
            )
        return net.eval()


def save(
    folder: Path,
    net: nn.Module,
    *,
    method: Method,
    config: Any,
    vocabulary: Vocabulary,
    step: int,
    train: TrainOptions,
    provenance: dict[str, Any],
    optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> None:
    """Write a checkpoint. Each file is whole or not there; the JSON, written last, makes it valid.

    It holds the hashes of the others, so a mixture of two checkpoints is noticed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fold = getattr(net, "fold_text", None)
    if callable(fold):
        fold()
    state = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    resume = {"torch_rng": torch.get_rng_state()}
    for index, values in optimizer.state_dict()["state"].items():
        resume |= {f"optimizer.{index}.{k}": torch.as_tensor(v).detach().cpu() for k, v in values.items()}
    hashes = {}
    for name, tensors in (("weights", state), ("resume", resume)):
        with whole_file(folder / f"{name}.safetensors") as temporary:
            safetensors.torch.save_file(tensors, str(temporary))
            hashes[name] = hashlib.sha256(temporary.read_bytes()).hexdigest()
    document = {
        "format": _FORMAT,
        "method": method.name,
        "config": asdict(config),
        "vocabulary": list(vocabulary),
        "step": step,
        "train": asdict(train),
        "provenance": provenance,
        "sha256": hashes,
        "numpy_rng": rng.bit_generator.state,
        "versions": {"tal_engine": __version__, "torch": torch.__version__},
    }
    write_text(folder / "checkpoint.json", json.dumps(document, indent=1) + "\n")


def load(folder: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: incomplete, damaged, of a newer format, or with fields that are unknown.
    """
    folder = Path(folder)
    document = _document(folder)
    for name, digest in document["sha256"].items():
        path = folder / f"{name}.safetensors"
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise CheckpointError(f"{path}: missing or not the file that checkpoint.json was written with")
    try:
        method = load_method(document["method"])
        return Checkpoint(
            folder=folder,
            method=method,
            config=_dataclass(method.Config, document["config"], f"{folder}: config"),
            vocabulary=Vocabulary(document["vocabulary"]),
            step=int(document["step"]),
            train=_dataclass(TrainOptions, document["train"], f"{folder}: train"),
            provenance=document["provenance"],
        )
    except (UsageError, KeyError, TypeError) as e:
        raise CheckpointError(f"{folder}: {e}") from e


def restore(checkpoint: Checkpoint, optimizer: torch.optim.Optimizer) -> np.random.Generator:
    """Put optimizer and random states back, so that training continues bit for bit on the CPU."""
    tensors = _read(checkpoint.folder / "resume.safetensors")
    torch.set_rng_state(tensors.pop("torch_rng"))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        _, index, name = key.split(".", 2)
        state.setdefault(int(index), {})[name] = value
    whole = optimizer.state_dict()
    optimizer.load_state_dict({**whole, "state": state})
    rng = np.random.default_rng()
    rng.bit_generator.state = _document(checkpoint.folder)["numpy_rng"]
    return rng


def _document(folder: Path) -> dict[str, Any]:
    path = folder / "checkpoint.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document["format"]
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no checkpoint.json; not a checkpoint, or half written") from None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise CheckpointError(f"{path}: damaged ({e!r})") from e
    if version != _FORMAT:
        raise CheckpointError(f"{path}: format {version}, this version reads {_FORMAT}")
    return dict(document)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(str(path))
    except (OSError, safetensors.SafetensorError) as e:
        raise CheckpointError(f"{path}: cannot be read ({e})") from e


def _dataclass(kind: type[Any], values: dict[str, Any], what: str) -> Any:
    known = {f.name for f in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise CheckpointError(f"{what} has unknown field {unknown[0]!r}")
    return kind(**values)
