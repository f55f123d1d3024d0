"""Every error a user can meet, what it means for the exit status, and what to do about it."""

from __future__ import annotations

from enum import Enum


class TALError(Exception):
    """Base of all errors of tal_engine; `exit_code` is the command line's exit status."""

    exit_code = 1


class UsageError(TALError, ValueError):
    """An argument is wrong; the message names the value and what is allowed."""

    exit_code = 2


class MissingExtraError(TALError, ImportError):
    """An optional dependency is not installed; the message is the pip command."""

    exit_code = 1


class VideoFault(Enum):
    """The ways a video source can be unusable."""

    MISSING = "missing"
    NO_VIDEOS = "no_videos"
    NOT_A_VIDEO = "not_a_video"
    NO_VIDEO_STREAM = "no_video_stream"
    NO_FRAMES = "no_frames"
    BAD_FRAMES = "bad_frames"


class VideoError(TALError):
    """A video source cannot be used."""

    exit_code = 5

    def __init__(self, fault: VideoFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class SourceError(TALError):
    """A live source cannot be reached or gives no video; the message names it, without passwords."""

    exit_code = 5


class FeatureError(TALError):
    """Features, activations or annotations are not what their user needs."""


class FlowError(TALError):
    """Stored optical flow is missing, cannot be read, or does not belong to its video."""

    exit_code = 5


class SinkError(TALError):
    """A result cannot be written or sent; the message names the file or the receiver."""


class SnapshotError(TALError):
    """A stream's snapshot is missing, damaged, or belongs to another plan, source or options."""


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


class PlanError(TALError):
    """A plan cannot be used; `fault` says in which way."""

    def __init__(self, fault: PlanFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault
        if fault is PlanFault.NEWER_SCHEMA:
            self.exit_code = 4


class BackendError(TALError):
    """The plan cannot run on this machine as asked."""

    exit_code = 4


class ExportError(TALError):
    """A checkpoint could not be turned into a plan."""


class ParityError(ExportError):
    """The exported graph does not give what the network gives; nothing was written."""

    exit_code = 3


class CheckpointError(TALError):
    """A checkpoint is incomplete or belongs to something else."""


class TrainingError(TALError):
    """Training cannot go on; the message names the loss term and the step."""


def require(ok: bool, what: str, value: object, allowed: str) -> None:
    """Refuse an option that makes no sense.

    Raises:
        UsageError: not `ok`; it says "`what` is `value`, must be `allowed`".
    """
    if not ok:
        raise UsageError(f"{what} is {value!r}, must be {allowed}")
