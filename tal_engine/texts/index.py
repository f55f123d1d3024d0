"""An archive's features, kept so that a new text is answered without reading any video again.

A folder: `vectors.f32`, every snippet after the head's test-time mean and smoothing, mapped into memory;
`background.f32`, its likeness to the nearest background text; `index.json`, which video it is of. A query is one
product of matrices, and then what the engine does with activations: smoothing and products may change places, so
results are the engine's (`texts.head`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import ops
from .._util.files import check_free, whole_file, write_text
from .._util.untrusted import parse_json
from ..errors import DataError, FeatureError, UsageError
from ..features.contract import check_contract, contract_of
from ..options import PIXELS, timeline_of
from ..plan.archive import Plan
from ..plan.text_fields import TextHead, TextTower
from ..records import Features, Segment
from .classes import TextClass, checked
from .head import nms_options, proposal_options
from .plans import MIN_SCORE, TextEmbedder, tower_of

_VECTORS, _BACKGROUND, _ABOUT = "vectors.f32", "background.f32", "index.json"
_FORMAT = 1
_EPS = 1e-6


def prepared(x: NDArray[np.float32], how: TextHead) -> NDArray[np.float32]:
    """Take the test-time mean from the features [T, D] of a video and smooth them over time, as the head does.

    Example:
        >>> how = TextHead(prompts=["{}"], background=["a room"], scale=100.0, smooth=3)
        >>> prepared(np.array([[2.0, 0.0], [0.0, 2.0]], np.float32), how).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    z = _unit(np.asarray(x, np.float32))
    if how.centre:
        z = _unit(z - np.float32(how.centre) * z.mean(0, keepdims=True))
    if how.smooth == 1:
        return z
    sums = np.concatenate([np.zeros((1, z.shape[1])), np.cumsum(z, axis=0, dtype=np.float64)])
    at, half = np.arange(len(z)), how.smooth // 2
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(z))
    smooth: NDArray[np.float32] = ((sums[last] - sums[first]) / (last - first)[:, None]).astype(np.float32)
    return smooth


