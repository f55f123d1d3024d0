"""Every error a user can meet, what it means for the exit status, and what to do about it."""

from __future__ import annotations

import errno as codes
import os
from enum import Enum
from typing import Any, Generic, Self, TypeVar

#: Exit status where an input is missing or cannot be reached, whatever it is.
UNAVAILABLE = 5

F = TypeVar("F", bound=Enum)


class TALError(Exception):
    """Base of all errors of tal_engine; `exit_code` is the command line's exit status.

    >>> from tal_engine import TALEngine, TALError
    >>> try:
    ...     TALEngine.load("no.plan")
    ... except TALError as error:
    ...     print(error.exit_code, type(error).__name__, isinstance(error, FileNotFoundError))
    5 MissingPlanError True
    """

    exit_code = 1

    def missing(self, path: object = None) -> TALError:
        """Return the same error as a `FileNotFoundError` too, with the exit status of a missing input.

        Its `errno` is ENOENT, and its `filename` the path.
        """
        return self.because(FileNotFoundError(codes.ENOENT, os.strerror(codes.ENOENT), path))

    def because(self, e: OSError, path: object = None) -> TALError:
        """Return the same error as `FileNotFoundError` or `PermissionError` too, as the system refused a file.

        Args:
            e: what the system said; errors of other kinds change the exit status only.
            path: of the file; default: the error's.
        """
        kinds = next((kinds for base, kinds in _BY_SYSTEM.items() if isinstance(e, base)), {})
        base = getattr(type(self), "plain", type(self))
        name = e.filename if path is None else path
        return _restored(kinds.get(base, base), self._arguments(), e.errno, None if name is None else str(name))

    def _arguments(self) -> tuple[Any, ...]:
        """Return what it was made of."""
        return self.args


class UsageError(TALError, ValueError):
    """An argument is wrong; the message names the value and what is allowed.

    >>> from tal_engine import NmsOptions
    >>> NmsOptions(threshold=2.0)
    Traceback (most recent call last):
    tal_engine.errors.UsageError: threshold is 2.0, must be in [0, 1]
    """

    exit_code = 2


class MissingExtraError(TALError, ImportError):
    """An optional dependency is not installed; the message is the pip command.

    >>> from tal_engine.errors import MissingExtraError
    >>> issubclass(MissingExtraError, ImportError)
    True
    """

    exit_code = 1


class VideoFault(Enum):
    """The ways a video source can be unusable."""

    MISSING = "missing"
    NO_VIDEOS = "no_videos"
    NOT_A_VIDEO = "not_a_video"
    NO_VIDEO_STREAM = "no_video_stream"
    NO_FRAMES = "no_frames"
    BAD_FRAMES = "bad_frames"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"


class _FaultyError(TALError, Generic[F]):
    """An error whose `fault` says in which way something is wrong."""

    def __new__(cls, fault: F, message: str) -> Self:
        """Create an error that is a `FileNotFoundError` too if the file is missing."""
        if fault in (VideoFault.MISSING, PlanFault.MISSING_FILE) and cls in _MISSING:
            missing: Self = _absent(_MISSING[cls](fault, message))
            return missing
        return super().__new__(cls, message)

    def __init__(self, fault: F, message: str) -> None:
        super().__init__(message)
        self.fault = fault

    def _arguments(self) -> tuple[F, str]:
        return self.fault, str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments()


class VideoError(_FaultyError[VideoFault]):
    """A video source cannot be used; `fault` says in which way.

    >>> from tal_engine import open_video
    >>> open_video("no.mp4")
    Traceback (most recent call last):
    tal_engine.errors.MissingVideoError: no.mp4: no such file
    """

    exit_code = 5


class SourceError(TALError):
    """A live source cannot be reached or gives no video; the message names it, without passwords.

    >>> from tal_engine import open_live
    >>> with open_live("no.mp4") as source:
    ...     list(source.frames())
    Traceback (most recent call last):
    tal_engine.errors.MissingSourceError: no.mp4: no such file
    """

    exit_code = 5


