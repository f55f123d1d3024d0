"""``tal batch``: an archive of videos in, tables out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .._util.redaction import redact
from ..batch.archive.listing import listed
from ..batch.archive.run import ArchiveOptions, Outcomes, Summary, Tell, localize_archive
from ..batch.archive.tables import Outcome
from ..errors import UsageError
from ..limits import MAX_PIXELS, MAX_SNIPPETS, Limits
from .console import complain, errors, stdout
from .inputs import MaxPixels, MaxSnippets
from .progress import bars
from .shared import Classes, Conf, Device, Json, Key, PlanOption, Quiet, RawScores, Threads, Timeout

_CLUSTER = "Several machines"
#: Videos that failed in an earlier run and are named.
_SHOWN = 5


class AlsoForm(StrEnum):
    """Files that each video may have beside the tables."""

    json = "json"
    vtt = "vtt"
    srt = "srt"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("batch")(batch)


def batch(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Videos, folders, patterns, lists (.txt), tables (.csv, .tsv, .parquet), addresses (s3://bucket/*.mp4)."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="Folder or address of the tables; a run goes on there.", rich_help_panel="Outputs"
        ),
    ],
    plan: PlanOption = None,
    classes: Classes = None,
    column: Annotated[
        str | None,
        typer.Option(
            help="Column of the tables that holds the videos; default: video, path, address, ...",
            rich_help_panel="What is done",
        ),
    ] = None,
    also: Annotated[
        list[AlsoForm] | None,
        typer.Option(help="A file for each video beside the tables; repeatable.", rich_help_panel="Outputs"),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            help="Processes; 0: one for each core. On Ray actors; 0: all that there is room for.",
            rich_help_panel="Machine",
        ),
    ] = 0,
    threads: Threads = 1,
    tries: Annotated[
        int, typer.Option(min=1, help="How often a video that fails is tried.", rich_help_panel="What is done")
    ] = 2,
    every: Annotated[
        int,
        typer.Option(
            min=1, help="Videos of a part; a killed run does at most so many again.", rich_help_panel="What is done"
        ),
    ] = 64,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="Try videos again that failed in an earlier run.", rich_help_panel="What is done"
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run on Ray: local (this machine), auto (its cluster), HOST:PORT.",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(min=0, help="GPUs of a worker on Ray; a fraction shares one.", rich_help_panel=_CLUSTER),
    ] = None,
    split: Annotated[
        float,
        typer.Option(
            min=0,
            help="On Ray, several workers encode a video longer than so many seconds; 0: none is split.",
            rich_help_panel=_CLUSTER,
        ),
    ] = 0.0,
    conf: Conf = None,
    topk: Annotated[
        int | None, typer.Option(help="At most so many segments a video; 0 keeps all.", rich_help_panel="What is found")
    ] = None,
    raw_scores: RawScores = False,
    device: Device = "auto",
    max_pixels: MaxPixels = MAX_PIXELS,
    max_snippets: MaxSnippets = MAX_SNIPPETS,
    timeout: Timeout = 0.0,
    key: Key = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Localize an archive into tables of segments and videos (Parquet), by several processes or on Ray.

    Run it again to go on: videos that are there and unchanged are left out. After Ctrl-C, or kill -9 of any process,
    every video is in the tables once when a later run has ended. docs/archives.md has queries.
    """
    pool = _on_ray(ray, gpus, split)
    items = listed(sources, column)
    options = ArchiveOptions(
        workers=workers, threads=threads, tries=tries, every=every, retry_failed=retry_failed, device=device,
        also=tuple(form.value for form in also or ()),
        timeout=timeout, key=key, limits=Limits(max_pixels=max_pixels, max_snippets=max_snippets),
        min_score=conf, top_k=topk, calibrated=not raw_scores,
    )  # fmt: skip
    with bars(not quiet) as tell, _with_classes(plan, classes, options) as (chosen, options):
        try:
            summary = localize_archive(items, chosen, output, options, _said(tell), pool)
        except KeyboardInterrupt:
            errors.print(f"stopped; what was localized is in {redact(output)}: run it again to go on")
            raise
    _finish(summary, output, as_json, quiet)


@contextmanager
def _with_classes(
    plan: Path | None, classes: str | None, options: ArchiveOptions
) -> Iterator[tuple[str | None, ArchiveOptions]]:
    """Give the path of the plan of these classes, and the options to open it with; workers read it like any other.

    Its segments have an ID of their own, and the same classes the same one: a run goes on.
    """
    if classes is None:
        yield None if plan is None else str(plan), options
        return
    from ..plan.archive import write_plan
    from ..pose.plans import open_plan
    from ..texts.classes import parse_classes
    from ..texts.plans import with_classes

    made = with_classes(open_plan(plan, key=options.key), parse_classes(classes), keep_tower=False)
    with tempfile.TemporaryDirectory(prefix="tal-classes-") as folder:
        path = Path(folder) / f"{made.manifest.name}.plan"
        write_plan(path, made)
        yield str(path), replace(options, key=None)  # the signature was of the plan it was made of


def _on_ray(
    address: str | None, gpus: float | None, split: float
) -> Callable[[str | None, ArchiveOptions], Outcomes] | None:
    """Return what makes a pool on Ray; None: processes of this machine."""
    if address is None:
        for name, value in (("--gpus", gpus), ("--split", split or None)):
            if value is not None:
                raise UsageError(f"{name} {value:g} is of workers on Ray: give --ray too")
        return None
    from ..distributed import RayOptions, RayPool

    return partial(RayPool, cluster=RayOptions(address=address, gpus=gpus, split=split))


def _said(tell: object) -> Tell:
    def said(done: int, total: int, outcome: Outcome) -> None:
        if not outcome.ok:
            complain(outcome.error if outcome.item.key in outcome.error else f"{outcome.item.key}: {outcome.error}")
        tell("videos", done, total, Path(outcome.item.key).name)  # type: ignore[operator]

    return said


def _finish(summary: Summary, output: str, as_json: bool, quiet: bool) -> None:
    if as_json:
        stdout().print_json(data={**vars(summary), "output": output})
    elif not quiet:
        for error in summary.errors_before[:_SHOWN]:
            errors.print(f"failed before: {error}")
        errors.print(f"{summary.words()}; tables in {redact(output)}")
    if summary.exit_status:
        raise typer.Exit(summary.exit_status)
