"""``tal plan people``: the plan for people that ships with the package, as a file that takes videos."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .._util.files import check_free
from ..plan.archive import write_plan
from .console import errors


class Landmarks(StrEnum):
    """Sizes of BlazePose's landmark network."""

    lite = "lite"
    full = "full"


def people(
    output: Annotated[Path, typer.Option("--output", "-o", help="The plan to write.")] = Path("people.plan"),
    landmarks: Annotated[Landmarks, typer.Option(help="full is slower and a little closer.")] = Landmarks.lite,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write the plan for people: 18 everyday actions and exercises, by pose (docs/people.md says how well)."""
    from ..pose.plans import people_plan

    check_free(output, overwrite=overwrite)
    write_plan(output, people_plan(landmarks.value))
    errors.print(f"wrote {output}; next: tal localize VIDEO --plan {output}")
