"""The procedural videos that benchmarks train and test on, and the encoders that make their features."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tal_engine.demo.demo_set import render_split

#: Videos and seed of each split; a split draws its own bodies and scenes.
SPLITS = {"train": (140, 0), "test": (44, 1)}
STREAMS = ("rgb", "flow", "clip")


def rendered(folder: Path, splits: Iterable[str] = tuple(SPLITS)) -> Path:
    """The procedural data set, or those of its splits that are needed; the test videos are of another seed."""
    for split in splits:
        count, seed = SPLITS[split]
        if len(list((folder / "videos").glob(f"{split}_*.mp4"))) != count:
            render_split(folder, split, count, seed, workers=os.cpu_count() or 1)
    return folder


def encoders_of_all_streams() -> Any:
    from tal_engine.export.encoder_graphs import tiny_encoders

    return tiny_encoders(STREAMS)


def encoded(folder: Path) -> Any:
    """The data set, rendered and encoded if it is not there yet; scored at overlaps 0.1 to 0.7."""
    from tal_engine.lab.data.dataset import open_dataset

    data = replace(open_dataset(rendered(folder), encoders_of_all_streams()), protocol="wtal-seconds")
    for role in ("train", "test"):
        data.features(data.subset(role), STREAMS)
    return data
