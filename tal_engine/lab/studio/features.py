"""Features of a studio's videos: made once, kept in the project under the video's id, whole or not there."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._util.files import clear_unfinished
from ...errors import FeatureError, TALError
from ...features import load_features, save_features
from ...inference.extraction import Extractor
from ...records import Features
from ...studio.order import OrderedVideo
from ..fitting.extracting import record_of
from ..fitting.tools import Encoders, open_encoders
from .telling import Telling

_WORKERS = 2


@dataclass(frozen=True)
class Made:
    """Features by id, why some videos have none, and the record of what made them."""

    features: dict[str, Features]
    failed: dict[str, str]
    contract: dict[str, Any]


def made_features(videos: Sequence[OrderedVideo], folder: Path, spec: str, telling: Telling) -> Made:
    """Make the features that are not there yet.

    Args:
        videos: all of them.
        folder: of the features of these encoders.
        spec: the encoders.
        telling: gets the progress.

    Raises:
        DataError: features that were made of different things.
        OSError: the disk is full.
    """
    clear_unfinished(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Features] = {}
    failed: dict[str, str] = {}
    for v in videos:
        try:
            found[v.id] = load_features(folder / f"{v.id}.npz")
        except TALError:
            (folder / f"{v.id}.npz").unlink(missing_ok=True)  # damaged: it is made again
    missing = [v for v in videos if v.id not in found]
    if missing:
        _make(missing, len(videos), folder, spec, telling, found, failed)
    bare = [i for i, f in found.items() if len(f) < 1]
    for i in bare:
        failed[i] = "it is too short: it has no features"
        del found[i]
    return Made(found, failed, record_of(found) if found else {})


def _make(
    missing: Sequence[OrderedVideo], count: int, folder: Path, spec: str, telling: Telling,
    found: dict[str, Features], failed: dict[str, str],
) -> None:  # fmt: skip
    encoders: Encoders = open_encoders(spec, {})
    extractor = Extractor(encoders.snippet, encoders.open(tuple(encoders.specs), "auto"))
    shares = dict.fromkeys([v.id for v in missing], 0.0)

    def one(v: OrderedVideo) -> None:
        def progress(done: float, total: float) -> None:
            shares[v.id] = done / total if total else 0.0
            ready = count - sum(s < 1 for s in shares.values())
            telling.say(round(100 * sum(shares.values())), 100 * len(shares), video=v.name, videos=[ready, count])

        try:
            made = extractor(Path(v.path), progress).features
            save_features(folder / f"{v.id}.npz", made)
            found[v.id] = made
        except (TALError, FeatureError) as e:
            failed[v.id] = str(e).replace(v.path, v.name)
        shares[v.id] = 1.0

    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="tal-studio-features") as pool:
        futures = [pool.submit(one, v) for v in missing]
        for f in futures:
            f.result()
