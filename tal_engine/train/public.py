"""Weights of public releases as checkpoints of this project. Nothing in the files is executed."""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import re
from collections.abc import Callable
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
from ..nn.text import TextEncoder
from ..vocabulary import Vocabulary
from .checkpoint import _FORMAT
from .layouts import Layout, State, detect, module_names
from .options import TrainOptions

#: The order of the public heads' class axis where they have 20 classes.
THUMOS14 = (
    "BaseballPitch", "BasketballDunk", "Billiards", "CleanAndJerk", "CliffDiving", "CricketBowling", "CricketShot",
    "Diving", "FrisbeeCatch", "GolfSwing", "HammerThrow", "HighJump", "JavelinThrow", "LongJump", "PoleVault",
    "Shotput", "SoccerPenalty", "TennisSwing", "ThrowDiscus", "VolleyballSpiking",
)  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """What a public file holds. unused: tensors of it that the network does not have, for people."""

    source: Path
    layout: str
    method: Method
    config: Any
    vocabulary: Vocabulary
    net: nn.Module
    unused: tuple[str, ...]


def read(
    path: Path,
    classes: Vocabulary | None = None,
    *,
    method: str | None = None,
    text: TextEncoder | None = None,
    adjust: Callable[[Any], Any] = lambda config: config,
) -> Imported:
    """Read published weights.

    Args:
        path: a pickled state dict (only its tensors are read), safetensors or npz.
        classes: names in the order of the class axis; without them the 20 of THUMOS14.
        method: what the weights must be of.
        text: the text tower that methods with prompts were trained with.
        adjust: changes to the config that the published settings and the tensors' shapes give.

    Raises:
        CheckpointError: not weights, of an unknown layout, or not what the network needs.
        UsageError: class names are needed, or do not fit.
    """
    public = read_tensors(path)
    layout = detect(public)
    if layout is None:
        some = ", ".join(sorted(public)[:4])
        raise CheckpointError(f"{path}: of no known public layout; its keys begin with {some}")
    if layout.refusal:
        raise CheckpointError(f"{path}: {layout.title}: {layout.refusal}")
    if method not in (None, layout.method):
        raise UsageError(f"{path}: has the keys of {layout.title} ({layout.method}), not of {method!r}")
    chosen = load_method(layout.method)
    state, unused, origin = _renamed(layout, public, path, adjust)
    vocabulary = _vocabulary(classes, state, chosen, path)
    config = adjust(_config(chosen, layout, state, len(vocabulary), path))
    if chosen.uses_text and text is None:
        raise UsageError(
            f"{path}: {layout.title} has classes that are texts: folded_text cannot be made from embedding.weight "
            "without the text tower that it was trained with"
        )
    net = chosen.build(config, vocabulary, text)
    _fill(net, state, origin, path)
    return Imported(path, layout.title, chosen, config, vocabulary, net.eval(), unused)


def save(folder: Path, found: Imported) -> None:
    """Write a checkpoint that can be exported; there is nothing in it to go on training from."""
    folder.mkdir(parents=True, exist_ok=True)
    fold = getattr(found.net, "fold_text", None)
    if callable(fold):
        fold()
    weights = {k: v.detach().cpu().contiguous() for k, v in found.net.state_dict().items()}
    with whole_file(folder / "weights.safetensors") as temporary:
        safetensors.torch.save_file(weights, str(temporary))
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    origin = {"file": found.source.name, "sha256": hashlib.sha256(found.source.read_bytes()).hexdigest()}
    document = {
        "format": _FORMAT,
        "method": found.method.name,
        "config": asdict(found.config),
        "vocabulary": list(found.vocabulary),
        "step": 0,
        "train": asdict(TrainOptions()),
        "provenance": {"imported": {"layout": found.layout, **origin}},
        "sha256": {"weights": digest},
        "versions": {"tal_engine": __version__, "torch": torch.__version__},
    }
    write_text(folder / "checkpoint.json", json.dumps(document, indent=1) + "\n")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a file by name; Lightning's and common wrappers are opened.

    Raises:
        CheckpointError: missing, unreadable, or anything but tensors by name.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(str(path)))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {k: torch.from_numpy(archive[k]) for k in archive.files}
        # Lightning keeps the options of the run beside the weights, as a Namespace: data only.
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        # torch's own message goes on to advise loading the file with its code.
        reason = str(e).split(". ")[0].splitlines()[0]
        raise CheckpointError(
            f"{path}: cannot be read as weights ({reason}); objects other than tensors are never loaded: "
            "save the state dict alone where you trust the file"
        ) from e
    except (OSError, ValueError, RuntimeError, EOFError, safetensors.SafetensorError) as e:
        raise CheckpointError(f"{path}: cannot be read as weights ({e})") from e
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise CheckpointError(f"{path}: holds no state dict, a mapping of names to tensors")
    return {str(k).removeprefix("module."): v for k, v in found.items()}


