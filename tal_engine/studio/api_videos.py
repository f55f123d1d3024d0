"""/api/videos: the list, a video's bytes, when its frames are shown, its labels."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from ..serve.problems import ProblemError
from .library import Video, copies_of, now
from .studio import Studio, studio_of
from .subjects import subjects_of

router = APIRouter(prefix="/api/videos", tags=["videos"])

Here = Annotated[Studio, Depends(studio_of)]
_TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}


#: Most bytes of an answer to a range.
PIECE = 1 << 20
_RANGE = re.compile(rb"bytes=(\d{1,18})-(\d{0,18})")


class VideoChange(BaseModel):
    """What is noted of a video. held_out: to measure on, never learned from."""

    model_config = ConfigDict(extra="forbid")

    done: bool | None = None
    note: str | None = Field(None, max_length=4000)
    held_out: bool | None = None


@router.get("")
def videos(studio: Here) -> dict[str, Any]:
    """List the videos with what is known of each."""
    with studio.project.lock:
        counts = {v: _counted(studio, v) for v in studio.library.videos}
        listed = [_document(studio, v, counts[v.id]) for v in studio.library.videos.values()]
        return {"revision": studio.project.state.revision, "videos": sorted(listed, key=lambda v: v["name"])}


@router.patch("/{video}")
def change(video: str, wanted: VideoChange, studio: Here) -> dict[str, Any]:
    """Note that a video was looked at as a whole, a text, or that it is held out."""
    found = studio.video(video)
    fields = {k: v for k, v in (("done", wanted.done), ("note", wanted.note)) if v is not None}
    with studio.project.lock:
        state = studio.project.state
        if wanted.held_out is not None and wanted.held_out != (video in state.held_out):
            same = copies_of([video], studio.project)  # else heads would learn what they are measured on
            ids = sorted({*state.held_out} | same if wanted.held_out else {*state.held_out} - same)
            studio.project.set("held_out", videos=ids, why=f"{len(ids)} videos, as somebody chose them")
        if fields:
            studio.project.set("watched", id=video, fields=fields)
        return _document(studio, found, _counted(studio, video))


@router.get("/{video}/media")
def media(video: str, request: Request, studio: Here) -> Response:
    """Return the bytes of a video, or of its copy where browsers cannot play it; ranges are answered in pieces."""
    found = studio.video(video)
    path = _played(studio, found)
    try:
        status = path.stat()
    except OSError as e:
        raise ProblemError("not-found", f"{found.name} is not there ({e.strerror})") from e
    request.scope["headers"] = _in_pieces(request.scope["headers"])
    kind = _TYPES.get(path.suffix.lower(), "application/octet-stream")
    return FileResponse(path, media_type=kind, stat_result=status, headers={"Cache-Control": "private, no-cache"})


def _in_pieces(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Shorten a range that is asked for: a browser that pauses reads no further, and asks for the rest when it plays.

    A piece fits into the buffers of a connection, so none stays open that nobody reads.
    """
    out = []
    for name, value in headers:
        found = _RANGE.fullmatch(value) if name == b"range" else None
        if found is not None:
            first = int(found[1])
            last = min(int(found[2]) if found[2] else first + PIECE - 1, first + PIECE - 1)
            value = f"bytes={first}-{last}".encode() if last >= first else value
        out.append((name, value))
    return out


def _played(studio: Studio, video: Video) -> Path:
    """Return the file that a browser plays."""
    if video.path is None or video.problem is not None:
        raise ProblemError("not-found", ": ".join(video.problem or (video.name, "is not there")))
    if video.playable:
        return video.path
    copy = studio.proxies.of.get(video.id) if studio.proxies is not None else None
    if copy is None or copy.state != "ready":
        how = "is being made" if copy is None or copy.state != "failed" else f"cannot be made: {copy.detail}"
        raise ProblemError("not-found", f"browsers cannot play {video.name} ({video.codec}), and its copy {how}")
    return copy.path


@router.get("/{video}/frames")
def frames(video: str, studio: Here) -> dict[str, Any]:
    """Return when each frame is shown."""
    return {"times": [round(t, 6) for t in studio.times(studio.video(video))]}


@router.get("/{video}/labels")
def labels(video: str, studio: Here) -> dict[str, Any]:
    """Return the labels of a video."""
    studio.video(video)
    return labels_of(studio, video)


@router.get("/{video}/subjects")
def subjects(video: str, studio: Here) -> dict[str, Any]:
    """Return whom labels of a video can be about: persons of its skeletons, and names that labels have already."""
    found = subjects_of(studio.video(video), studio.skeletons, studio.project)
    if (problem := found["problem"]) is not None:
        for path, said in studio.hidden().items():
            problem["detail"] = problem["detail"].replace(path, said)
    return found


def labels_of(studio: Studio, video: str) -> dict[str, Any]:
    """Give the labels of a video as they are now."""
    with studio.project.lock:
        state = studio.project.state
        return {"revision": state.revision, "labels": [x.document for x in state.of_video(video)]}


def _counted(studio: Studio, video: str) -> dict[str, dict[str, int]]:
    """Count points and segments by class."""
    counts = Counter((x.label, x.kind) for x in studio.project.state.of_video(video) if x.kind != "nothing")
    return {c: {"points": counts[c, "point"], "segments": counts[c, "segment"]} for c in {c for c, _ in counts}}


def _document(studio: Studio, v: Video, counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    known, copy = studio.project.state.videos[v.id], None
    if studio.proxies is not None:
        copy = studio.proxies.of.get(v.id)
    problem = now(v)
    if problem is None and copy is not None and copy.state == "failed":
        problem = ("Browsers cannot play it, and no copy can be made", copy.detail)
    failed = studio.findings.result.get("failed", {})
    if problem is None and v.id in failed:
        problem = ("Nothing can be learned from it", failed[v.id])
    return {
        "id": v.id, "name": v.name, "duration": v.duration, "fps": v.fps, "frames": v.frames, "width": v.width,
        "height": v.height, "codec": v.codec, "playable": v.playable or (copy is not None and copy.state == "ready"),
        "proxy": "none" if copy is None else copy.state, "progress": 0.0 if copy is None else copy.progress,
        "labels": counts, "told": list(known.told), "held_out": v.id in studio.project.state.held_out,
        "done": known.done, "note": known.note, "suggestions": studio.suggested(v.id),
        "problem": None if problem is None else {"title": problem[0], "detail": problem[1]},
    }  # fmt: skip
