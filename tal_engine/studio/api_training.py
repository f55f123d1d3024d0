"""/api/training, /api/suggestions, /api/queue: what is learned, what was found, what to look at next."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from ..serve.problems import ProblemError
from .answers import Answer, changes_of
from .api_edits import UUID, conflicted
from .api_videos import labels_of
from .label_files import suggestions_as_csv
from .marked import Mark, explained
from .project import ConflictError
from .questions import Question, Reason
from .studio import Studio, studio_of

router = APIRouter(prefix="/api", tags=["training"])

Here = Annotated[Studio, Depends(studio_of)]


class Action(BaseModel):
    """Begin or stop."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["start", "stop"]


class QuestionBody(BaseModel):
    """A question, as a page was told it."""

    model_config = ConfigDict(extra="ignore")

    video: str = Field(max_length=100)
    start: float = Field(ge=0, allow_inf_nan=False)
    end: float = Field(ge=0, allow_inf_nan=False)
    label: str = Field(max_length=200)
    reason: Reason


class AnswerBody(BaseModel):
    """An answer. start, end, label: where and what it is, where that differs from the question. subject: who does it.

    asked: the question; with it, an answer counts also where a training has replaced its question meanwhile.
    """

    model_config = ConfigDict(extra="forbid")

    answer: Answer
    author: str = Field(min_length=1, max_length=100)
    edit: str = Field(pattern=UUID)
    start: float | None = Field(None, ge=0, allow_inf_nan=False)
    end: float | None = Field(None, ge=0, allow_inf_nan=False)
    label: str | None = Field(None, max_length=200)
    subject: str = Field("", max_length=4000)
    asked: QuestionBody | None = None


@router.get("/training")
def training(studio: Here) -> dict[str, Any]:
    """Say what the trainer does."""
    return studio.trainer.document


@router.post("/training", status_code=202)
def act(wanted: Action, studio: Here) -> dict[str, Any]:
    """Begin to train, or stop."""
    if wanted.action == "start":
        studio.trainer.start()
    else:
        studio.trainer.stop()
    return studio.trainer.document


@router.get("/suggestions")
def suggestions(studio: Here, video: Annotated[str, Query(max_length=100)]) -> dict[str, Any]:
    """Return what was found in a video."""
    studio.video(video)
    return studio.findings.suggestions(video)


@router.get("/suggestions.csv")
def suggestions_csv(studio: Here) -> Response:
    """Return the suggestions of all videos that reach their threshold, as a table that other tools take."""
    with studio.project.lock:
        text = suggestions_as_csv(studio.findings, studio.project.state)
    headers = {"Content-Disposition": 'attachment; filename="suggestions.csv"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/queue")
def queue(studio: Here) -> dict[str, Any]:
    """List what to look at next, best first."""
    with studio.project.lock:
        found = studio.findings.queue(studio.project.state)
        return {"revision": studio.findings.revision, "items": [_item(q) for q in found]}


@router.post("/queue/{question}")
def answer(question: str, wanted: AnswerBody, studio: Here) -> Response:
    """Answer a question: labels are changed as it says, and it does not come back."""
    with studio.project.lock:
        found = studio.findings.queue(studio.project.state)
        asked = next((q for q in found if q.id == question), None)
        known = studio.project.state.edits.get(wanted.edit)
        if known is not None:  # it was answered already, and the page did not hear so
            return JSONResponse({**labels_of(studio, known["video"]), "next": _item(found[0]) if found else None})
        asked = asked or _replaced(question, wanted, studio)
        video = studio.video(asked.video)
        changes, answered = changes_of(asked, wanted.answer, wanted.edit, wanted.start, wanted.end, wanted.label)
        changes = [c if c.label.kind == "nothing" else c.about(wanted.subject) for c in changes]
        try:
            studio.project.edit(
                wanted.edit, wanted.author, video.id, changes, duration=video.duration, answered=answered
            )
        except ConflictError as e:
            return conflicted(studio, video.id, e)
        left = studio.findings.queue(studio.project.state)
    return JSONResponse({**labels_of(studio, video.id), "next": _item(left[0]) if left else None})


def _replaced(question: str, wanted: AnswerBody, studio: Studio) -> Question:
    """Return a question that is asked no more, but that nobody has answered: what was seen there is still true."""
    state, of = studio.project.state, wanted.asked
    if of is not None and question not in state.answered:
        found = Question(of.video, of.start, of.end, of.label, 0.0, of.reason, "", 0.0)
        marks = [Mark(x.start, x.end, x.label) for x in state.of_video(of.video)]
        if found.id == question and not explained((of.start, of.end), marks):
            return found
    raise ProblemError("not-found", f"there is no question {question[:100]!r} (any more)")


def _item(q: Question) -> dict[str, Any]:
    return {
        "id": q.id, "video": q.video, "start": q.start, "end": q.end, "label": q.label, "score": q.score,
        "reason": q.reason, "text": q.text,
    }  # fmt: skip
