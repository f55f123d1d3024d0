"""Files of public releases: their tensors, which layout they have, and several of them as one head."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import CheckpointError, UsageError
from ..methods import load_method
from ..nn.weights import read_weights
from .layout_file import read_layout
from .weight_layouts import Layout, State, detect, module_names


@dataclass(frozen=True)
class PublicFile:
    """One file, of a layout that can be read."""

    path: Path
    tensors: State
    layout: Layout
    notes: tuple[str, ...] = ()


def open_file(
    path: Path, method: str | None = None, key: str | None = None, described: Path | None = None
) -> PublicFile:
    """Read a file and tell its layout.

    Args:
        path: the file.
        method: what it must be of.
        key: which of several state dicts in it; default: the likeliest by its name, which is noted.
        described: the description of its layout, see `layout_file`; default: as its keys tell.

    Raises:
        CheckpointError: not weights, of an unknown layout, of one that is not read, or not what is described.
        UsageError: of another method, no state dict of that key, or a description that is wrong.
    """
    weights = read_weights(path, key)
    tensors: State = weights.tensors
    if described is not None:
        layout_of_head = read_layout(described)
        layout: Layout | None = layout_of_head.layout(str(described))
        tensors = layout_of_head.as_torch(tensors, path, str(described))
    else:
        layout = detect(tensors)
        if layout is not None and key is None and layout.key in weights.others:
            weights = read_weights(path, layout.key)
            tensors = weights.tensors
    if layout is None:
        raise CheckpointError(
            f"{path}: of no known public layout; its keys begin with {', '.join(sorted(tensors)[:4])}; a head of one "
            "attention and one classifier a stream can be described: --layout layout.yaml"
        )
    if layout.refusal:
        raise CheckpointError(f"{path}: {layout.title}: {layout.refusal}")
    if method not in (None, layout.method):
        raise UsageError(f"{path}: has the keys of {layout.title} ({layout.method}), not of {method!r}")
    note = f"{path}: {weights.choice}; choose with --key" if weights.choice and key is None else ""
    return PublicFile(path, tensors, layout, (note,) if note else ())


def join(
    files: Sequence[PublicFile], adjust: Callable[[Any], Any]
) -> tuple[dict[str, Tensor], list[str], dict[str, str]]:
    """Join all files: tensors by our names, unused keys, and our modules -> the public ones.

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
    """Return the stream of each file, "" where a file holds a whole head: as given, else by the files' names."""
    whole = next((f for f in files if f.layout.method != "stpn"), None)
    if whole is not None and len(files) > 1:
        raise UsageError(
            f"{whole.path}: {whole.layout.title} is one file a head; only STPN's and DGAM's, one a stream, are "
            "read together"
        )
    if whole is not None:
        return [""]
    asked = str(adjust(load_method("stpn").Config()).streams)
    if asked != "both" and len(files) > 1:
        raise UsageError(f"streams={asked} is one stream, {len(files)} files were given")
    if asked != "both":
        return [asked]
    paths: dict[str, Path] = {}
    for path in (f.path for f in files):
        named = set(re.findall("rgb|flow", path.stem.lower()))
        if len(named) != 1:
            remedy = "rename it" if len(files) > 1 else "set streams=rgb or streams=flow"
            raise UsageError(f"{path}: is it of rgb or flow? Its name does not say: {remedy}")
        stream = named.pop()
        if stream in paths:
            raise UsageError(f"{paths[stream]} and {path} are both of {stream}: a head has one file a stream")
        paths[stream] = path
    return list(paths)
