"""What a trainer is asked to do, as a file that the studio writes and the trainer reads: neither needs the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from .._util.files import write_text
from .._util.untrusted import parse_json, read_text
from ..errors import DataError
from .labels import Label, label_of
from .state import State

#: Below the project: what is asked for, what came of it, heads, features.
ORDER, RESULT = Path("training", "order.json"), Path("training", "result.json")
HEADS, FEATURES, PLANS = Path("training", "heads"), Path("features"), Path("plans")
_JSON_LIMIT = 1 << 30
#: First argument of a trainer that ends when its stdin is closed.
ATTACHED = "--attached"


@dataclass(frozen=True)
class OrderedVideo:
    """A video with its labels; duration in seconds."""

    id: str
    name: str
    path: str
    duration: float
    held_out: bool
    done: bool
    told: tuple[str, ...] = ()
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True)
class Order:
    """What to train: see `settings.StudioOptions` for the options. thresholds: of probabilities, as people set them."""

    revision: int
    classes: tuple[str, ...]
    videos: tuple[OrderedVideo, ...]
    encoders: str | None = None
    steps: int | None = None
    heads: int = 2
    seed: int = 0
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many labels of actions there are, held-out videos apart."""
        return sum(x.kind != "nothing" for v in self.videos if not v.held_out for x in v.labels)


def order_of(state: State, paths: Mapping[str, tuple[str, float]], **options: Any) -> Order:
    """Make an order of a project as it is now.

    Args:
        state: of the project; its lock is held.
        paths: path and duration of each video that can be read.
        options: fields of `Order`.
    """
    videos = tuple(
        OrderedVideo(v.id, v.name, *paths[v.id], v.id in state.held_out, v.done, v.told, tuple(state.of_video(v.id)))
        for v in state.videos.values()
        if v.id in paths
    )
    return Order(state.revision, tuple(state.class_names), videos, thresholds=dict(state.thresholds), **options)


def write_order(folder: Path, order: Order) -> None:
    """Write an order into a project.

    Raises:
        OSError: the project is not there any more, or the disk is full.
    """
    (folder / ORDER).parent.mkdir(exist_ok=True)  # not the project: it would be one without labels
    document = asdict(order)
    for v in document["videos"]:  # file systems have names that are not Unicode, and JSON has not
        v["path"] = quote(v["path"], errors="surrogateescape")
    write_text(folder / ORDER, json.dumps(document) + "\n")


def read_order(folder: Path) -> Order:
    """Read the order of a project.

    Raises:
        DataError: there is none, or it is no order.
    """
    document = read_json(folder / ORDER, "order of a studio")
    try:
        videos = tuple(
            OrderedVideo(
                **{
                    **v,
                    "path": unquote(v["path"], errors="surrogateescape"),
                    "told": tuple(v["told"]),
                    "labels": tuple(label_of(x) for x in v["labels"]),
                }
            )
            for v in document["videos"]
        )
        return Order(**{**document, "classes": tuple(document["classes"]), "videos": videos})
    except (KeyError, TypeError) as e:
        raise DataError(f"{folder / ORDER}: is no order of a studio ({e})") from e


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read an object from a file.

    Raises:
        DataError: it is not there, or no object.
    """
    found = parse_json(read_text(path, what, DataError, _JSON_LIMIT), str(path), DataError)
    if not isinstance(found, dict):
        raise DataError(f"{path}: is no {what}")
    return found
