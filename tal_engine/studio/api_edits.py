"""/api/edits and /api/events: changes of labels, and what pages are told of those of others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..serve.event_log import told
from ..serve.event_stream import EventStream, message
from ..serve.problems import MEDIA_TYPE, ProblemError
from .api_videos import labels_of
from .labels import Change, Label
from .project import ConflictError
from .studio import Studio, studio_of

router = APIRouter(prefix="/api", tags=["edits"])

Here = Annotated[Studio, Depends(studio_of)]
_MOST_CHANGES = 5000
UUID = r"^[A-Za-z0-9_-]{8,64}$"


class LabelBody(BaseModel):
    """A label; the server knows better who edited it and when."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(min_length=1, max_length=100)
    video: str = Field("", max_length=100)
    kind: Literal["point", "segment", "nothing"] = "point"
    start: float = Field(0.0, allow_inf_nan=False)
    end: float = Field(0.0, allow_inf_nan=False)
    label: str = Field("", max_length=200)
    subject: str = Field("", max_length=4000)
    note: str = Field("", max_length=4000)


class ChangeBody(BaseModel):
    """A change of a label; base: its revision, as the page knows it."""

    model_config = ConfigDict(extra="forbid")

    op: Literal["add", "change", "remove"]
    label: LabelBody
    base: int = Field(0, ge=0)


class EditBody(BaseModel):
    """Changes of labels of one video that are made together.

    takes_back, answers_again: the edit of an answer to a question, which is undone or made again with them.
    """

    model_config = ConfigDict(extra="forbid")

    edit: str = Field(pattern=UUID)
    author: str = Field(min_length=1, max_length=100)
    video: str = Field(max_length=100)
    changes: list[ChangeBody] = Field(max_length=_MOST_CHANGES)
    takes_back: str = Field("", max_length=64)
    answers_again: str = Field("", max_length=64)

    @model_validator(mode="after")
    def _says_something(self) -> EditBody:
        if not (self.changes or self.takes_back or self.answers_again):
            raise ValueError("changes is empty, must have at least one change")
        return self


@router.post("/edits")
def edits(wanted: EditBody, studio: Here) -> Response:
    """Change labels; answered once it is on the disk. The same edit again is not made again."""
    found = studio.video(wanted.video)
    changes = [Change(c.op, _label(c.label, wanted.video), c.base) for c in wanted.changes]
    try:
        studio.project.edit(
            wanted.edit, wanted.author, wanted.video, changes, duration=found.duration,
            answered=_again(studio, wanted.answers_again), took_back=wanted.takes_back,
        )  # fmt: skip
    except ConflictError as e:
        return conflicted(studio, wanted.video, e)
    return JSONResponse(labels_of(studio, wanted.video))


def _again(studio: Studio, edit: str) -> dict[str, Any] | None:
    """Return the answer that an edit gave, unless somebody has answered its question since."""
    state = studio.project.state
    note: dict[str, Any] | None = state.edits.get(edit, {}).get("answer")
    return None if note is None or note["id"] in state.answered else note


def conflicted(studio: Studio, video: str, error: ConflictError) -> Response:
    """Answer that some changes came too late: what they are, and how the labels are now."""
    problem = ProblemError("conflict", f"{len(error.conflicts)} changes came too late: somebody else was first")
    conflicts = [{"id": c["id"], "label": c["mine"]["id"], "op": c["op"], "theirs": c["theirs"], "yours": c["mine"]}
                 for c in error.conflicts]  # fmt: skip
    document = {**problem.document, **labels_of(studio, video), "conflicts": conflicts}
    return JSONResponse(document, problem.status, media_type=MEDIA_TYPE)


def _label(body: LabelBody, video: str) -> Label:
    return Label(**{**body.model_dump(), "video": body.video or video})


@router.get("/events", response_class=EventStream)
async def events(
    studio: Here,
    after: Annotated[str, Query(max_length=64, description="Id of the last event that is known.")] = "",
    last_event_id: Annotated[str, Header(max_length=64, description="The same, as browsers give it.")] = "",
) -> EventStream:
    """Tell what happens as server-sent events; `gap` says how many are not kept any more."""
    return EventStream(_sent(studio, last_event_id or after), studio.listeners)


async def _sent(studio: Studio, after: str) -> AsyncIterator[str]:
    log = studio.log
    # A page that comes for the first time has just read everything: it is told what comes from now on.
    async for missed, number, one in told(log, after or log.last_id):
        if missed:
            yield message(json.dumps({"missed": missed}), "gap")
        if one is None:
            yield ": \n\n"
        else:
            yield message(json.dumps(dict(one.event.fields)), one.event.kind, f"{log.epoch}-{number}")
