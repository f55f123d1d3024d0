"""Validate a saved stream state against the plan and the options before any of it is used.

Most of a state follows from a few numbers: the number of filled slots determines how many images wait, the number of
snippets determines how many rows there are. A state that contradicts itself was not written by `StreamState.state`,
and resuming from it would fail later or never stop.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pydantic
from numpy.typing import NDArray

from .._util.repeats import repeated
from ..errors import SnapshotError
from ..inference.online_machine import WAITING
from ..inference.online_scoring import no_memory
from ..video.grid import slot_centre

if TYPE_CHECKING:
    from ..plan.manifest import Manifest
    from ..plan.online_fields import OnlineOptions
    from .window import StreamTiming

Arrays = Mapping[str, NDArray[Any]]

#: Wall-clock seconds must lie before this, since events cannot format the year 10000; with room for a stream.
_LAST_WALL_S = 253_402_300_800 - 1e9
#: Tolerance between a time and the moment that it is counted from, seconds.
_SLACK_S = 1e-3

Count = Annotated[int, pydantic.Field(ge=0, lt=2**53)]
Seconds = Annotated[float, pydantic.Field(ge=-1e12, le=1e12)]
Duration = Annotated[float, pydantic.Field(ge=0, le=1e12)]
#: Id of an event: 20 hexadecimal digits; "" before its first event.
Id = Annotated[str, pydantic.StringConstraints(pattern=r"^([0-9a-f]{20})?$")]
Score = Annotated[float, pydantic.Field(allow_inf_nan=False)]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class _Grid(_Strict):
    slot: Count
    skip: Count
    given: Count
    fresh: Count
    size: tuple[Count, Count, Count] | None


class _Ring(_Strict):
    count: Count
    origin: Seconds


class _Track(_Strict):
    label: Count
    start: Seconds
    end: Seconds
    score: Score
    strong: bool
    clipped: bool
    id: Id
    told: tuple[Seconds, Seconds | None, Score] | None


class _FinalizerState(_Strict):
    tracks: list[_Track]
    finals: list[_Track]
    line: Seconds | None
    right: Seconds | None
    moved: bool
    cuts: list[tuple[Count, Seconds]]
    numbered: Count
    session: Annotated[str, pydantic.StringConstraints(max_length=1000)] = ""
    late_events: Count
    worst_latency_s: Duration


class _Start(_Strict):
    action: Count
    onset: Seconds
    at: Count
    told: Seconds
    score: Score


class _OpenAction(_Strict):
    start: Seconds
    peak: Score
    total: Score
    count: Count
    below: Count
    end: Seconds
    clipped: bool


class _ClassState(_Strict):
    last: Score
    rose: Seconds | None
    armed: bool
    low: Count
    silent: bool = False
    lowest: Score
    recent: list[Score]
    starts: Annotated[list[_Start], pydantic.Field(max_length=WAITING)]
    open: _OpenAction | None


class _Machine(_Strict):
    count: Count
    numbered: Count
    classes: list[_ClassState]
    #: Of rules with evidence: what it remembers.
    before: list[Score] | None = None


class _OnlineState(_Strict):
    machine: _Machine
    ids: list[tuple[Count, Id]]
    right: Seconds
    numbered: Count
    session: Annotated[str, pydantic.StringConstraints(max_length=1000)]
    late_events: Count
    worst_latency_s: Duration
    worst_start_s: Duration


class _State(_Strict):
    live: bool
    origin: Seconds
    pts: Seconds
    interval: Duration
    wall: Annotated[float, pydantic.Field(ge=-1e12, le=1e12)] | None
    given: Count
    from_: Count = pydantic.Field(alias="from")
    of_rows: bool
    refused: Count
    unanalysed_s: Duration
    gaps: list[tuple[Seconds, Seconds]]
    grid: _Grid
    ring: _Ring
    settler: _FinalizerState | None = None
    #: Of an online head, in place of `settler`.
    online: _OnlineState | None = None

    @property
    def since(self) -> int:
        """Snippets since the stream began or restarted."""
        return self.given - self.from_


def check_state(numbers: Mapping[str, Any], arrays: Arrays, manifest: Manifest, timing: StreamTiming) -> None:
    """Check a saved state for consistency with itself, the plan and the options.

    Raises:
        SnapshotError: a field is missing, unknown or of another type, or does not agree with the others; the message
            names it.
    """
    try:
        state = _State.model_validate_json(json.dumps(numbers), strict=True)
    except pydantic.ValidationError as e:
        first = e.errors()[0]
        raise SnapshotError(f"state.{'.'.join(map(str, first['loc']))}: {first['msg']}") from e
    except (TypeError, ValueError, RecursionError) as e:
        raise SnapshotError(f"state: is not JSON ({e})") from e
    _check_clock(state)
    _check_grid(state, arrays, manifest)
    _check_ring(state, arrays, manifest, timing)
    kind, other = ("settler", "online") if manifest.online is None else ("online", "settler")
    _require(getattr(state, kind) is not None, kind, None, "there, as the plan's head needs it")
    _require(getattr(state, other) is None, other, "there", "left out, as the plan's head has none")
    if state.settler is not None:
        _check_finalizer(state, state.settler, manifest, timing)
    if state.online is not None and manifest.online is not None:
        _check_online(state, state.online, arrays, manifest, manifest.online)


def _require(ok: bool, what: str, value: object, allowed: str) -> None:
    if not ok:
        raise SnapshotError(f"state.{what} is {value!r:.200}, must be {allowed}")


def _check_clock(s: _State) -> None:
    _require(s.from_ <= s.given, "from", s.from_, f"at most given ({s.given})")
    _require(s.live or not s.of_rows, "of_rows", s.of_rows, "false, as the stream has not begun")
    _require(s.live or not s.since, "from", s.from_, f"given ({s.given}), as the stream has not begun")
    _require(not s.live or s.origin <= s.pts, "pts", s.pts, f"at least origin ({s.origin})")
    if s.wall is not None:
        _require(0 <= s.pts + s.wall < _LAST_WALL_S, "wall", s.wall, "such that pts + wall is a time since 1970")
    _require(len(s.gaps) <= 256, "gaps", len(s.gaps), "256 at most")
    for start, end in s.gaps:
        _require(start <= end, "gaps", (start, end), "start and end, in this order")


def _check_grid(s: _State, arrays: Arrays, manifest: Manifest) -> None:
    """Check the grid, all of which follows from the number of slots, and that from the newest frame's time."""
    grid, options = s.grid, manifest.snippet
    window, stride = options.window, options.stride
    given = 0 if grid.slot < window else (grid.slot - window) // stride + 1
    begin = given * stride
    held = max(grid.slot - begin, 0)
    fresh = held if not given else min(held, grid.slot - (begin - stride + window))
    for name, value in (("given", given), ("skip", max(begin - grid.slot, 0)), ("fresh", fresh)):
        _require(getattr(grid, name) == value, f"grid.{name}", getattr(grid, name), f"{value} after {grid.slot} slots")
    frames = s.live and not s.of_rows
    _require(not frames or given == s.since, "grid.given", given, f"given - from ({s.since})")
    shown = 0
    if frames:
        seconds = s.pts - s.origin
        _require(slot_centre(grid.slot, options) >= seconds, "grid.slot", grid.slot, f"later than {seconds} s")
        before = grid.slot == 0 or slot_centre(grid.slot - 1, options) < seconds
        _require(before, "grid.slot", grid.slot, f"the first one after {seconds} s")
        shown = 1
    else:
        _require(grid.slot == 0, "grid.slot", grid.slot, "0, as no frame came")
    _check_picture(grid, arrays.get("picture"), shown, manifest)
    pictures = arrays.get("held")
    if held == 0:
        _require(pictures is None, "arrays", "held", "left out: no image waits")
        return
    expected = (held, *(grid.size or ()))
    fits = pictures is not None and pictures.dtype == np.uint8 and pictures.shape == expected
    _require(fits, "held", None if pictures is None else pictures.shape, f"uint8 {expected}")


