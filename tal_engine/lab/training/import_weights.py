"""Weights of public releases as checkpoints of this project. Nothing in the files is executed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...annotations.class_numbers import ALPHABETICAL
from ...errors import CheckpointError, UsageError
from ...options import ProposalOptions
from ...vocabulary import Vocabulary
from ..methods import Method, load_method
from ..nn.text import TextEncoder
from . import checkpoint
from .published_files import PublicFile, join, open_file
from .training_options import TrainOptions
from .training_state import Task, inference_state
from .weight_layouts import Layout, State

#: Where PVLR's files keep the whole CLIP RN50 that they were trained with.
_CLIP = "clipmodel."
#: More unused tensors of one tower than this are told in one line.
_MANY = 8

#: The order of the public heads' class axis where they have 20 classes: alphabetical.
THUMOS14 = tuple(ALPHABETICAL.names.values())


@dataclass(frozen=True)
class Imported:
    """What public files hold.

    unused: tensors of theirs that the network does not have, for people. notes: what was chosen where they hold more
    than one state dict, for people.
    """

    sources: tuple[Path, ...]
    layout: str
    method: Method
    config: Any
    vocabulary: Vocabulary
    net: nn.Module
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read(
    paths: Path | Sequence[Path],
    classes: Vocabulary | None = None,
    *,
    method: str | None = None,
    text: TextEncoder | None = None,
    key: str | None = None,
    layout: Path | None = None,
    adjust: Callable[[Any], Any] = lambda config: config,
) -> Imported:
    """Read published weights.

    Args:
        paths: torch.save's or a plain pickle (only tensors are read), safetensors or npz; two files where a head is
            published as one file a stream (STPN, DGAM).
        classes: names in the order of the class axis; without them the 20 of THUMOS14.
        method: what the weights must be of.
        text: the text tower that methods with prompts were trained with; without it the one in the file.
        key: which of several state dicts in a file, such as "model_ema"; default: the likeliest by its name.
        layout: a description of the files' keys in YAML, see `layout_file`; default: as the keys tell.
        adjust: changes to the config that the published settings and the tensors' shapes give.

    Raises:
        CheckpointError: not weights, of an unknown layout, or not what the network needs.
        UsageError: files that do not belong together, or class names are needed, or do not fit.
    """
    files = [open_file(path, method, key, layout) for path in ([paths] if isinstance(paths, Path) else paths)]
    of, source = files[0].layout, " and ".join(str(f.path) for f in files)
    chosen = load_method(of.method)
    if text is not None and not chosen.uses_text:
        raise UsageError(f"{source}: {of.title} has no texts, a text tower was given")
    tower: dict[str, Tensor] = {}
    if chosen.uses_text and text is None:
        tower = _text_side(files[0])
        text = _clip_text(tower, files[0])
    state, unused, origin = join(files, adjust)
    vocabulary = _vocabulary(classes, state, chosen, of, source)
    config = adjust(_config(chosen, of, state, len(vocabulary), source))
    net = chosen.build(config, vocabulary, text)
    _fill(net, state, origin, source)
    left = _grouped([k for k in unused if k not in tower])
    notes = tuple(note for f in files for note in f.notes)
    sources = (*(f.path for f in files), *([] if layout is None else [layout]))
    return Imported(sources, of.title, chosen, config, vocabulary, net.eval(), left, notes)


def _text_side(file: PublicFile) -> dict[str, Tensor]:
    """Select the text tower of the file, by the file's names; the image tower is not needed after training."""
    images = (f"{_CLIP}visual.", f"{_CLIP}logit_")
    return {k: v for k, v in file.tensors.items() if k.startswith(_CLIP) and not k.startswith(images)}


def _clip_text(tower: State, file: PublicFile) -> TextEncoder:
    if not tower:
        raise UsageError(
            f"{file.path}: {file.layout.title} has classes that are texts: folded_text cannot be made from "
            f"embedding.weight without the text tower that it was trained with; the file has no {_CLIP}* of it, so "
            "give CLIP's weights: --text RN50.pt"
        )
    from ..nn.clip import build_clip_text

    state = {k.removeprefix(_CLIP): v for k, v in tower.items()}
    return build_clip_text("RN50", state, f"{file.path}: {_CLIP}*", quick_gelu=True)


def save(folder: Path, imported: Imported) -> None:
    """Write a checkpoint that can be exported; there is nothing in it to go on training from."""
    origin = [{"file": p.name, "sha256": hashlib.sha256(p.read_bytes()).hexdigest()} for p in imported.sources]
    provenance = {"imported": {"layout": imported.layout, "files": origin}}
    task = Task(imported.method, imported.config, imported.vocabulary, TrainOptions(), provenance)
    checkpoint.write(folder, {"weights": inference_state(imported.net)}, task, step=0, history=[])


def _grouped(keys: list[str]) -> tuple[str, ...]:
    """List keys by name; whole towers in one line."""
    sizes = Counter(_tower(k) for k in keys)
    lines = [k for k in keys if sizes[_tower(k)] <= _MANY]
    return (*lines, *(f"{t}.* ({n} tensors)" for t, n in sorted(sizes.items()) if n > _MANY))


def _tower(key: str) -> str:
    return ".".join(key.split(".")[:2])


def _vocabulary(classes: Vocabulary | None, state: State, method: Method, layout: Layout, source: str) -> Vocabulary:
    weight = next((v for k, v in state.items() if k.startswith("classifier") and k.endswith("weight")), None)
    if weight is None:  # classes are texts
        return classes if classes is not None else Vocabulary(THUMOS14)
    options = method.proposal_options(method.Config())
    background = isinstance(options, ProposalOptions) and options.background
    count = len(weight) - (background or bool(layout.settings.get("background")))
    if classes is None and count == len(THUMOS14):
        return Vocabulary(THUMOS14)
    if classes is None:
        raise UsageError(f"{source}: has {count} classes; only the 20 of THUMOS14 are known by heart: give their names")
    if len(classes) != count:
        raise UsageError(f"{source}: has {count} classes, {len(classes)} names were given")
    return classes


def _config(method: Method, layout: Layout, state: State, classes: int, source: str) -> Any:
    """Choose the published settings of the data set with this number of classes, and the widths of the tensors."""
    wanted = ["thumos14-code", "thumos14"]
    if classes in (100, 200) or "ActivityNet" in layout.title:
        wanted = ["activitynet-code", "activitynet", *wanted]
    recipe = next(r for r in wanted if r in method.RECIPES)
    try:
        values = {**layout.settings, **layout.config(state)}
    except KeyError as e:
        raise CheckpointError(f"{source}: {layout.title} without {e.args[0]} (by our name)") from e
    if layout.method == "stpn":
        hidden = {s: v for s in ("rgb", "flow") if (v := state.get(f"attention.{s}.hidden.weight")) is not None}
        values |= {s: v.shape[1] for s, v in hidden.items()}
        values |= {"streams": "both" if len(hidden) > 1 else next(iter(hidden))}
        values |= {"hidden": next(iter(hidden.values())).shape[0]}
    names = {f.name for f in fields(method.Config)}
    return method.Config(**{**method.RECIPES[recipe].config, **{k: v for k, v in values.items() if k in names}})


def _fill(net: nn.Module, state: State, origin: dict[str, str], source: str) -> None:
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
        raise CheckpointError(f"{source}: missing {lists[0]}; unexpected {lists[1]}")
    for key, shape in wanted.items():
        if state[key].shape != shape:
            raise CheckpointError(f"{source}: {public(key)} is {list(state[key].shape)}, the network has {list(shape)}")
    net.load_state_dict(state, strict=False)
