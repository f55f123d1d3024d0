"""Tensors out of weights files that others made: nothing in a file is executed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from ..._util.arrays import NUMBERS, ArrayFile, memory_limit
from ..._util.pickles import Array, Inert
from ..._util.untrusted import guarded
from ...errors import CheckpointError, UsageError
from . import torch_files
from .torch_files import Handle

log = logging.getLogger("tal_engine")

_WHAT = "file of weights"
#: Names of the state dict that a file is for, the likeliest first; what is beside it is averaged, or for going on.
_USUAL = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params", "student",
          "model_ema", "ema", "ema_state_dict", "teacher")  # fmt: skip
#: What holds tensors that are no weights.
_OTHER = ("optim", "sched", "rng", "scaler", "hook", "callback", "loop", "random")
#: Levels of mappings that are searched, and state dicts that are listed.
_DEEPEST, _MOST = 4, 50
#: Most modules of a module that was pickled whole; lists that share their parts may unfold without end.
_MODULES = 20_000


@dataclass(frozen=True)
class Weights:
    """One state dict of a file.

    key: the names that lead to it, with dots; "" where the file is one. others: the keys of other state dicts.
    skipped: names beside the tensors whose values are none.
    """

    tensors: dict[str, Tensor]
    key: str = ""
    others: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def choice(self) -> str:
        """Which of several state dicts was taken, for people; "" where there is one."""
        if not self.others:
            return ""
        taken = f"{self.key!r}" if self.key else "the outermost one"
        return f"holds several state dicts; {taken} is taken, others are {_names(self.others)}"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by name; see `read_weights`. A choice among state dicts is logged as a warning.

    Raises:
        CheckpointError: missing, unreadable, or without tensors by name.
    """
    weights = read_weights(path)
    if weights.choice:
        log.warning("%s: %s", path, weights.choice)
    return weights.tensors


def read_weights(path: Path, key: str | None = None) -> Weights:
    """Read a state dict: .safetensors, .npz, or torch.save's or a plain pickle's, however wrapped.

    What lies beside the tensors (options, counters, states of optimizers and generators, objects of any class) is
    neither needed nor run.

    Args:
        path: of the file.
        key: which state dict of several, such as "model_ema" or "ema.module"; default: the likeliest by its name.

    Raises:
        CheckpointError: missing, unreadable, or without tensors by name.
        UsageError: no state dict of that key; the message lists the existing ones.
    """
    with guarded(path, _WHAT, _unreadable):
        if path.suffix == ".safetensors":
            return _chosen(path, safetensors.torch.load_file(str(path)), key)
        if path.suffix == ".npz":
            return _chosen(path, _arrays(path), key)
        with torch_files.opened(path) as content:
            return _chosen(path, content, key)


def _unreadable(message: str) -> CheckpointError:
    return CheckpointError(message.replace(f"not a {_WHAT} (", "cannot be read as weights (", 1))


def _arrays(path: Path) -> dict[str, Any]:
    with ArrayFile(path, _WHAT, _unreadable, limit=memory_limit()) as file:
        kinds = {n: file.dtype(n) for n in file.names or ()}
        return {n: torch.from_numpy(_native(file.read(n, NUMBERS + "b"))) if k.kind in NUMBERS + "b" else None
                for n, k in kinds.items()}  # fmt: skip


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)


def _chosen(path: Path, content: Any, key: str | None) -> Weights:
    # Arrays beside tensors are curves and counters; in a file without tensors they are the weights.
    kinds: Any = Handle | Tensor
    if not (state_dicts := dict(_state_dicts(content, kinds))):
        state_dicts = dict(_state_dicts(content, kinds := Array))
    if not state_dicts:
        raise CheckpointError(f"{path}: holds no state dict, a mapping of names to tensors; it holds {_kind(content)}")
    names = sorted(state_dicts, key=_rank)
    if key is not None and key not in state_dicts:
        raise UsageError(f"{path}: has no state dict {key!r}; it has {_names(names)}")
    taken = names[0] if key is None else key
    items = {str(k): v for k, v in state_dicts[taken].items()}
    tensors = {k: v for k, v in items.items() if isinstance(v, kinds)}
    _check_size(path, tensors)
    # Buffers of generators and optimizers are state dicts by their form; nobody is asked to choose those.
    others = [n for n in names if n != taken and not _is_other(n) and n]
    return Weights(
        {k.removeprefix("module."): _tensor(v) for k, v in tensors.items()},
        taken,
        tuple(others),
        tuple(k for k in items if k not in tensors),
    )


