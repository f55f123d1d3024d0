"""Snapshots that were edited: refused with nothing changed, or a stream that goes on without a raw error."""

from __future__ import annotations

import copy
import json
import os
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine import TALEngine
from tal_engine.errors import SnapshotError, TALError
from tal_engine.options import SnippetOptions, StreamOptions
from tal_engine.streaming import snapshot
from tal_engine.streaming.stream_state import StreamState
from tests.makers import moving_square, tiny_manifest, tiny_plan

#: Of each mutation fuzzer here and of manifests; more of them than a test run has time for are run by hand.
EXAMPLES = int(os.environ.get("TAL_FUZZ_EXAMPLES", "300"))
#: The same ones each time in a test run; new ones by hand.
SAME = "TAL_FUZZ_EXAMPLES" not in os.environ
OPTIONS = StreamOptions(window=3.2, step=0.5, look_ahead=0.6, gap=0.4, max_still=4.0)
FPS = 25
FRAMES = list(moving_square(160, 40, 40))


@pytest.fixture(scope="module")
def engine():
    return TALEngine(tiny_plan(), "cpu", threads=1)


def streamed(engine, count, rows=False):
    stream = engine.open_stream("s", OPTIONS, min_score=-1e9)
    for i in range(count):
        if rows:
            stream.push_features({"rgb": np.sin(np.arange(4, dtype=np.float32) * i)}, wall=1_800_000_000 + i)
        else:
            stream.push(FRAMES[i], i / FPS, wall=1_800_000_000 + i / FPS)
    return stream


@pytest.fixture(scope="module")
def states(engine):
    """Kept states of a stream at its beginning, in the middle of a snippet, after a cut, of rows, and of nothing."""
    cut = streamed(engine, 50)
    cut.push(FRAMES[50], 100.0)
    ended = streamed(engine, 40)
    ended.flush()
    made = [streamed(engine, n) for n in (1, 7, 8, 61, 157)] + [streamed(engine, 30, rows=True), cut, ended]
    made.append(engine.open_stream("s", OPTIONS, min_score=-1e9))
    return [(m.state.state(), m.state) for m in made]


def fresh(state):
    return StreamState(state.manifest, state.plan, state.source, state.options)


def picture_of(state):
    """Everything that a state holds, comparable."""
    numbers, arrays = state.state()
    return json.dumps(numbers), {n: (a.shape, str(a.dtype), a.tobytes()) for n, a in arrays.items()}


def test_every_state_is_taken(states):
    for (numbers, arrays), state in states:
        again = fresh(state)
        again.restore(json.loads(json.dumps(numbers)), arrays)
        assert picture_of(again) == picture_of(state)


ODD = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    7,
    2**31,
    2**53,
    2**63,
    10**30,
    0.0,
    -0.0,
    0.5,
    1e300,
    -1e300,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    "0",
    "NaN",
    "x" * 5000,
    [],
    {},
    [[]],
    [1, 2],
    [None, None],
    {"a": 1},
]


def places(value, path=()):
    """Every place of a document."""
    yield path
    if isinstance(value, dict):
        for k, v in value.items():
            yield from places(v, (*path, k))
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from places(v, (*path, i))


