"""Peers' own code, run from checkouts that the user has. None of it is part of this project.

Each adaptor takes a checkout and gives functions by the name of the work they do. What is changed
in a peer is said where it is changed.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from core_inputs import Detections, Intervals

Work = Mapping[str, Callable[..., Any]]


def load(name: str, path: Path) -> types.ModuleType:
    """A module from a file."""
    if not path.exists():
        raise SystemExit(f"{path} is not there: is this a checkout of the peer?")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def nms_extension(peer: str, folder: Path, source: str) -> types.ModuleType:
    """nms.py of a peer with its C++ part, which is compiled here first (needs torch and ninja), in torch's cache."""
    from torch.utils.cpp_extension import load as compile_extension

    # nms.py takes the extension by this name when it is loaded; the next peer's comes in its place.
    sys.modules["nms_1d_cpu"] = compile_extension(
        name=f"nms_1d_cpu_{peer}", sources=[str(folder / source)], extra_cflags=["-O3", "-fopenmp"],
        is_python_module=True,
    )  # fmt: skip
    return load(f"peer_nms_{peer}", folder / "nms.py")


def torch_nms(module: types.ModuleType, extra: tuple[float, ...]) -> Work:
    import torch

    def tensors(x: Intervals, rows: slice) -> tuple[Any, Any, Any]:
        segments = np.stack([x.start[rows], x.end[rows]], 1).astype(np.float32)
        return (
            torch.from_numpy(segments),
            torch.from_numpy(x.score[rows].astype(np.float32)),
            torch.from_numpy(x.label[rows]),
        )

    def one(x: Intervals) -> Any:
        return tensors(x, slice(None))

    def many(x: Intervals) -> Any:
        return [tensors(x, slice(a, b)) for a, b in zip(x.offsets[:-1], x.offsets[1:], strict=True)]

    def soft(data: Any) -> Any:
        return module.SoftNMSop.apply(*data, 0.1, 0.5, 0.0, 2, -1, *extra)

    def hard(data: Any) -> Any:
        return module.NMSop.apply(*data, 0.5, 0.0, -1)

    def batched(data: Any) -> Any:
        everything = 10**9
        return [module.batched_nms(s, c, i, 0.1, 0.0, everything, True, True, 0.5, 0.0) for s, c, i in data]

    def bound(run: Callable[[Any], Any], make: Callable[[Intervals], Any]) -> Callable[[Intervals], Any]:
        return lambda x: partial(run, make(x))

    return {"soft": bound(soft, one), "hard": bound(hard, one), "soft by class": bound(batched, many)}


def actionformer(root: Path) -> Work:
    folder = root / "libs" / "utils"
    return torch_nms(nms_extension("actionformer", folder, "csrc/nms_cpu.cpp"), ())


def opentad(root: Path) -> Work:
    folder = root / "opentad" / "models" / "utils" / "post_processing" / "nms"
    module = nms_extension("opentad", folder, "nms_cpu.cpp")
    return torch_nms(module, (0.0, 0.0))


def mmaction2(root: Path) -> Work:
    folder = root / "mmaction" / "evaluation" / "functional"
    if importlib.util.find_spec("mmengine") is None:  # only logs there
        logging = types.ModuleType("mmengine.logging")
        logging.MMLogger = logging.print_log = None  # type: ignore[attr-defined]
        sys.modules["mmengine"], sys.modules["mmengine.logging"] = types.ModuleType("mmengine"), logging
    if not hasattr(np, "trapz"):  # gone from numpy 2.4
        np.trapz = np.trapezoid  # type: ignore[attr-defined]  # noqa: NPY201
    sys.modules["peer_mm"] = types.ModuleType("peer_mm")
    sys.modules["peer_mm"].__path__ = [str(folder)]
    accuracy = load("peer_mm.accuracy", folder / "accuracy.py")
    evaluation = load("peer_mm.eval_detection", folder / "eval_detection.py")

    def rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
        names = {"video": "video-id", "label": "label", "start": "t-start", "end": "t-end", "score": "score"}
        lists = {names[k]: v.tolist() for k, v in columns.items()}
        return [dict(zip(lists, r, strict=True)) for r in zip(*lists.values(), strict=True)]

    def mean_ap(d: Detections, tious: Any) -> Callable[[], Any]:
        truth, found = rows(d.truth), rows(d.found)

        def run() -> Any:
            e = object.__new__(evaluation.ActivityNetLocalization)
            e.ground_truth, e.prediction = truth, list(found)
            e.tiou_thresholds, e.activity_index = np.array(tious), range(d.classes)
            return e.wrapper_compute_average_precision()

        return run

    def recall(d: Detections, tious: Any) -> Callable[[], Any]:
        def by_video(columns: Mapping[str, Any], names: tuple[str, ...]) -> dict[int, Any]:
            table = np.stack([columns[k] for k in names], 1)
            order = np.argsort(columns["video"], kind="stable")
            ends = np.searchsorted(columns["video"][order], np.arange(d.videos + 1))
            return {v: table[order[ends[v] : ends[v + 1]]] for v in range(d.videos)}

        truth = by_video(d.truth, ("start", "end"))
        found = by_video(d.found, ("start", "end", "score"))
        total = len(d.found["video"])
        return lambda: accuracy.average_recall_at_avg_proposals(truth, found, total, 100, np.array(tious))

    return {"mean_ap": mean_ap, "recall": recall}


PEERS: dict[str, Callable[[Path], Work]] = {"actionformer": actionformer, "opentad": opentad, "mmaction2": mmaction2}


#: Folders of checkouts, as `git clone` names them.
CHECKOUTS = {"actionformer": "actionformer_release", "opentad": "OpenTAD", "mmaction2": "mmaction2"}


def peers_in(folder: Path) -> dict[str, Work]:
    """Every peer whose checkout lies in a folder."""
    return open_peers([f"{name}={folder / there}" for name, there in CHECKOUTS.items() if (folder / there).is_dir()])


def open_peers(given: list[str]) -> dict[str, Work]:
    """From NAME=PATH."""
    found = {}
    for text in given:
        name, _, path = text.partition("=")
        if name not in PEERS or not path:
            raise SystemExit(f"--peer {text}: expected NAME=PATH with NAME one of {', '.join(PEERS)}")
        found[name] = PEERS[name](Path(path).expanduser().resolve())
    return found
