"""/label-studio: the protocol of Label Studio's ML backends: predictions for its editor, training by its webhooks.

Label Studio is given the address of this service with /label-studio behind it. Videos are fetched from allowed
addresses only, or from the Label Studio that the operator named (--label-studio, its key in LABEL_STUDIO_API_KEY): a
key or an address in a request is not used.

Source of the protocol: HumanSignal/label-studio-ml-backend (api.py) and label-studio (ml/api_connector.py), of which
answers to /setup, /predict and /webhook are read by their fields.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any
from urllib.parse import urljoin, urlsplit

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ..annotations.formats.frame_clock import FrameClock
from ..annotations.formats.label_studio import region
from ..annotations.formats.table import Annotation
from ..results import Localization
from .api_localize import waited
from .labelling_config import LabellingConfig, parse_config
from .problems import ProblemError
from .service import Service, service_of
from .task import Task
from .wanted import Wanted

router = APIRouter(prefix="/label-studio", tags=["label studio"])

#: Events of webhooks that train anew; Label Studio sends the last one for its button.
TRAIN_EVENTS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATION_DELETED", "START_TRAINING")
_MOST_TASKS = 64

Here = Annotated[Service, Depends(service_of)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class SetUp(_Lenient):
    """A project is connected."""

    project: str | int | None = None
    labelling: str = Field("", alias="schema", max_length=1 << 20)


class LabelTask(_Lenient):
    """A task of Label Studio."""

    id: int | str | None = None
    data: dict[str, Any]


class Predict(_Lenient):
    """Tasks to predict."""

    tasks: list[LabelTask] = Field(max_length=_MOST_TASKS)
    label_config: str = Field(max_length=1 << 20)


class Webhook(_Lenient):
    """Something happened in a project."""

    action: str = Field("START_TRAINING", max_length=100)


@router.get("/health")
@router.get("/")
async def health(service: Here) -> dict[str, Any]:
    """Say that the backend is there."""
    return {"status": "UP", "model_class": "tal_engine", "plan": service.plans.default}


@router.post("/setup")
async def setup(wanted: SetUp, service: Here) -> dict[str, Any]:
    """Take a project's labelling set-up; it is looked at, and comes again with each prediction."""
    if wanted.labelling:
        parse_config(wanted.labelling)
    return {"model_version": await _version(service)}


@router.post("/predict")
async def predict(wanted: Predict, request: Request, service: Here) -> dict[str, Any]:
    """Predict the timelines of tasks, with the default plan."""
    config, version = parse_config(wanted.label_config), await _version(service)
    until = time.monotonic() + service.options.deadline
    results = [await _predicted(task, config, version, request, service, until) for task in wanted.tasks]
    return {"results": results, "model_version": version}


@router.post("/webhook", status_code=201)
async def webhook(event: Webhook, service: Here) -> dict[str, Any]:
    """Start the operator's training command, if there is one, and this event trains."""
    if event.action not in TRAIN_EVENTS:
        return {"status": "ignored", "action": event.action}
    return await _train(service)


@router.post("/train", status_code=201)
async def train(service: Here) -> dict[str, Any]:
    """Start the operator's training command, as Label Studio before 1.5 asks."""
    return await _train(service)


@router.get("/is_training")
async def is_training(service: Here) -> dict[str, Any]:
    """Say whether the training command runs."""
    return {"is_training": service.training.running, **service.training.document}


async def _train(service: Service) -> dict[str, Any]:
    service.check_open()
    if not service.training.configured:
        return {"status": "no training command is configured (--fit-command)"}
    started = await asyncio.to_thread(service.training.start)
    return {"status": "started" if started else "runs already", "result": service.training.document}


async def _version(service: Service) -> str:
    name, plan = await asyncio.to_thread(service.plans.manifest, None)
    return f"{name}-{plan.sha256[:12]}"


async def _predicted(
    task: LabelTask, config: LabellingConfig, version: str, request: Request, service: Service, until: float
) -> dict[str, Any]:
    """Localize the video of a task, and return its prediction."""
    video = task.data.get(config.data)
    if not isinstance(video, str):
        raise ProblemError("invalid-request", f"task {task.id}: its data has no text {config.data!r}")
    url, headers = _place(video, service)
    limit = max(until - time.monotonic(), 0.1)
    work = Task(Wanted(service.plans.default, video[:200], url), None, until=until, headers=headers)
    service.workers.submit(work)
    return prediction(await waited(request, service, work, limit), config, version)


def _place(video: str, service: Service) -> tuple[str, dict[str, str]]:
    """Return the address of a task's video, and what the operator's Label Studio wants in the header for its own."""
    base, key = service.options.label_studio, service.options.label_studio_key
    if not base:
        return service.allowed.address(video), {}
    url, home = urljoin(base.rstrip("/") + "/", video), urlsplit(base)
    place = urlsplit(url)
    if (place.scheme, place.netloc) != (home.scheme, home.netloc):
        return service.allowed.address(url), {}
    return url, {"Authorization": f"Token {key}"} if key else {}


def prediction(result: Localization, config: LabellingConfig, version: str) -> dict[str, Any]:
    """Return the prediction of a task: a region for each segment whose label the project has."""
    clock = FrameClock(config.fps)
    rows = [
        Annotation(result.info.source, s.label, s.start, s.end, "", min(max(s.score, 0.0), 1.0), "")
        for s in result.by_time()
        if s.label in config.labels
    ]
    scores = [r.score or 0.0 for r in rows]
    regions = [region(k, r, clock, config.from_name, config.to_name) for k, r in enumerate(rows, 1)]
    return {"result": regions, "score": sum(scores) / max(len(scores), 1), "model_version": version}
