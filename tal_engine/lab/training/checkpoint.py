"""Checkpoints: a folder with ``checkpoint.json`` and safetensors files. Nothing is pickled.

``weights.safetensors`` are the last weights, ``weights_ema.safetensors`` the averaged ones,
``weights_best.safetensors`` those of the best validation score; ``resume.safetensors`` is what continuing needs.

A crash or a full disk at any moment leaves the earlier checkpoint or the new one, whole: new tensors are first written
as ``NAME.safetensors.next``, ``checkpoint.json`` with their hashes then makes them the checkpoint, and only after that
do they take their final names. A reader takes whichever of the two files has the hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ... import __version__
from ..._util.files import clear_unfinished, whole_file
from ...errors import CheckpointError, UsageError
from ...vocabulary import Vocabulary
from ..methods import Method, Remembering, earlier_of, load_method
from .distributed import World
from .training_options import TrainOptions
from .training_state import State, Task, inference_state

_FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A read checkpoint. files: which safetensors files it has, by name without the ending, and where each lies."""

    folder: Path
    method: Method
    config: Any
    vocabulary: Vocabulary
    step: int
    train: TrainOptions
    provenance: dict[str, Any]
    history: list[dict[str, Any]]
    files: Mapping[str, Path]

    @property
    def result(self) -> str:
        """The file of the weights that the run was for."""
        if self.train.select == "validation" and "weights_best" in self.files:
            return "weights_best"
        return "weights_ema" if "weights_ema" in self.files else "weights"

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Read one of the files.

        Raises:
            CheckpointError: the file cannot be read.
        """
        path = self.files[name]
        try:
            return safetensors.torch.load_file(str(path))
        except (OSError, safetensors.SafetensorError) as e:
            raise CheckpointError(f"{path}: cannot be read ({e})") from e

    def network(self, text: Any = None) -> nn.Module:
        """Build the network with its resulting weights. `text` is only needed to continue training."""
        net = self.method.build(self.config, self.vocabulary, text)
        state = self.tensors(self.result)
        missing, unexpected = net.load_state_dict(state, strict=False)
        # Without a text tower there is no prompt to load; its result is among the weights.
        unexpected = [k for k in unexpected if text is not None or not k.startswith("prompt.")]
        if missing or unexpected:
            raise CheckpointError(
                f"{self.folder}: weights do not fit; missing {sorted(missing)}, unexpected {sorted(unexpected)}"
            )
        return net.eval()


def save(folder: Path, state: State, task: Task, world: World) -> None:
    """Write a checkpoint; every process has to call it, the first one writes, all return when it is there.

    Raises:
        OSError: the disk is full or gone; an earlier checkpoint in the folder is still whole.
    """
    cuda = torch.cuda.get_rng_state(world.device) if world.device.type == "cuda" else None
    remembered = state.net.training_state() if isinstance(state.net, Remembering) else {}
    own = world.gathered((torch.get_rng_state(), cuda, state.rng.bit_generator.state, remembered))
    if world.first:
        _save(folder, state, task, own)
    world.wait()


def _save(folder: Path, state: State, task: Task, own: list[Any]) -> None:
    files = {"weights": inference_state(state.net), "resume": _resume_tensors(state, own)}
    if state.ema is not None:
        with state.averaged() as net:
            files["weights_ema"] = inference_state(net)
    if state.best is not None:
        files["weights_best"] = state.best
    generators = [numpy for _, _, numpy, _ in own]
    scaler = state.scaler.state_dict()
    write(folder, files, task, step=state.step, history=state.history, scaler=scaler, numpy_rng=generators)


def write(folder: Path, files: Mapping[str, dict[str, Tensor]], task: Task, **state: Any) -> None:
    """Write a checkpoint of these tensors by file name; `state`: its further fields, "step" and "history" at least.

    Raises:
        OSError: the disk is full or gone; an earlier checkpoint in the folder is still whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clear_unfinished(folder)
    hashes = {}
    for name, tensors in files.items():
        content = safetensors.torch.save(tensors)
        hashes[name] = hashlib.sha256(content).hexdigest()
        with whole_file(_next(folder, name), durable=True) as temporary:
            temporary.write_bytes(content)
    document = {
        "format": _FORMAT,
        "method": task.method.name,
        "config": asdict(task.config),
        "vocabulary": list(task.vocabulary),
        "train": asdict(task.options),
        "provenance": task.provenance,
        "sha256": hashes,
        "versions": {"tal_engine": __version__, "torch": torch.__version__},
        **state,
    }
    with whole_file(folder / "checkpoint.json", durable=True) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name in files:
        _next(folder, name).replace(_final(folder, name))