def build_index(
    folder: Path, plan: Plan, videos: Iterable[tuple[str, Features]], *, overwrite: bool = False
) -> tuple[int, list[str]]:
    """Write an index.

    Args:
        folder: to write; it must not hold another index unless `overwrite`.
        plan: with a text tower.
        videos: names and features, which have the tower's stream; they are read one after another.
        overwrite: replace an index that is there.

    Returns:
        How many videos are in it, and warnings about where their features are from.

    Raises:
        PlanError: the plan has no text tower.
        FeatureError: a video lacks the stream, or its features were made otherwise than the plan's encoder makes them.
        UsageError: no video, or two of one name.
    """
    tower, m = tower_of(plan), plan.manifest
    check_free(folder / _ABOUT, overwrite=overwrite)
    background = TextEmbedder(plan).background()
    encoders = [e for e in m.encoders if e.stream == tower.stream]
    contract = contract_of(m.snippet, encoders, str(m.provenance.get("contract", {}).get("pixels", PIXELS)))
    names, counts, durations, said = list[str](), list[int](), list[float](), list[str]()
    with _folder(folder), whole_file(folder / _VECTORS) as vectors, whole_file(folder / _BACKGROUND) as likeness:
        with vectors.open("wb") as v, likeness.open("wb") as b:
            for name, features in videos:
                said += check_contract(features.contract, contract, name) if encoders else []
                z = prepared(_stream(features, tower, name), tower.head)
                v.write(z.tobytes())
                b.write((z @ background.T).max(1).astype(np.float32).tobytes())
                names.append(name)
                counts.append(len(z))
                durations.append(features.duration)
        if not names or len(set(names)) < len(names):
            raise UsageError(f"{folder}: an index needs videos, each with a name of its own; there are {len(names)}")
    about = {"format": _FORMAT, "names": names, "snippets": counts, "durations": durations, "dim": tower.dim}
    write_text(folder / _ABOUT, json.dumps(about | {"made_with": _identity(tower)}) + "\n")
    return len(names), said


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make a folder, and take it away again where what comes fails and it was not there."""
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if new:
            with suppress(OSError):  # somebody put something there meanwhile
                folder.rmdir()
        raise


class TextIndex:
    """An index that is open, with the plan whose tower embeds what is asked.

    Args:
        folder: that `build_index` wrote.
        plan: the one that it was written with, or another with the same tower and head.

    Raises:
        DataError: not an index, or damaged.
        UsageError: it was written with another tower, or other settings of the head.
        PlanError: the plan has no text tower.

    Example:
        >>> index = TextIndex(Path("archive.index"), plan)  # doctest: +SKIP
        >>> index.search(["a person opening a door"])["monday.mp4"]  # doctest: +SKIP
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._embed, self._time = TextEmbedder(plan), timeline_of(plan.manifest.snippet)
        try:
            about = parse_json((folder / _ABOUT).read_bytes(), str(folder / _ABOUT))
            made = about["made_with"]
            self.names = [str(n) for n in about["names"]]
            counts, self._durations = np.asarray(about["snippets"], np.int64), np.asarray(about["durations"], float)
            rows, dim = int(counts.sum()), int(about["dim"])
            # Only rows that whole files hold are mapped: a file that was cut off is refused.
            self._vectors = np.memmap(folder / _VECTORS, np.float32, "r", shape=(rows, dim))
            self._likeness = np.memmap(folder / _BACKGROUND, np.float32, "r", shape=(rows,))
        except (OSError, KeyError, TypeError, ValueError) as e:
            raise DataError(f"{folder}: not an index of features, or damaged ({e})") from e
        wanted = _identity(self._embed.tower)
        for field, value in wanted.items():
            if made.get(field) != value:
                raise UsageError(
                    f"{folder}: was made with {field} {made.get(field)!r}, plan {plan.manifest.name} has {value!r}; "
                    "make it anew"
                )
        self._offsets = np.concatenate([[0], np.cumsum(counts)])

    def __len__(self) -> int:
        return len(self._vectors)

    def search(
        self, classes: Sequence[TextClass | str], *, min_score: float = MIN_SCORE, threads: int = 1
    ) -> dict[str, list[Segment]]:
        """Find where classes happen.

        Args:
            classes: texts, or `TextClass`.
            min_score: the least score of a segment.
            threads: of the core; the product takes those of NumPy.

        Returns:
            Segments by video, best first; videos without any are left out.

        Raises:
            UsageError: classes that make no sense.
        """
        wanted = checked(classes)
        scale = np.float32(self._embed.tower.head.scale)
        # Classes in rows: along snippets, which are many, NumPy is quick.
        logits = np.empty((len(wanted) + 1, len(self)), np.float32)
        logits[-1] = self._likeness
        np.matmul(self._embed.classes(wanted), self._vectors.T, out=logits[:-1])
        logits *= scale
        logits -= logits.max(0)
        np.exp(logits, out=logits)
        logits /= logits.sum(0)
        found = ops.propose(logits.T, None, proposal_options(), offsets=self._offsets, threads=threads)
        # Suppression only lowers scores, and what is low lowers nothing that is higher: it may go before.
        good = np.flatnonzero(found.score >= min_score)
        offsets = np.searchsorted(good, found.offsets)
        start, end, score, label = found.start[good], found.end[good], found.score[good], found.label[good]
        kept = ops.suppress_columns(start, end, score, label, nms_options(), offsets=offsets, threads=threads)
        rows = kept.rows
        videos = np.searchsorted(offsets, rows, side="right") - 1
        return self._segments(start[rows], end[rows], kept.score, label[rows], videos, wanted, min_score)

    def _segments(
        self,
        start: NDArray[np.float64],
        end: NDArray[np.float64],
        scores: NDArray[np.float64],
        labels: NDArray[np.int32],
        videos: NDArray[np.int64],
        classes: Sequence[TextClass],
        least: float,
    ) -> dict[str, list[Segment]]:
        """Turn rows of all videos into segments by video, best first."""
        begin, until = self._time.left(start), np.minimum(self._time.right(end), self._durations[videos])
        columns = (begin.tolist(), until.tolist(), labels.tolist(), scores.tolist(), videos.tolist())
        out: dict[str, list[Segment]] = {}
        for a, b, label, score, video in zip(*columns, strict=True):
            if score >= least:
                out.setdefault(self.names[video], []).append(Segment(a, b, classes[label].name, score))
        return {name: sorted(s, key=lambda x: -x.score) for name, s in out.items()}


def _stream(features: Features, tower: TextTower, name: str) -> NDArray[np.float32]:
    x = features.streams.get(tower.stream)
    if x is None or x.shape[1] != tower.dim:
        has = {n: a.shape[1] for n, a in features.streams.items()}
        raise FeatureError(f"{name}: has streams {has}, texts are compared with {tower.stream}[{tower.dim}]")
    return x


def _identity(tower: TextTower) -> dict[str, Any]:
    """Return what an index depends on."""
    h = tower.head
    shown: dict[str, Any] = {"tower": tower.weights_sha256, "centre": h.centre, "smooth": h.smooth}
    return shown | {"background": h.background}


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), _EPS)
    return scaled
