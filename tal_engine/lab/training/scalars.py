"""Curves for TensorBoard, if they are wanted."""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from ..._util.extras import need
from ...errors import TrainingError
from .distributed import World
from .training_options import TrainOptions

#: Takes values by name and their step.
Scalars = Callable[[Mapping[str, float], int], None]


@contextmanager
def scalars(folder: Path, options: TrainOptions, world: World, first: int) -> Iterator[Scalars]:
    """Open a writer into ``FOLDER/tensorboard``, or one that does nothing.

    first: the step at which a resumed run continues; what an earlier run wrote after it is hidden.

    Raises:
        TrainingError: the file cannot be written, now or later.
    """
    if not (options.tensorboard and world.first):
        yield _nowhere
        return
    need("tensorboard")
    path = folder / "tensorboard" / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
    with ExitStack() as stack:
        with written(path, "curves"):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without a buffer what cannot be written is an error of that write, and closing has nothing left to lose.
            events = _Events(path, stack.enter_context(path.open("ab", buffering=0)))
            events.begin(first + 1)
        yield events


@contextmanager
def written(path: Path, what: str) -> Iterator[None]:
    """Turn a full or broken disk into an error that says what it costs: nothing that a checkpoint holds.

    Raises:
        TrainingError: naming the file.
    """
    try:
        yield
    except OSError as e:
        raise TrainingError(
            f"{e.filename or path}: {what} cannot be written ({e.strerror or e}); the last whole checkpoint is kept: "
            "make room and go on from it with --resume"
        ) from e


class _Events:
    """TensorBoard's event file, written by this thread: its own writer has a thread whose errors are lost."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

        self._path, self._file, self._buffer = path, file, io.BytesIO()
        self._records = RecordWriter(self._buffer)

    def begin(self, step: int) -> None:
        """Say that what earlier files hold of `step` and later steps is void."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]

        now = time.time()
        self._put(Event(wall_time=now, step=step, file_version="brain.Event:2"))
        self._put(Event(wall_time=now, step=step, session_log=SessionLog(status=SessionLog.START)))

    def __call__(self, values: Mapping[str, float], step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        summary = Summary(value=[Summary.Value(tag=name, simple_value=v) for name, v in values.items()])
        with written(self._path, "curves"):
            self._put(Event(wall_time=time.time(), step=step, summary=summary))

    def _put(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        data = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        whole = self._file.tell()
        try:
            while data:  # a disk that is nearly full takes a part, and says why with the next one
                data = data[self._file.write(data) :]
        except OSError:
            self._file.truncate(whole)  # half a record would hide those after it
            raise


def _nowhere(values: Mapping[str, float], step: int) -> None:
    """Write nothing."""


def curves(name: str, score: Mapping[str, Any]) -> dict[str, float]:
    """Return the curves of one evaluation (`validation.scores`): mAP, overlap of masks, and those of each view."""
    out = {f"{name}/map_{t}": v for t, v in score["map"].items()}
    out |= {f"{name}/map": score["average"]}
    out |= {f"{name}/miou_{k}": v for k, v in score["miou"].items() if v is not None}
    for view, figures in score.get("views", {}).items():
        out |= curves(f"{name}/{view}", figures)
    return out
