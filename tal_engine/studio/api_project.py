"""/api/project, /api/labels.*, /api/conflicts: the project as a whole."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any, Literal
from zipfile import ZIP_DEFLATED, ZipFile

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from .. import __version__
from .classes import set_classes
from .label_files import as_csv, as_json
from .project import JOURNAL
from .studio import Studio, studio_of

router = APIRouter(prefix="/api", tags=["project"])

Here = Annotated[Studio, Depends(studio_of)]
#: What a project is elsewhere; features and copies of videos are made again there.
_ZIPPED = (JOURNAL, "labels.csv", "labels.json", "training/result.json", "plans/*.plan")
_PIECE = 1 << 18


class WantedClass(BaseModel):
    """A class as it shall be."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(max_length=200)
    key: str = Field("", max_length=1)
    former: str = Field("", max_length=200)


class Settled(BaseModel):
    """What becomes of a conflict."""

    model_config = ConfigDict(extra="forbid")

    keep: Literal["mine", "theirs", "both"]
    author: str = Field("", max_length=100)


@router.get("/project")
def project(studio: Here) -> dict[str, Any]:
    """Return the project: classes, people, what is odd."""
    with studio.project.lock:
        state = studio.project.state
        return {
            "id": state.project, "name": state.name, "revision": state.revision,
            "classes": [c.document for c in state.classes], "people": list(state.people),
            "held_out": {"videos": list(state.held_out), "why": state.held_out_why}, "conflicts": len(state.conflicts),
            "problems": studio.problems(), "training": studio.about_training(), "exports": list(state.exports),
            "versions": {"tal_engine": __version__},
        }  # fmt: skip


@router.put("/project/classes")
def classes(wanted: list[WantedClass], studio: Here) -> dict[str, Any]:
    """Set the classes: new ones, other names (`former`), other keys."""
    set_classes(studio.project, [w.model_dump() for w in wanted])
    return project(studio)


@router.get("/labels.csv")
def labels_csv(studio: Here) -> Response:
    """Return all labels as a table."""
    with studio.project.lock:
        text = as_csv(studio.project.state)
    return Response(text, media_type="text/csv; charset=utf-8", headers=_named("labels.csv"))


@router.get("/labels.json")
def labels_json(studio: Here) -> Response:
    """Return all labels as JSON."""
    with studio.project.lock:
        text = as_json(studio.project.state)
    return Response(text, media_type="application/json", headers=_named("labels.json"))


@router.get("/project.zip")
def project_zip(studio: Here) -> StreamingResponse:
    """Return the project without videos and without what can be made again."""
    folder = studio.project.folder
    file = TemporaryFile()  # noqa: SIM115 - closed by the response
    with studio.project.lock, ZipFile(file, "w", ZIP_DEFLATED) as out:
        for path in sorted({p for pattern in _ZIPPED for p in folder.glob(pattern)}):
            out.write(path, Path(folder.resolve().name) / path.relative_to(folder))
    file.seek(0)

    def pieces() -> Any:
        with file:
            while piece := file.read(_PIECE):
                yield piece

    name = f"{studio.project.state.name}.studio.zip".encode("ascii", "replace").decode().replace('"', "_")
    return StreamingResponse(pieces(), media_type="application/zip", headers=_named(name))


@router.get("/conflicts")
def conflicts(studio: Here) -> list[dict[str, Any]]:
    """List changes that came too late, and are not settled."""
    return studio.project.conflicts()


@router.post("/conflicts/{conflict}")
def settle(conflict: str, wanted: Settled, studio: Here) -> list[dict[str, Any]]:
    """Settle one; return those that are left."""
    studio.project.settle(conflict, wanted.keep, wanted.author)
    return studio.project.conflicts()


def _named(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
