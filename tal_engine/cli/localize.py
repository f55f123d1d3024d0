"""``tal localize``: videos in, segments out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..engine import TALEngine
from ..errors import TALError, UsageError
from ..operating_point import overlap
from ..records import Localization, Segment
from ..sinks.movie import check_ending
from .console import complain, errors, stdout, warn
from .inputs import expand_sources


class Format(StrEnum):
    """Forms of the result file."""

    activitynet = "activitynet"
    jsonl = "jsonl"
    csv = "csv"
    srt = "srt"
    vtt = "vtt"


_OF_SUFFIX = {".json": Format.activitynet} | {f".{f}": f for f in Format if f is not Format.activitynet}
_SUBTITLES: dict[Format | None, Literal["srt", "vtt"]] = {Format.srt: "srt", Format.vtt: "vtt"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("localize")(localize)
    app.command("predict", hidden=True)(localize)


def localize(
    sources: Annotated[list[Path], typer.Argument(help="Videos, feature files (.npz), or folders of videos.")],
    plan: Annotated[Path | None, typer.Option(help="The plan to run; without it, the embedded demo model.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Result file (.json, .jsonl, .csv, .srt, .vtt).")
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="Form of the result; default: by the file's ending.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Timeline picture; with several inputs one each, NAME-video.png.")
    ] = None,
    save_video: Annotated[
        Path | None, typer.Option(help="Annotated video; with several inputs one each, NAME-video.mp4.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="annotations.json whose truth is drawn and printed beside.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, tensorrt, tensorrt-rtx or ort-tensorrt; cards by number as cuda:1.")
    ] = "auto",
    conf: Annotated[
        float | None, typer.Option(help="Leave out segments below this score; default: the plan's.")
    ] = None,
    topk: Annotated[int | None, typer.Option(help="At most so many segments a video; 0 keeps all.")] = None,
    force: Annotated[
        bool, typer.Option(help="Take features that were made otherwise than the head's; the result says how.")
    ] = False,
    threads: Annotated[int, typer.Option(help="CPU threads of the runtime; 0 lets it choose.")] = 0,
    strict: Annotated[bool, typer.Option(help="Fail instead of falling back to another device.")] = False,
    batch: Annotated[int, typer.Option(help="Snippets that an encoder takes at a time.")] = 8,
    gpu_memory: Annotated[int, typer.Option(help="MiB of the card for each graph at most; 0 sets no limit.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")] = False,
) -> None:
    """Say which actions happen when in videos."""
    form = _format(form, output)
    known = _truth(truth)
    paths = expand_sources(sources, features=True)
    _check(form, save_video, paths)
    engine = TALEngine.load(plan, device, threads=threads, strict=strict, batch=batch, gpu_memory_mib=gpu_memory)
    if not quiet:
        note = "no --plan given: the embedded demonstration model, not a product. " if plan is None else ""
        errors.print(f"{note}{engine.description}")
    results: list[Localization] = []
    failed: list[tuple[Path, TALError]] = []
    for path in paths:
        try:
            with _progress(path, quiet) as progress:
                result = engine.localize(path, min_score=conf, top_k=topk, force=force, progress=progress)
        except TALError as e:
            failed.append((path, e))
            _complain(path, e)
            continue
        results.append(result)
        if not quiet:
            _report(result)
        if output is None:
            _show(result, form, known.get(path.stem))
        if plot is not None:
            result.plot(_one_each(plot, path, len(paths)), known.get(path.stem))
        if save_video is not None:
            _save_video(_one_each(save_video, path, len(paths)), path, result)
    if output is not None and (results or not failed):
        _write(output, form or Format.activitynet, results)
    _finish(paths, failed, quiet)


def _format(form: Format | None, output: Path | None) -> Format | None:
    if form is not None or output is None:
        return form
    if output.suffix not in _OF_SUFFIX:
        raise UsageError(f"{output}: cannot tell the form from the ending {output.suffix!r}; give --format")
    return _OF_SUFFIX[output.suffix]


def _check(form: Format | None, save_video: Path | None, paths: list[Path]) -> None:
    if form in _SUBTITLES and len(paths) > 1:
        raise UsageError(f"--format {form} holds one video, got {len(paths)}: localize them one by one")
    if save_video is not None:
        check_ending(save_video)
    features = [p for p in paths if p.suffix == ".npz"]
    if save_video is not None and features:
        raise UsageError(f"--save-video {save_video} needs the video, and {features[0]} holds only features")
    if save_video is not None and any(save_video.resolve() == p.resolve() for p in paths):
        raise UsageError(f"--save-video {save_video} is the input itself")


def _truth(path: Path | None) -> dict[str, list[Segment]]:
    if path is None:
        return {}
    from ..annotations import read_annotations

    return {v.name: list(v.instances) for v in read_annotations(path)}


@contextmanager
def _progress(path: Path, quiet: bool) -> Iterator[Callable[[float, float], None] | None]:
    if quiet or not errors.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} s"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=errors, transient=True) as bar:
        task = bar.add_task(path.name, total=1)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _complain(path: Path, e: TALError) -> None:
    message = str(e) if str(path) in str(e) else f"{path}: {e}"
    complain(message)


def _report(result: Localization) -> None:
    info = result.info
    for warning in info.warnings:
        warn(f"{info.source}: {warning}")
    total = info.seconds.get("total", 0.0)
    stages = ", ".join(f"{k} {v:.2f}" for k, v in info.seconds.items() if k != "total")
    speed = f", {info.duration / total:.0f}x real time" if total > 0 else ""
    errors.print(f"{info.source}: {info.duration:.1f} s in {total:.2f} s{speed} (seconds by stage: {stages})")


def _show(result: Localization, form: Format | None, truth: list[Segment] | None) -> None:
    if form is Format.jsonl:
        from ..sinks.jsonl import lines

        for line in lines(result):
            typer.echo(line)
        sys.stdout.flush()
    elif form is Format.csv:
        from ..sinks.table import text

        typer.echo(text([result]), nl=False)
    elif form in _SUBTITLES:
        from ..sinks.subtitles import text as subtitles

        typer.echo(subtitles(result, _SUBTITLES[form]), nl=False)
    elif form is Format.activitynet:
        import json

        typer.echo(json.dumps(result.to_activitynet()))
    else:
        stdout().print(_table(result, truth))


def _table(result: Localization, truth: list[Segment] | None) -> Table:
    """Found segments in time order, with the true instance that each one overlaps most."""
    table = Table(title=Path(result.info.source).name, title_justify="left")
    for name in ("start", "end", "label", "score"):
        table.add_column(name, justify="left" if name == "label" else "right")
    if truth is not None:
        table.add_column("true instance")
        table.add_column("tIoU", justify="right")
    matched: set[int] = set()
    rows: list[tuple[float, list[str]]] = []
    for s in result.by_time():
        cells = [f"{s.start:.2f}", f"{s.end:.2f}", s.label, f"{s.score:.2f}"]
        if truth is not None:
            near = ((overlap(s, t), k) for k, t in enumerate(truth) if t.label == s.label)
            best, k = max(near, default=(0.0, -1))
            if best > 0:
                matched.add(k)
                cells += [f"{truth[k].start:.2f} - {truth[k].end:.2f}", f"{best:.2f}"]
            else:
                cells += ["-", "0.00"]
        rows.append((s.start, cells))
    for k, t in enumerate(truth or []):
        if k not in matched:
            rows.append((t.start, ["-", "-", t.label, "-", f"{t.start:.2f} - {t.end:.2f} (missed)", "0.00"]))
    for _, cells in sorted(rows, key=lambda r: r[0]):
        table.add_row(*cells)
    return table


def _one_each(target: Path, source: Path, count: int) -> Path:
    return target if count == 1 else target.with_name(f"{target.stem}-{source.stem}{target.suffix}")


def _save_video(target: Path, source: Path, result: Localization) -> None:
    from ..sinks.overlay import write
    from ..video import open_video

    with open_video(source) as video:
        write(target, result, ((f.pts_seconds, f.image()) for f in video.frames), video.fps)


def _write(output: Path, form: Format, results: list[Localization]) -> None:
    from ..sinks import activitynet, jsonl, subtitles, table

    if form in _SUBTITLES:
        subtitles.write(output, results[0], _SUBTITLES[form])
        return
    writers = {Format.activitynet: activitynet.write, Format.jsonl: jsonl.write, Format.csv: table.write}
    writers[form](output, results)


def _finish(paths: list[Path], failed: list[tuple[Path, TALError]], quiet: bool) -> None:
    if not failed:
        return
    if len(paths) > 1 and not quiet:
        errors.print(f"{len(paths) - len(failed)} localized, {len(failed)} failed:")
        for path, e in failed:
            errors.print(f"  {path} ({type(e).__name__})")
    raise typer.Exit(failed[0][1].exit_code)
