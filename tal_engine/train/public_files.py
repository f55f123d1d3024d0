"""Files of public releases: their tensors, which layout they have, and several of them as one head."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import CheckpointError, UsageError
from ..methods import load_method
from ..nn.weights import read_tensors
from .layouts import Layout, State, detect, module_names


@dataclass(frozen=True)
class PublicFile:
    """One file, of a layout that can be read."""

    path: Path
    tensors: State
    layout: Layout


def open_file(path: Path, method: str | None = None) -> PublicFile:
    """Read a file and tell its layout.

    Args:
        path: the file.
        method: what it must be of.

    Raises:
        CheckpointError: not weights, of an unknown layout, or of one that is not read.
        UsageError: of another method.
    """
    tensors = read_tensors(path)
    layout = detect(tensors)
    if layout is None:
        some = ", ".join(sorted(tensors)[:4])
        raise CheckpointError(f"{path}: of no known public layout; its keys begin with {some}")
    if layout.refusal:
        raise CheckpointError(f"{path}: {layout.title}: {layout.refusal}")
    if method not in (None, layout.method):
        raise UsageError(f"{path}: has the keys of {layout.title} ({layout.method}), not of {method!r}")
    return PublicFile(path, tensors, layout)


def join(
    files: Sequence[PublicFile], adjust: Callable[[Any], Any]
) -> tuple[dict[str, Tensor], list[str], dict[str, str]]:
    """(tensors by our names, what was not used, our module -> the public one) of all files together.

    Raises:
        UsageError: the files do not make one head.
    """
    streams = _streams(files, adjust)
    parts = [_renamed(file, stream) for file, stream in zip(files, streams, strict=True)]
    counts = [len(state[f"classifier.{s}.weight"]) for s, (state, _, _) in zip(streams, parts, strict=True) if s]
    if len(set(counts)) > 1:
        both = ", ".join(f"{file.path} has {count} classes" for file, count in zip(files, counts, strict=True))
        raise UsageError(f"{both}: these are not two streams of one head")
    together: tuple[dict[str, Tensor], list[str], dict[str, str]] = {}, [], {}
    for state, unused, origin in parts:
        together[0].update(state)
        together[1].extend(unused)
        together[2].update(origin)
    return together


def _renamed(file: PublicFile, stream: str) -> tuple[dict[str, Tensor], list[str], dict[str, str]]:
    """`join` of one file."""
    table = module_names(file.layout, file.tensors, stream)
    state, unused = {}, []
    for key, value in file.tensors.items():
        module, _, leaf = key.rpartition(".")
        if module not in table:
            unused.append(key)
        elif leaf == "kernel":  # TensorFlow: [inputs, outputs]
            state[f"{table[module]}.weight"] = value.T
        else:
            name = "context" if table[module] == "prompt" else leaf
            state[f"{table[module]}.{name}"] = value.float()
    return state, unused, {ours: theirs for theirs, ours in table.items()}


def _streams(files: Sequence[PublicFile], adjust: Callable[[Any], Any]) -> list[str]:
    """The stream of each file, "" where a file holds a whole head: as asked for, else as the names say."""
    whole = next((f for f in files if f.layout.method != "stpn"), None)
    if whole is not None and len(files) > 1:
        raise UsageError(
            f"{whole.path}: {whole.layout.title} is one file a head; only STPN's, one a stream, are read together"
        )
    if whole is not None:
        return [""]
    asked = str(adjust(load_method("stpn").Config()).streams)
    if asked != "both" and len(files) > 1:
        raise UsageError(f"streams={asked} is one stream, {len(files)} files were given")
    if asked != "both":
        return [asked]
    found: dict[str, Path] = {}
    for path in (f.path for f in files):
        named = set(re.findall("rgb|flow", path.stem.lower()))
        if len(named) != 1:
            how = "rename it" if len(files) > 1 else "set streams=rgb or streams=flow"
            raise UsageError(f"{path}: is it of rgb or flow? Its name does not say: {how}")
        stream = named.pop()
        if stream in found:
            raise UsageError(f"{found[stream]} and {path} are both of {stream}: a head has one file a stream")
        found[stream] = path
    return list(found)
