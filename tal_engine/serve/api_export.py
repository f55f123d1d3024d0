"""/v1/jobs/{id}/export: a part of a job's result, as somebody chose it on the page, in any form of a result."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from ..records import Segment
from ..results import Localization
from .problems import ProblemError
from .rendering import MEDIA_TYPES, ResultFormat, rendered, restored
from .service import Service, nothing_like, service_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Score = Annotated[float, Field(allow_inf_nan=False)]


class Choice(BaseModel):
    """Which segments of a result are wanted, and in which form."""

    model_config = ConfigDict(extra="forbid")

    format: ResultFormat = Field(ResultFormat.json, description="Form of the result.")
    min_score: Score | None = Field(None, description="Least score of classes without one of their own.")
    floors: dict[str, Score] = Field(default_factory=dict, max_length=10_000, description="Least score by class.")
    top_k: int = Field(0, ge=0, lt=2**31, description="Most segments of the whole video, best first; 0: all.")
    start: Score | None = Field(None, description="Only what ends after it, seconds.")
    end: Score | None = Field(None, description="Only what starts before it, seconds.")

    def of(self, segments: Iterable[Segment]) -> list[Segment]:
        """Return the segments that are wanted. The part of the video comes last, so that it changes no other choice.

        Args:
            segments: best first.
        """
        enough = [s for s in segments if s.score >= self.floors.get(s.label, self._usual)][: self.top_k or None]
        start = -math.inf if self.start is None else self.start
        end = math.inf if self.end is None else self.end
        return [s for s in enough if s.end > start and s.start < end]

    @property
    def _usual(self) -> float:
        return -math.inf if self.min_score is None else self.min_score


@router.post(
    "/{id}/export",
    responses={200: {"description": "The segments.", "content": {t: {} for t in sorted(set(MEDIA_TYPES.values()))}}},
    response_class=Response,
)
async def export(id: str, choice: Choice, service: Annotated[Service, Depends(service_of)]) -> Response:  # noqa: A002
    """Return segments of a job that is done: those with enough score, in a part of the video; 409 before."""
    job = await asyncio.to_thread(service.store.get, id)
    if job is None:
        raise nothing_like("job", id)
    document = await asyncio.to_thread(service.store.result, id)
    if document is None:
        raise ProblemError("conflict", f"the job is {job.state}, must be done", {"Retry-After": "1"})

    def chosen() -> str:
        whole = restored(document)
        return rendered(Localization(choice.of(whole), whole.info, whole.vocabulary), choice.format)

    return Response(await asyncio.to_thread(chosen), media_type=MEDIA_TYPES[choice.format])