def _check_picture(grid: _Grid, picture: NDArray[Any] | None, shown: int, manifest: Manifest) -> None:
    options = manifest.snippet
    if not shown:
        _require(picture is None and grid.size is None, "picture", grid.size, "left out: no frame came")
        return
    shape = None if picture is None else picture.shape
    fits = picture is not None and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape == grid.size
    _require(fits, "picture", shape, f"uint8 [height, width, 3], as grid.size ({grid.size})")
    height, width, channels = grid.size or (0, 0, 0)
    allowed = "at least one pixel of 3 colours"
    ok = height >= 1 and width >= 1 and channels == 3
    if options.crops_after_flow and options.resize:
        ok, allowed = ok and min(height, width) == options.resize, f"{options.resize} pixels on the shorter side"
    elif options.crop:
        ok, allowed = ok and height == width == options.crop, f"{options.crop} x {options.crop} pixels"
    _require(ok, "grid.size", grid.size, allowed)


def _check_ring(s: _State, arrays: Arrays, manifest: Manifest, timing: StreamTiming) -> None:
    ring = s.ring
    if s.since:
        _require(ring.count == s.since, "ring.count", ring.count, f"given - from ({s.since})")
        _require(ring.origin == s.origin, "ring.origin", ring.origin, f"origin ({s.origin})")
    rows = min(ring.count, timing.window)
    wanted = {f"rows.{name}": (rows, dim) for name, dim in manifest.streams.items()} if rows else {}
    allowed = {"picture", "held", *wanted, *(["memory"] if s.online is not None else [])}
    extra = sorted(set(arrays) - allowed)
    _require(not extra, "arrays", extra, f"of {sorted(allowed)}")
    for name, shape in wanted.items():
        values = arrays.get(name)
        fits = values is not None and values.dtype == np.float32 and values.shape == shape
        _require(fits, name, None if values is None else values.shape, f"float32 {shape}")
        _require(values is not None and bool(np.isfinite(values).all()), name, "NaN or infinite", "finite")