def _final(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _next(folder: Path, name: str) -> Path:
    """Return where a file lies until `checkpoint.json` says that it belongs to the checkpoint."""
    return folder / f"{name}.safetensors.next"


def _found(folder: Path, name: str, digest: str) -> Path:
    """Find the file with a hash, under its final name or, where writing was interrupted, under the other."""
    for path in (_final(folder, name), _next(folder, name)):
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            return path
    path = _final(folder, name)
    raise CheckpointError(f"{path}: missing or not the file that checkpoint.json was written with")


def _resume_tensors(state: State, own: list[Any]) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for rank, (cpu, cuda, _, remembered) in enumerate(own):
        out[f"torch_rng.{rank}"] = cpu
        if cuda is not None:
            out[f"cuda_rng.{rank}"] = cuda
        out |= {f"remembered.{rank}.{k}": v for k, v in remembered.items()}
    for index, values in state.optimizer.state_dict()["state"].items():
        out |= {f"optimizer.{index}.{k}": torch.as_tensor(v).detach().cpu() for k, v in values.items()}
    return out


def load(folder: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: incomplete, damaged, of another format, or with fields that are unknown.
    """
    folder = Path(folder)
    document = _document(folder)
    try:
        files = {name: _found(folder, name, digest) for name, digest in document["sha256"].items()}
        method = load_method(document["method"])
        return Checkpoint(
            folder=folder,
            method=method,
            config=_dataclass(method.Config, {**earlier_of(method), **document["config"]}, f"{folder}: config"),
            vocabulary=Vocabulary(document["vocabulary"]),
            step=int(document["step"]),
            train=_dataclass(TrainOptions, document["train"], f"{folder}: train"),
            provenance=document["provenance"],
            history=list(document["history"]),
            files=files,
        )
    except (UsageError, KeyError, TypeError, AttributeError) as e:
        raise CheckpointError(f"{folder}: {e}") from e


def resume(folder: Path, state: State, task: Task, world: World) -> None:
    """Put a run back to where its checkpoint left it, so that it continues bit for bit on the CPU.

    Raises:
        CheckpointError: it is of another method, config, vocabulary, data, number of processes, or of options
            that change what is computed; or it was imported.
    """
    checkpoint, document = load(folder), _document(folder)
    if "resume" not in checkpoint.files:
        raise CheckpointError(f"{folder}: was imported, there is no training to resume; it can be exported")
    _check_same(checkpoint, task, len(document["numpy_rng"]), world)
    state.net.load_state_dict(checkpoint.tensors("weights"))
    if state.ema is not None:
        state.ema.load(checkpoint.tensors("weights_ema"))
    if "weights_best" in checkpoint.files:
        state.best = checkpoint.tensors("weights_best")
    tensors = checkpoint.tensors("resume")
    torch.set_rng_state(tensors[f"torch_rng.{world.rank}"])
    if world.device.type == "cuda" and f"cuda_rng.{world.rank}" in tensors:
        torch.cuda.set_rng_state(tensors[f"cuda_rng.{world.rank}"], world.device)
    if isinstance(state.net, Remembering):
        mine = f"remembered.{world.rank}."
        state.net.load_training_state({k.removeprefix(mine): v for k, v in tensors.items() if k.startswith(mine)})
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            moments.setdefault(int(index), {})[name] = value
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": moments})
    state.scaler.load_state_dict(document["scaler"])
    state.rng.bit_generator.state = document["numpy_rng"][world.rank]
    state.step, state.history = checkpoint.step, checkpoint.history


def _check_same(checkpoint: Checkpoint, task: Task, processes: int, world: World) -> None:
    pairs: list[tuple[str, Any, Any]] = [
        ("method", checkpoint.method.name, task.method.name),
        ("config", checkpoint.config, task.config),
        ("vocabulary", checkpoint.vocabulary, task.vocabulary),
        ("number of processes", processes, world.size),
    ]
    option = checkpoint.train.differs(task.options)
    if option is not None:
        pairs.append((option, getattr(checkpoint.train, option), getattr(task.options, option)))
    for what, a, b in pairs:
        if a != b:
            raise CheckpointError(f"{checkpoint.folder}: cannot resume, its {what} is {a}, this run has {b}")
    data, now = (json.dumps(p.get("data"), sort_keys=True) for p in (checkpoint.provenance, task.provenance))
    if data != now:
        raise CheckpointError(f"{checkpoint.folder}: cannot resume, its data is {data}, this run has {now}")
    old, new = (p.get("data_hash") for p in (checkpoint.provenance, task.provenance))
    if old and new and old != new:  # checkpoints of 0.2 and before have none
        raise CheckpointError(
            f"{checkpoint.folder}: cannot resume, its labels or features have changed: their hash was {old}, is {new}"
        )


def _document(folder: Path) -> dict[str, Any]:
    path = folder / "checkpoint.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document["format"]
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no checkpoint.json; not a checkpoint, or half written").missing(
            folder
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise CheckpointError(f"{path}: damaged ({e!r})") from e
    if version != _FORMAT:
        raise CheckpointError(f"{path}: format {version}, this version reads {_FORMAT}")
    return dict(document)


def _dataclass(kind: type[Any], values: dict[str, Any], what: str) -> Any:
    names = {f.name for f in fields(kind)}
    unknown = sorted(set(values) - names)
    if unknown:
        raise CheckpointError(f"{what} has unknown field {unknown[0]!r}")
    return kind(**values)