class FeatureError(TALError):
    """Features or activations do not fit the head that reads them.

    >>> import numpy as np
    >>> from tal_engine import Features, Timeline
    >>> Features({"rgb": np.zeros(3, np.float32)}, Timeline(0.0, 0.64, 0.64), 2.0)
    Traceback (most recent call last):
    tal_engine.errors.FeatureError: features must be [T, D] arrays by stream name; rgb has shape [3]
    """


class DataError(FeatureError):
    """An annotation, detection, event or data set file is malformed; the message names file and place.

    A `FeatureError` too, as such errors were in 0.1; that ends with 0.3.

    >>> from tal_engine import Event
    >>> Event.from_json('{"schema": "tal.event/2"}')
    Traceback (most recent call last):
    tal_engine.errors.DataError: event: field 'kind' is missing
    """


class FlowError(TALError):
    """Stored optical flow is missing, cannot be read, or does not belong to its video.

    >>> from tal_engine.errors import FlowError, TALError
    >>> issubclass(FlowError, TALError), FlowError.exit_code
    (True, 5)
    """

    exit_code = 5


class SinkError(TALError):
    """A result cannot be written or sent; the message names the file or the receiver.

    >>> from tal_engine.errors import SinkError, TALError
    >>> issubclass(SinkError, TALError), SinkError.exit_code
    (True, 1)
    """


class StateError(TALError):
    """An object was used after it was closed, or after it failed; the message names the remedy.

    >>> from tal_engine import TALEngine
    >>> engine = TALEngine.load()
    >>> engine.close()
    >>> engine.localize("my.mp4")
    Traceback (most recent call last):
    tal_engine.errors.StateError: ...
    """


class SnapshotError(TALError):
    """A stream's snapshot is missing, damaged, or belongs to another plan, source or options.

    >>> from tal_engine import TALEngine
    >>> TALEngine.load().open_stream("door").restore("no.npz")
    Traceback (most recent call last):
    tal_engine.errors.MissingSnapshotError: no.npz: no such snapshot
    """


class PlanFault(Enum):
    """The ways a plan can be wrong."""

    MISSING_FILE = "missing_file"
    NOT_A_PLAN = "not_a_plan"
    BAD_MANIFEST = "bad_manifest"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    BAD_VALUE = "bad_value"
    NEWER_SCHEMA = "newer_schema"
    MISSING_MEMBER = "missing_member"
    UNLISTED_MEMBER = "unlisted_member"
    WRONG_HASH = "wrong_hash"
    BAD_GRAPH = "bad_graph"
    NO_ENCODER = "no_encoder"
    NO_TEXTS = "no_texts"
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad_signature"
    UNREADABLE = "unreadable"


class PlanError(_FaultyError[PlanFault]):
    """A plan cannot be used; `fault` says in which way.

    >>> from tal_engine import read_plan
    >>> read_plan("no.plan")
    Traceback (most recent call last):
    tal_engine.errors.MissingPlanError: no.plan: no such plan
    """

    def __init__(self, fault: PlanFault, message: str) -> None:
        super().__init__(fault, message)
        if fault is PlanFault.NEWER_SCHEMA:
            self.exit_code = 4
        elif fault in (PlanFault.UNSIGNED, PlanFault.BAD_SIGNATURE):
            self.exit_code = 3  # a gate that its user has set refuses it
        elif fault is PlanFault.UNREADABLE:
            self.exit_code = UNAVAILABLE


class BackendError(TALError):
    """The plan cannot run on this machine as requested.

    >>> from tal_engine.errors import BackendError
    >>> BackendError.exit_code
    4
    """

    exit_code = 4


class GraphTimeoutError(BackendError):
    """A graph took longer than its limit; the message says whether it can be used again.

    >>> from tal_engine.errors import BackendError, GraphTimeoutError
    >>> issubclass(GraphTimeoutError, BackendError)
    True
    """


