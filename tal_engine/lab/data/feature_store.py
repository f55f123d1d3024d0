"""Feature files of public data sets, as a description says they lie. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._util.arrays import ArrayFile, as_float32
from ...annotations import AnnotatedVideo
from ...errors import FeatureError
from ...features import load_features, merged
from ...records import Features
from ...timeline import Timeline
from .description import FeatureSpec, Role

#: Streams are cut to one length only if they differ by no more than this: else their snippets are not the same.
MOST_CUT, MOST_CUT_SHARE = 2, 0.05

#: Of the time between snippets that a file records, and that the description says.
_STEP_TOLERANCE = 0.02


def _hinted(message: str) -> FeatureError:
    return FeatureError(
        f"{message}{'; tal data convert writes object arrays as plain files' if 'object' in message else ''}"
    )


class _Stored(NamedTuple):
    """An array [T, D] of a file, on disk or in memory, and what the file says of its origin."""

    array: NDArray[Any]
    contract: dict[str, Any]
    duration: float


@dataclass(frozen=True)
class StoredFeatures:
    """Reads the streams of a video from the files of a description.

    roles: subset of the annotations -> role.
    """

    root: Path
    specs: tuple[FeatureSpec, ...]
    timeline: Timeline
    roles: Mapping[str, Role]
    length: Literal["equal", "first", "shortest"] = "equal"
    short: Literal["refuse", "keep"] = "refuse"
    _widths: dict[str, int] = field(default_factory=dict)

    @property
    def streams(self) -> tuple[str, ...]:
        """What is described."""
        return tuple(name for spec in self.specs for name in spec.names)

    def widths(self, videos: Sequence[AnnotatedVideo], streams: Sequence[str]) -> dict[str, int]:
        """Return the width of each stream: as described, else that of the first video that has a file.

        Raises:
            FeatureError: a stream that is not described, or that no video has.
        """
        out = {}
        for stream in streams:
            spec = self._spec(stream)
            if spec.stream is None:
                first, end = spec.streams[stream]
                out[stream] = end - first
            else:
                out[stream] = spec.width or self._width_found(spec, videos)
        return out

    def count(self, video: AnnotatedVideo) -> int:
        """Count the snippets of a video, in the first described file.

        Raises:
            FeatureError: it cannot be read.
        """
        if not self.specs:
            raise FeatureError(f"{self.root}: no features are described")
        with self._open(self.specs[0], video) as stored:
            return int(stored.array.shape[0])

    def load(self, video: AnnotatedVideo, streams: Sequence[str]) -> Features:
        """Load the streams of a video, float32, cut to one length.

        Raises:
            FeatureError: missing, of another width or length, NaN, or shorter than the annotated instances.
        """
        wanted = [self._spec(s) for s in streams]
        specs = [s for s in self.specs if s in wanted]
        reference = [self.specs[0]] if self.length == "first" and self.specs[0] not in specs else []
        lengths: dict[str, int] = {}
        arrays: dict[str, NDArray[np.float32]] = {}
        contracts: list[dict[str, Any]] = []
        duration = video.duration
        for spec in (*specs, *reference):
            with self._open(spec, video) as stored:
                lengths["+".join(spec.names)] = len(stored.array)
                for stream in spec.names:
                    if stream in streams:
                        columns = slice(*spec.streams[stream]) if spec.stream is None else slice(None)
                        arrays[stream] = as_float32(np.array(stored.array[:, columns]))
                if spec in specs:
                    contracts.append(stored.contract)
                duration = duration or stored.duration
        count = self._common(lengths)
        cut = {s: arrays[s][:count] for s in streams}
        self._check_end(video, count)
        return Features(cut, self.timeline, duration or float(self.timeline.right(count)), merged(contracts))

    def shortfall(self, video: AnnotatedVideo, count: int) -> float:
        """Return the seconds of the last annotated instance that `count` snippets do not reach."""
        last = max((s.end for s in video.instances), default=0.0)
        return max(0.0, last - float(self.timeline.right(count)))

    def _check_end(self, video: AnnotatedVideo, count: int) -> None:
        missing = self.shortfall(video, count)
        if self.short == "refuse" and missing > self.timeline.width:
            raise FeatureError(
                f"{count} snippets end at {float(self.timeline.right(count)):.2f} s, {missing:.2f} s before the last "
                f"annotated instance; short_features: keep would take them"
            )

    def _common(self, lengths: Mapping[str, int]) -> int:
        values = list(lengths.values())
        low, high = min(values), max(values)
        if low == high:
            return low
        if self.length == "equal":
            raise FeatureError(f"streams differ in length: {lengths}; length: first or shortest would cut them")
        if high - low > max(MOST_CUT, MOST_CUT_SHARE * high):
            raise FeatureError(f"streams differ too much in length to be of the same snippets: {lengths}")
        if self.length == "shortest":
            return low
        wanted = lengths["+".join(self.specs[0].names)]
        if low < wanted:
            raise FeatureError(f"a stream is shorter than the first one: {lengths}; length: shortest would cut them")
        return wanted

    def _spec(self, stream: str) -> FeatureSpec:
        for spec in self.specs:
            if stream in spec.names:
                return spec
        described = ", ".join(n for s in self.specs for n in s.names) or "none"
        raise FeatureError(f"{self.root}: no stream {stream!r} is described; described: {described}")

    def _width_found(self, spec: FeatureSpec, videos: Sequence[AnnotatedVideo]) -> int:
        stream = spec.names[0]
        why = ""
        for video in videos if stream not in self._widths else ():
            try:
                with self._open(spec, video):  # keeps the first width
                    break
            except FeatureError as e:
                why = why or f"; the first: {e}"
        if stream not in self._widths:
            raise FeatureError(f"{self.root}: no video has a readable file of stream {stream!r} ({spec.path}){why}")
        return self._widths[stream]

    def path(self, spec: FeatureSpec, video: AnnotatedVideo) -> Path:
        """Return where a video's file should be."""
        return self.root / self._filled(spec.path, video)

    def _filled(self, pattern: str, video: AnnotatedVideo) -> str:
        return pattern.format(name=video.name, subset=video.subset, role=self.roles.get(video.subset, video.subset))

    @contextmanager
    def _open(self, spec: FeatureSpec, video: AnnotatedVideo) -> Iterator[_Stored]:
        path = self.path(spec, video)
        key = None if spec.key is None else self._filled(spec.key, video)
        with ArrayFile(path, error=_hinted) as file:
            stored = _Stored(file.map(), {}, 0.0) if file.names is None else self._npz(file, spec, key)
        self._check_shape(path, spec, stored.array)
        yield stored

    def _check_shape(self, path: Path, spec: FeatureSpec, array: NDArray[Any]) -> None:
        if array.ndim != 2 or not array.size:
            raise FeatureError(f"{path}: is {array.dtype} of shape {list(array.shape)}, features are numbers [T, D]")
        if spec.stream is None:
            wanted = max(end for _, end in spec.streams.values())
        else:
            wanted = spec.width or self._widths.setdefault(spec.stream, int(array.shape[1]))
        if array.shape[1] != wanted:
            raise FeatureError(f"{path}: features are {array.shape[1]} wide, {'+'.join(spec.names)} needs {wanted}")

    def _npz(self, file: ArrayFile, spec: FeatureSpec, key: str | None) -> _Stored:
        path, names = file.path, file.names or []
        if key is None:
            stream = spec.names[0]
            flat = [n for n in names if n not in ("fps", "timestamps_ms", "record")]
            key = stream if stream in names else flat[0] if len(flat) == 1 else None
        if key is None or key not in names:
            listed = ", ".join(sorted(names)[:8])
            raise FeatureError(f"{path}: has no array {key or spec.names[0]!r}; arrays: {listed}")
        if "timestamps_ms" in names:
            self._check_step(path, np.diff(np.ravel(file.read("timestamps_ms")).astype(np.float64)) / 1000)
        if "record" not in names:
            return _Stored(file.read(key), {}, 0.0)
        own = load_features(path)
        if own.timeline != self.timeline:
            raise FeatureError(f"{path}: was made with {own.timeline}, snippet says {self.timeline}")
        return _Stored(own.streams[key], own.contract, own.duration)

    def _check_step(self, path: Path, steps: NDArray[np.float64]) -> None:
        step = float(np.median(steps)) if len(steps) else self.timeline.step
        if not abs(step - self.timeline.step) <= _STEP_TOLERANCE * self.timeline.step:
            raise FeatureError(
                f"{path}: its snippets are {step:.4g} s apart, snippet says {self.timeline.step:.4g} s (stride / fps)"
            )
