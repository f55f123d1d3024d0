"""Tensors out of weights files that others made: nothing in a file is executed."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from ..errors import CheckpointError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a file by name; Lightning's and common wrappers are opened.

    Raises:
        CheckpointError: missing, unreadable, or anything but tensors by name.
    """
    try:
        found = _content(path)
    except pickle.UnpicklingError as e:
        # torch's own message goes on to advise loading the file with its code.
        asked = re.search(r"GLOBAL (\S+)", str(e))
        reason = f"it holds {asked[1]}" if asked else str(e).split(". ")[0].splitlines()[0]
        raise CheckpointError(
            f"{path}: cannot be read as weights ({reason}); objects other than tensors are never loaded: "
            "save the state dict alone where you trust the file"
        ) from e
    except Exception as e:  # on damaged files the readers raise types of all kinds
        raise CheckpointError(f"{path}: cannot be read as weights ({e})") from e
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise CheckpointError(f"{path}: holds no state dict, a mapping of names to tensors")
    return {str(k).removeprefix("module."): v for k, v in found.items()}


def _content(path: Path) -> object:
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(str(path))
    if path.suffix == ".npz":
        # NumPy leaves a file that it opened itself open where it is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {k: torch.from_numpy(archive[k]) for k in archive.files}
    # Lightning keeps the options of the run beside the weights, as a Namespace: data only.
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def refuse_other_keys(source: str, missing: Collection[str], unexpected: Collection[str], accepted: str) -> None:
    """Where a file lacks keys or has others: an error with both lists, and what files are read.

    Raises:
        CheckpointError: a list is not empty.
    """
    if missing or unexpected:
        lists = [_some(sorted(keys)) for keys in (missing, unexpected)]
        raise CheckpointError(f"{source}: missing {lists[0]}; unexpected {lists[1]}; {accepted}")


def _some(keys: Sequence[str], most: int = 20) -> str:
    """Keys for a message, cut where they are many."""
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "") or "nothing"
