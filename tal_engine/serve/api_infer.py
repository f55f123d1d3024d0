"""/v2: heads by the Open Inference Protocol (KServe v2), so that clients of Triton and KServe need no change.

The head of the plan NAME is the model NAME_head, as in a model repository of `tal export triton`: features [B, T, D] by
stream in, activations out. Waiting requests share a call of the graph.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from .. import __version__
from ..errors import UsageError
from ..plan.archive import Plan
from ..plan.fields import Tensor
from .problems import unavailable
from .service import Service, nothing_like, service_of
from .tensors import DTYPE, LENGTH_HEADER, request_of, response_of

router = APIRouter(prefix="/v2", tags=["inference"])

_HEAD = "_head"
VERSION = "1"
Here = Annotated[Service, Depends(service_of)]

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object", "required": ["inputs"],
                    "properties": {
                        "id": {"type": "string"},
                        "inputs": {
                            "type": "array",
                            "items": {
                                "type": "object", "required": ["name", "shape", "datatype"],
                                "properties": {
                                    "name": {"type": "string"}, "datatype": {"type": "string", "enum": [DTYPE]},
                                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
                                    "data": {"type": "array", "items": {"type": "number"}},
                                },
                            },
                        },
                    },
                }
            }
        },
    }
}  # fmt: skip


@router.get("")
async def server() -> dict[str, Any]:
    """Return what the server is."""
    return {"name": "tal_engine", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live")
async def live() -> dict[str, Any]:
    """Say that the server runs."""
    return {"live": True}


@router.get("/health/ready")
async def ready(service: Here) -> dict[str, Any]:
    """Say whether the server takes work."""
    service.check_open()
    return {"ready": True}


@router.get("/models/{model}")
@router.get("/models/{model}/versions/{version}")
async def metadata(model: str, service: Here, version: str = VERSION) -> dict[str, Any]:
    """Return the inputs and outputs of a model."""
    plan = await asyncio.to_thread(service.plans.manifest_at, *_known(model, version, service))
    head = plan.manifest.head
    return {
        "name": model, "versions": [VERSION], "platform": "onnxruntime_onnx",
        "inputs": [_described(t) for t in head.inputs], "outputs": [_described(t) for t in head.outputs],
    }  # fmt: skip


@router.get("/models/{model}/ready")
@router.get("/models/{model}/versions/{version}/ready")
async def model_ready(model: str, service: Here, version: str = VERSION) -> dict[str, Any]:
    """Say whether a model can be used."""
    await asyncio.to_thread(service.plans.manifest_at, *_known(model, version, service))
    if service.draining.is_set():
        raise unavailable("the service is being stopped")
    return {"name": model, "ready": True}


@router.post("/models/{model}/infer", openapi_extra=_BODY)
@router.post("/models/{model}/versions/{version}/infer", openapi_extra=_BODY)
async def infer(model: str, request: Request, service: Here, version: str = VERSION) -> Response:
    """Run a head on features."""
    service.check_open()
    known = _known(model, version, service)
    with service.uploads:
        body = await request.body()
        length = request.headers.get(LENGTH_HEADER)
        text, size = await asyncio.to_thread(_run, model, known, body, length, service)
    headers = {} if size is None else {LENGTH_HEADER: str(size)}
    kind = "application/json" if size is None else "application/octet-stream"
    return Response(text, headers=headers, media_type=kind)


@router.post("/repository/index")
async def index(service: Here) -> JSONResponse:
    """List the models, as Triton does."""
    unusable = await asyncio.to_thread(service.plans.unusable)
    names = await asyncio.to_thread(service.plans.names)
    states = {n: {"state": "UNAVAILABLE", "reason": why} for n, why in unusable.items()}
    return JSONResponse(
        [{"name": f"{n}{_HEAD}", "version": VERSION, **states.get(n, {"state": "READY"})} for n in names]
    )


def _run(
    model: str, known: tuple[str, Path], body: bytes, length: str | None, service: Service
) -> tuple[bytes, int | None]:
    document, given = request_of(body, length)
    loaded = service.plans.model_at(*known)
    feeds = _checked(given, loaded.plan, service)
    return response_of(model, document, loaded.infer(feeds))


def _checked(given: dict[str, NDArray[np.float32]], plan: Plan, service: Service) -> dict[str, NDArray[np.float32]]:
    """Refuse tensors that the head does not read.

    Raises:
        UsageError: the message says what it reads.
    """
    tensors = plan.manifest.head.inputs
    reads = ", ".join(f"{t.name} {_shape(t)}" for t in tensors)
    if sorted(given) != sorted(t.name for t in tensors):
        raise UsageError(f"inputs are {', '.join(sorted(given))[:200] or 'none'}, must be {reads}")
    free: dict[str, int] = {}
    for tensor in tensors:
        shape = given[tensor.name].shape
        fits = len(shape) == len(tensor.shape)
        for wanted, size in zip(tensor.shape, shape, strict=False):
            fits = fits and size == (wanted if isinstance(wanted, int) else free.setdefault(wanted, size))
        if not fits:
            raise UsageError(
                f"input {tensor.name!r} is {list(shape)}, must be {_shape(tensor)}, the same for all inputs"
            )
    most = service.options.limits.max_snippets
    if any(size > most for size in free.values()):
        raise UsageError(f"an input has {max(free.values())} rows, at most {most} are taken")
    return given


def _known(model: str, version: str, service: Service) -> tuple[str, Path]:
    """Return name and file of the plan of a model, by one look at the file.

    Raises:
        ProblemError: there is no such model.
    """
    name = model.removesuffix(_HEAD)
    path = service.plans.find(name) if model.endswith(_HEAD) and version == VERSION else None
    if path is None:
        raise nothing_like("model", model if version == VERSION else f"{model} version {version}")
    return name, path


def _shape(tensor: Tensor) -> list[int]:
    return [d if isinstance(d, int) else -1 for d in tensor.shape]


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": DTYPE, "shape": _shape(tensor)}