@st.composite
def mutations(draw, numbers, arrays):
    """A state with one to three things about it changed, and what was done."""
    numbers, arrays = copy.deepcopy(json.loads(json.dumps(numbers))), dict(arrays)
    done = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["set", "set", "nudge", "drop", "add", "array"]))
        if kind == "array":
            done.append(change_array(draw, arrays))
            continue
        path = draw(st.sampled_from([p for p in places(numbers) if p] or [("x",)]))
        holder = numbers
        for key in path[:-1]:
            holder = holder[key]
        key = path[-1]
        done.append((kind, path))
        with suppress(KeyError, IndexError, TypeError):
            if kind == "set":
                holder[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
            elif kind == "nudge" and isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
                holder[key] += draw(st.sampled_from([-1, 1, 0.5, 1e-9, 1000]))
            elif kind == "drop":
                del holder[key]
            elif isinstance(holder, dict):
                holder[f"{key}_"] = copy.deepcopy(draw(st.sampled_from(ODD)))
            else:
                holder.append(copy.deepcopy(holder[key]))
    return numbers, arrays, done


def change_array(draw, arrays):
    name = draw(st.sampled_from([*arrays, "new", "rows.rgb", "picture", "held"]))
    kind = draw(st.sampled_from(["drop", "type", "cut", "rank", "empty", "value"]))
    old = arrays.get(name, np.zeros((2, 4), np.float32))
    if kind == "drop":
        arrays.pop(name, None)
    elif kind == "type":
        arrays[name] = old.astype(draw(st.sampled_from(["f8", "i8", "u1", "f4", "?"])))
    elif kind == "cut":
        arrays[name] = old[: max(len(old) - 1, 0)]
    elif kind == "rank":
        arrays[name] = old[None]
    elif kind == "empty":
        arrays[name] = old[..., :0]
    elif old.size:
        arrays[name] = old.copy()
        arrays[name].flat[0] = np.nan if old.dtype.kind == "f" else 9
    return kind, name


@settings(max_examples=EXAMPLES, deadline=None, derandomize=SAME)
@given(st.data())
def test_edited_states_are_refused_whole_or_go_on(states, engine, data):
    numbers, arrays, done = data.draw(mutations(*data.draw(st.sampled_from(states))[0]))
    stream = engine.open_stream("s", OPTIONS, min_score=-1e9)
    before = picture_of(stream.state)
    if refused(lambda: stream.state.restore(numbers, arrays)):
        assert picture_of(stream.state) == before, done
    else:
        goes_on(stream)


def refused(restore):
    """What is said of a state that is not taken; None if it is. No other error passes."""
    try:
        restore()
    except SnapshotError as e:
        return str(e)
    return None


def goes_on(stream):
    """Push what comes next, and end: whatever is refused is an error of the project."""
    at, rows = stream.state.newest or 0.0, stream.state.state()[0]["of_rows"]
    with suppress(TALError):
        for i in range(3):
            if rows:
                stream.push_features({"rgb": np.ones(4, np.float32)}, wall=1_800_000_000)
            else:
                stream.push(FRAMES[i], at + (i + 1) / FPS, wall=1_800_000_000)
        stream.flush()
    picture_of(stream.state)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_edited_files_are_refused_whole_or_go_on(states, engine, tmp_path_factory, data):
    """The same through the file, whose digests were made anew: one who edits can do that too."""
    (numbers, arrays), kept = data.draw(st.sampled_from(states))
    numbers, arrays, done = data.draw(mutations(numbers, arrays))
    path = tmp_path_factory.mktemp("s") / "s.npz"
    identity = snapshot._identity(kept)
    document = {"schema": snapshot.SCHEMA, **identity, "state": numbers, "arrays": snapshot._digests(arrays)}
    text = np.frombuffer(json.dumps(document).encode(), np.uint8)
    np.savez(path, allow_pickle=False, state=text, **arrays)
    stream = streamed(engine, 3)
    before = picture_of(stream.state)
    why = refused(lambda: stream.restore(path))
    if why is None:
        goes_on(stream)
    else:
        assert str(path) in why, done
        assert picture_of(stream.state) == before, done


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["grid", "slot"], 0, "grid"),
        (["grid", "skip"], 1, "grid.skip"),
        (["grid", "size"], [32, 32, 4], "picture"),
        (["pts"], 1e9, "grid.slot"),
        (["pts"], -1.0, "pts"),
        (["origin"], 0.04, "ring.origin|grid.slot"),
        (["wall"], 1e12, "wall"),
        (["wall"], -1e11, "wall"),
        (["given"], 3, "grid.given|ring.count"),
        (["from"], 1, "grid.given|ring.count"),
        (["ring", "count"], 100, "ring.count"),
        (["settler", "right"], 1e9, "settler"),
        (["settler", "tracks", 0, "label"], 3, "label ids below 3"),
        (["settler", "tracks", 0, "end"], -5.0, "settler.tracks"),
        (["settler", "tracks", 0, "score"], float("nan"), "score"),
        (["settler", "cuts"], [[1, 1.0], [1, 2.0]], "one for each label"),
        (["settler", "session"], 7, "session"),
        (["gaps"], [[2.0, 1.0]], "in this order"),
        (["refused"], -1, "refused"),
        (["live"], "true", "live"),
        (["nonsense"], 1, "nonsense"),
    ],
)
def test_the_field_is_named(states, path, value, words):
    (numbers, arrays), state = states[4]
    numbers = json.loads(json.dumps(numbers))
    assert numbers["settler"]["tracks"]
    holder = numbers
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    other = fresh(state)
    with pytest.raises(SnapshotError, match=words):
        other.restore(numbers, arrays)
    assert picture_of(other) == picture_of(fresh(state))


@pytest.mark.parametrize(("window", "stride"), [(8, 8), (8, 3), (8, 20), (1, 1), (1, 5), (4, 1)], ids=lambda v: str(v))
def test_the_grid_s_numbers_follow_from_its_slots(window, stride):
    """For windows that overlap, touch and leave gaps: every state on the way is taken."""
    snippet = SnippetOptions(window=window, stride=stride, resize=0, crop=0, flow="none")
    manifest = tiny_manifest(encoders=False, snippet=snippet)
    state = StreamState(manifest, "0" * 64, "s", OPTIONS)
    rng = np.random.default_rng(0)
    seconds = 0.0
    for i in range(60):
        seconds += float(rng.choice([0.001, 0.02, 0.04, 0.1, 0.3]))
        for _ in state.push(lambda: np.zeros((4, 6, 3), np.uint8), seconds):
            state.add({"rgb": np.zeros(4, np.float32)})
        list(state.windows())
        numbers, arrays = state.state()
        again = fresh(state)
        again.restore(numbers, arrays)
        assert picture_of(again) == picture_of(state), i