def _renamed(
    layout: Layout, public: State, path: Path, adjust: Callable[[Any], Any]
) -> tuple[dict[str, Tensor], tuple[str, ...], dict[str, str]]:
    """(tensors by our names, what was not used, our module -> the public one)."""
    stream = _stream(path, adjust) if layout.method == "stpn" else ""
    table = module_names(layout, public, stream)
    state, unused = {}, []
    for key, value in public.items():
        module, _, leaf = key.rpartition(".")
        if module not in table:
            unused.append(key)
        elif leaf == "kernel":  # TensorFlow: [inputs, outputs]
            state[f"{table[module]}.weight"] = value.T
        else:
            name = "context" if table[module] == "prompt" else leaf
            state[f"{table[module]}.{name}"] = value.float()
    return state, _grouped(unused), {ours: theirs for theirs, ours in table.items()}


def _stream(path: Path, adjust: Callable[[Any], Any]) -> str:
    """The stream of a one-stream file: as asked for, else as its name says."""
    asked = str(adjust(load_method("stpn").Config()).streams)
    named = re.findall("rgb|flow", path.stem.lower())
    if asked == "both" and len(set(named)) == 1:
        return str(named[0])
    if asked == "both":
        raise UsageError(f"{path}: is it of rgb or flow? Its name does not say: set streams=rgb or streams=flow")
    return asked


def _grouped(keys: list[str]) -> tuple[str, ...]:
    """Keys by name; whole towers in one line."""
    towers = {k.split(".")[0] for k in keys if len([x for x in keys if x.split(".")[0] == k.split(".")[0]]) > 8}
    lines = [k for k in keys if k.split(".")[0] not in towers]
    lines += [f"{t}.* ({sum(k.split('.')[0] == t for k in keys)} tensors)" for t in sorted(towers)]
    return tuple(lines)


def _vocabulary(classes: Vocabulary | None, state: State, method: Method, path: Path) -> Vocabulary:
    weight = next((v for k, v in state.items() if k.startswith("classifier") and k.endswith("weight")), None)
    if weight is None:  # classes are texts
        return classes if classes is not None else Vocabulary(THUMOS14)
    count = len(weight) - method.proposal_options(method.Config()).background
    if classes is None and count == len(THUMOS14):
        return Vocabulary(THUMOS14)
    if classes is None:
        raise UsageError(f"{path}: has {count} classes; only the 20 of THUMOS14 are known by heart: give their names")
    if len(classes) != count:
        raise UsageError(f"{path}: has {count} classes, {len(classes)} names were given")
    return classes


def _config(method: Method, layout: Layout, state: State, classes: int, path: Path) -> Any:
    """Published settings of the data set that the number of classes tells, and the widths of the tensors."""
    wanted = ["thumos14-code", "thumos14"]
    if classes in (100, 200) or "ActivityNet" in layout.title:
        wanted = ["activitynet-code", "activitynet", *wanted]
    recipe = next(r for r in wanted if r in method.RECIPES)
    try:
        known = dict(layout.config(state))
    except KeyError as e:
        raise CheckpointError(f"{path}: {layout.title} without {e.args[0]} (by our name)") from e
    if layout.method == "stpn":
        stream = next(k.split(".")[1] for k in state if k.startswith("attention."))
        hidden = state[f"attention.{stream}.hidden.weight"]
        known = {"streams": stream, stream: hidden.shape[1], "hidden": hidden.shape[0]}
    names = {f.name for f in fields(method.Config)}
    return method.Config(**{**method.RECIPES[recipe].config, **{k: v for k, v in known.items() if k in names}})


def _fill(net: nn.Module, state: State, origin: dict[str, str], path: Path) -> None:
    """Load by name.

    Raises:
        CheckpointError: with the public names of what is missing or of another shape.
    """

    def public(key: str) -> str:
        module, _, leaf = key.rpartition(".")
        return f"{origin[module]}.{leaf} ({key} here)" if module in origin else key

    wanted = {k: v.shape for k, v in net.state_dict().items() if k != "folded_text"}
    missing = [public(k) for k in wanted if k not in state]
    unexpected = [public(k) for k in state if k not in wanted]
    if missing or unexpected:
        lists = [", ".join(keys) or "nothing" for keys in (missing, unexpected)]
        raise CheckpointError(f"{path}: missing {lists[0]}; unexpected {lists[1]}")
    for key, shape in wanted.items():
        if state[key].shape != shape:
            raise CheckpointError(f"{path}: {public(key)} is {list(state[key].shape)}, the network has {list(shape)}")
    net.load_state_dict(state, strict=False)