class ExportError(TALError):
    """A checkpoint could not be turned into a plan.

    >>> from tal_engine.errors import ExportError
    >>> ExportError.exit_code
    1
    """


class ParityError(ExportError):
    """The exported graph differs from the network; nothing was written.

    >>> from tal_engine.errors import ParityError
    >>> ParityError.exit_code
    3
    """

    exit_code = 3


class CheckpointError(TALError):
    """A checkpoint is incomplete, damaged, or belongs to something else.

    >>> from tal_engine.errors import CheckpointError
    >>> CheckpointError.exit_code
    1
    """


class TrainingError(TALError):
    """Training cannot continue; the message names the loss term and the step.

    >>> from tal_engine.errors import TrainingError
    >>> TrainingError.exit_code
    1
    """


class FitError(TALError):
    """`tal fit` cannot make a plan that works of these videos and labels; the message says what would help."""

    exit_code = 3


class ServiceError(TALError):
    """A service (`tal serve`) answered an error, or none at all.

    status: of HTTP; 0 if it did not answer. kind: of the problem, such as "busy". retry_after: seconds after which the
    service wants to be asked again; None if it did not say.

    >>> from tal_engine.errors import ServiceError
    >>> error = ServiceError("64 requests and jobs wait already", 429, "busy", 5.0)
    >>> error.status, error.kind, error.retry_after
    (429, 'busy', 5.0)
    """

    def __init__(self, message: str, status: int = 0, kind: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.retry_after = status, kind, retry_after
        self.exit_code = UNAVAILABLE if status in (0, 503) else 1

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.status, self.kind, self.retry_after)


def require(ok: bool, what: str, value: object, allowed: str) -> None:
    """Raise an error unless an option is within its range.

    Raises:
        UsageError: not `ok`; the message is "`what` is `value`, must be `allowed`".
    """
    if not ok:
        raise UsageError(f"{what} is {value!r}, must be {allowed}")


def _restored(kind: type[Any], arguments: tuple[Any, ...], errno: int | None, filename: str | None) -> TALError:
    """Return an error of a kind that knows which file it is of."""
    found: TALError = kind(*arguments)
    found.exit_code = UNAVAILABLE
    if isinstance(found, OSError):
        found.errno, found.filename = errno, filename
    return found


def _absent(e: Any) -> Any:
    e.errno = codes.ENOENT
    return e


def _reduced(e: Any) -> tuple[Any, ...]:
    return _restored, (type(e), e._arguments(), e.errno, e.filename)


def _system_kind(prefix: str, kind: type[TALError], system: type[OSError], why: str) -> type[Any]:
    """Derive the error class of a kind for files that the system does not give."""
    names = {
        "__doc__": f"A `{kind.__name__}` because {why}.",
        "__module__": __name__,
        "__str__": BaseException.__str__,  # the message as it is, without the number that OSError puts before
        "__reduce__": _reduced,
        "exit_code": UNAVAILABLE,
        "plain": kind,
    }
    return type(f"{prefix}{kind.__name__}", (kind, system), names)


_KINDS: tuple[type[TALError], ...] = (
    UsageError, VideoError, SourceError, FeatureError, DataError, FlowError, SnapshotError, PlanError, CheckpointError,
)  # fmt: skip
#: By kind of error; also names of this module, since errors travel between processes.
_MISSING = {kind: _system_kind("Missing", kind, FileNotFoundError, "a file is not there") for kind in _KINDS}
_FORBIDDEN = {kind: _system_kind("Forbidden", kind, PermissionError, "a file may not be read") for kind in _KINDS}
_BY_SYSTEM: dict[type[OSError], dict[type[TALError], type[Any]]] = {
    FileNotFoundError: _MISSING,
    PermissionError: _FORBIDDEN,
}
globals().update({found.__name__: found for kinds in _BY_SYSTEM.values() for found in kinds.values()})