def _check_online(s: _State, online: _OnlineState, arrays: Arrays, manifest: Manifest, options: OnlineOptions) -> None:
    """Check that what is known of each class lies within the snippets that the stream has had."""
    machine, wanted = online.machine, no_memory(manifest).shape
    memory = arrays.get("memory")
    fits = memory is not None and memory.dtype == np.float32 and memory.shape == wanted
    _require(fits, "memory", None if memory is None else memory.shape, f"float32 {wanted}")
    _require(memory is not None and bool(np.isfinite(memory).all()), "memory", "NaN or infinite", "finite")
    _require(machine.count == s.since, "online.machine.count", machine.count, f"given - from ({s.since})")
    tracks = len(options.start) * (1 + len(options.guesses))
    _require(len(machine.classes) == tracks, "online.machine.classes", len(machine.classes), "one a class and guess")
    heard = len(options.start) if options.evidence is not None and machine.count else 0
    known = len(machine.before or ())
    _require(known == heard, "online.machine.before", known, f"{heard} values after {machine.count} snippets")
    seen = max(machine.count - options.look_ahead, 0)
    for one in machine.classes:
        kept = min(seen, options.rise)
        _require(len(one.recent) == kept, "online.recent", len(one.recent), f"{kept} values after {seen} snippets")
        below = 0 if one.open is None else one.open.below
        _require(
            below <= min(options.confirm, kept), "online.open.below", below, f"at most confirm ({options.confirm})"
        )
        places = [p for start in one.starts for p in (start.onset, start.told, start.at)]
        places += [] if one.open is None else [one.open.start, one.open.end]
        for place in (*places, *([] if one.rose is None else [one.rose])):
            _require(-1 <= place <= machine.count, "online", place, f"in [-1, {machine.count}]")
        for start in one.starts:
            _require(
                start.action <= machine.numbered, "online.starts.action", start.action, f"{machine.numbered} at most"
            )
    waiting = {start.action for one in machine.classes for start in one.starts}
    _require({a for a, _ in online.ids} == waiting, "online.ids", online.ids, f"of the actions {sorted(waiting)}")


def _check_finalizer(s: _State, settler: _FinalizerState, manifest: Manifest, timing: StreamTiming) -> None:
    """Check that the tracks lie within the time that the stream has covered, and are none before a window."""
    classes = len(manifest.vocabulary)
    if settler.right is None or not s.since:
        empty = (settler.tracks, settler.finals, settler.line, settler.right, settler.moved, settler.cuts)
        _require(empty == ([], [], None, None, False, []), "settler", "not empty", "empty: no window was seen")
        return
    room = 2 * timing.window * timing.timeline.step + timing.timeline.width + _SLACK_S
    low, high = s.origin - room, s.origin + s.since * timing.timeline.step + room
    labels = [t.label for t in (*settler.tracks, *settler.finals)] + [label for label, _ in settler.cuts]
    _require(max(labels, default=0) < classes, "settler", max(labels, default=0), f"label ids below {classes}")
    twice = repeated(label for label, _ in settler.cuts)
    _require(not twice, "settler.cuts", twice, "one for each label")
    for name in ("tracks", "finals"):
        for t in getattr(settler, name):
            _require(low <= t.start <= t.end <= high, f"settler.{name}", (t.start, t.end), f"in [{low}, {high}]")
            times = [] if t.told is None else [x for x in t.told[:2] if x is not None]
            ok = all(low <= x <= high for x in times) and sorted(times) == times
            _require(ok, f"settler.{name}.told", t.told, f"in [{low}, {high}]")
            _require(t.told is None or bool(t.id), f"settler.{name}.id", t.id, "known, as an event was emitted")
    moments = [settler.right, *(at for _, at in settler.cuts), *([] if settler.line is None else [settler.line])]
    for value in moments:
        _require(low <= value <= high and math.isfinite(value), "settler", value, f"seconds in [{low}, {high}]")
