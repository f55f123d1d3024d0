"""The procedural videos that benchmarks train and test on, and the encoders that make their features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tal_engine.demo.dataset import render_split

#: Videos and seed of each split; a split draws its own bodies and scenes.
SPLITS = {"train": (140, 0), "test": (44, 1)}
STREAMS = ("rgb", "flow", "clip")


def rendered(folder: Path) -> Path:
    """The procedural data set: trained on the embedded plan's 200 videos, tested on another seed's."""
    for split, (count, seed) in SPLITS.items():
        if len(list((folder / "videos").glob(f"{split}_*.mp4"))) != count:
            render_split(folder, split, count, seed, workers=2)
    return folder


def encoders_of_all_streams() -> Any:
    from tal_engine.export.encoders import tiny_encoders

    return tiny_encoders(STREAMS)


def encoded(folder: Path) -> Any:
    """The data set, rendered and encoded if it is not there yet; scored at overlaps 0.1 to 0.7."""
    from tal_engine.data.dataset import open_dataset

    data = replace(open_dataset(rendered(folder), encoders_of_all_streams()), protocol="wtal-seconds")
    for role in ("train", "test"):
        data.features(data.subset(role), STREAMS)
    return data