def _check_size(path: Path, tensors: Mapping[str, Any]) -> None:
    """Refuse tensors that share their numbers so often that a small file would fill the memory."""
    wanted = sum(v.bytes for v in tensors.values() if isinstance(v, Handle))
    if wanted > 4 * path.stat().st_size + (1 << 30):
        raise CheckpointError(f"{path}: its tensors take {wanted} bytes, many times of what is in the file")


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Handle):
        return value.tensor()
    if isinstance(value, Array):
        array = value.value
        if isinstance(array, list) or array.dtype.kind not in NUMBERS + "b":
            raise ValueError("an array of a state dict does not hold numbers")
        return torch.from_numpy(_native(array).copy())
    return torch.as_tensor(value)


def _state_dicts(
    content: Any, kinds: Any, path: tuple[str, ...] = (), seen: set[int] | None = None
) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield mappings of texts to tensors, and pickled modules as such mappings, by the keys that lead to them."""
    seen = set() if seen is None else seen
    visited = id(content) in seen
    seen.add(id(content))
    if isinstance(content, Inert):
        content = _of_module(content) or {**content.entries, **_attributes(content)}
    if not isinstance(content, Mapping) or len(path) > _DEEPEST:
        return
    if any(isinstance(v, kinds) and isinstance(k, str) for k, v in content.items()):
        yield ".".join(path), content
    for name, value in [] if visited else list(content.items())[:_MOST]:
        if isinstance(name, str) and isinstance(value, Mapping | Inert):
            yield from _state_dicts(value, kinds, (*path, name), seen)


def _attributes(module: Inert) -> dict[Any, Any]:
    return module.state if isinstance(module.state, dict) else {}


def _of_module(root: Inert) -> dict[str, Any]:
    """Return the state dict of a module that was pickled whole, from its attributes alone; {} if it is no module."""
    out: dict[str, Any] = {}
    waiting = [("", root)]
    for prefix, module in waiting:  # grows while it is walked
        state = _attributes(module)
        if not {"_parameters", "_modules"} <= state.keys():
            continue
        if len(waiting) > _MODULES:
            raise ValueError(f"it has more than {_MODULES} modules")
        own = {**dict(state["_parameters"]), **dict(state.get("_buffers", {}))}
        out |= {f"{prefix}{k}": v for k, v in own.items() if v is not None}
        waiting += [(f"{prefix}{k}.", m) for k, m in dict(state["_modules"]).items() if isinstance(m, Inert)]
    return out


def _rank(name: str) -> tuple[bool, int, int, str]:
    """Rank weights before others, usual names in their order, then what is least wrapped."""
    parts = name.lower().split(".") if name else []
    usual = min((_USUAL.index(p) for p in parts if p in _USUAL), default=len(_USUAL))
    return _is_other(name), usual, len(parts), name


def _is_other(name: str) -> bool:
    return any(word in name.lower() for word in _OTHER)


def _names(keys: Iterable[object]) -> str:
    return some_of([repr(k) for k in keys], 10)


def _kind(content: Any) -> str:
    if isinstance(content, Inert):
        return f"an object of {content.origin}"
    if isinstance(content, Mapping):
        return f"a mapping with {_names(content)}"
    return f"a {type(content).__name__}"


def refuse_other_keys(source: str, missing: Collection[str], unexpected: Collection[str], accepted: str) -> None:
    """Raise an error that lists the keys a file lacks or has in excess, and which files can be read.

    Raises:
        CheckpointError: a list is not empty.
    """
    if missing or unexpected:
        lists = [some_of(sorted(keys)) for keys in (missing, unexpected)]
        raise CheckpointError(f"{source}: missing {lists[0]}; unexpected {lists[1]}; {accepted}")


def some_of(keys: Sequence[str], most: int = 20) -> str:
    """List keys for a message, cut where they are many."""
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "") or "nothing"
