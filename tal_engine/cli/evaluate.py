"""``tal eval``: detections against the truth, under a named protocol."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table as RichTable

from .._util.files import check_outputs
from .._util.untrusted import parse_json, read_text
from ..annotations import Annotations, align_names, read_annotations
from ..annotations.class_numbers import class_numbers
from ..annotations.tables import Table
from ..errors import UsageError
from ..metrics import PROTOCOLS, Evaluation, Protocol, average_recall, evaluate_tables, explain, protocol
from ..metrics.explain import TIE_POINTS, tie_span
from ..metrics.online import OnlineEvaluation, evaluate_online
from ..metrics.protocols import parse_tious
from . import online as finals
from .console import errors, stdout, warn
from .shared import Device, Json, Key, PlanOption, Threads, Timeout


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("eval")(evaluate)
    app.command("val", hidden=True)(evaluate)


def evaluate(
    truth: Annotated[Path, typer.Argument(help="Annotations: JSON, THUMOS14's text folder, or the npy folder.")],
    predictions: Annotated[
        Path,
        typer.Argument(
            help="Detections: .json, .txt (THUMOS14), .csv or .jsonl; with --online also videos or features (.npz), or "
            "a folder of them."
        ),
    ],
    rules: Annotated[
        str, typer.Option("--protocol", help=f"Rules by name: {', '.join(PROTOCOLS)}.", rich_help_panel="Rules")
    ] = "activitynet",
    subset: Annotated[
        str | None,
        typer.Option(help="Subset of the annotations; default: the one that has detections.", rich_help_panel="Rules"),
    ] = None,
    tiou_thresholds: Annotated[
        str | None,
        typer.Option(
            help="Overlaps: 0.3,0.5 or a range, 0.5:0.95:0.05 or 0.5:0.05:0.95; default: the protocol's.",
            rich_help_panel="Rules",
        ),
    ] = None,
    exclude: Annotated[
        Path | None, typer.Option(help="Videos to leave out: a JSON list, or a name a line.", rich_help_panel="Rules")
    ] = None,
    compat: Annotated[
        list[str] | None,
        typer.Option(help="A rule instead of the protocol's: ties=argsort, nan_hit=true, ...", rich_help_panel="Rules"),
    ] = None,
    other: Annotated[
        str | None,
        typer.Option("--explain", help="Another protocol: which rule moves how much.", rich_help_panel="Rules"),
    ] = None,
    recall: Annotated[bool, typer.Option(help="AR@AN and its area too.", rich_help_panel="Outputs")] = False,
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="Score the finals of `tal stream`'s events (.jsonl), and how late they came. Videos or features "
            "are streamed, for each of --windows and --latencies.",
            rich_help_panel="Streams",
        ),
    ] = False,
    plan: PlanOption = None,
    windows: Annotated[
        str | None,
        typer.Option(help="Seconds that its head sees, as 30,60,inf; inf covers the video.", rich_help_panel="Streams"),
    ] = None,
    latencies: Annotated[
        str | None,
        typer.Option(
            help="Seconds that decisions wait, as 2,8,inf; inf is as long as the window.", rich_help_panel="Streams"
        ),
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            help="Another plan of the same features, such as the teacher of an online --plan.",
            rich_help_panel="Streams",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Stream on Ray: local (this machine), auto (its cluster), HOST:PORT.",
            rich_help_panel="Streams",
        ),
    ] = None,
    device: Device = "auto",
    class_list: Annotated[
        str | None,
        typer.Option(
            help="What class numbers in a .txt mean: a file of numbers and names, or thumos14 (7 to 97), or "
            "alphabetical (1 to 20); default: the detclasslist.txt of the annotations.",
            rich_help_panel="Rules",
        ),
    ] = None,
    score_key: Annotated[
        str, typer.Option(help="Key or column that holds the scores of the detections.", rich_help_panel="Rules")
    ] = "score",
    timeout: Timeout = 0.0,
    key: Key = None,
    report: Annotated[
        Path | None, typer.Option(help="Error analysis as one HTML page.", rich_help_panel="Outputs")
    ] = None,
    per_class: Annotated[bool, typer.Option(help="AP of every class.", rich_help_panel="Outputs")] = True,
    as_json: Json = False,
    threads: Threads = 0,
    allow_pickle: Annotated[
        bool, typer.Option(help="Read the npy layout, which is made of pickles.", rich_help_panel="Rules")
    ] = False,
) -> None:
    """Score detections: mAP over temporal IoU, with the rules and counts that it comes from."""
    from .inputs import with_settings

    check_outputs({f"--report {report}": report}, [p for p in (truth, predictions, exclude) if p is not None])
    wanted = with_settings(protocol(rules), compat or [])
    if tiou_thresholds is not None:
        wanted = wanted.with_tious(parse_tious(tiou_thresholds))
    if exclude is not None:
        wanted = replace(wanted, exclude=(*wanted.exclude, *_names(exclude)))
    found = read_annotations(truth, allow_pickle=allow_pickle)
    if online and predictions.suffix.lower() != ".jsonl":
        if recall or other is not None or report is not None:
            raise UsageError(f"--recall, --explain and --report take detections, not streams of {predictions}")
        from .curve import Asked, evaluate_curve, parse_seconds

        asked = Asked(
            plan, device, parse_seconds(windows, "windows"), parse_seconds(latencies, "latencies"), wanted, threads,
            timeout, key, beside, ray,
        )  # fmt: skip
        evaluate_curve(found, predictions, subset, asked, as_json)
        return
    if any(v is not None for v in (plan, windows, latencies, beside, ray)):
        raise UsageError(
            "--plan, --windows, --latencies, --beside and --ray stream videos or features with --online, not "
            f"{predictions}"
        )
    numbers = found.numbers if class_list is None else class_numbers(class_list)
    listed, decided = finals.read(predictions, online, numbers, score_key)
    detections, note = align_names(listed, tuple(found.videos))
    subset = subset or found.only_subset(detections.videos)
    chosen = found.subset(subset)
    table = found.table(subset)
    ambiguous = {name: v.ambiguous for name, v in chosen.items() if v.ambiguous}
    score, timely = _scored(table, detections, decided, wanted, ambiguous, threads)
    for warning in (note, *score.warnings):
        if warning:
            warn(warning)
    document = _document(score, subset)
    if timely is not None:
        document["online"] = finals.document(timely) | finals.starts(table, predictions)
    if recall:
        curve = average_recall(table, detections, threads=threads)
        document["recall"] = {"auc": curve.auc, "ar": {str(k): curve.at(k) for k in (1, 5, 10, 100)}}
    if other is not None:
        document["explain"] = _explained(table, detections, wanted, protocol(other), ambiguous)
        least, most = tie_span(table, detections, wanted, ambiguous=ambiguous)
        document["ties"] = {"least": least, "most": most}
        if 100 * (most - least) > TIE_POINTS:
            warn(
                f"equal scores decide {100 * (most - least):.2f} points: give scores more digits, or compare with care"
            )
    if report is not None:
        _report(report, found, subset, detections, score)
    if as_json:
        typer.echo(json.dumps(document, allow_nan=False))
    else:
        _print(score, document, per_class)
        if timely is not None:
            finals.show(stdout(), timely)


def _scored(
    table: Table,
    detections: Table,
    decided: NDArray[np.float64] | None,
    rules: Protocol,
    ambiguous: dict[str, tuple[tuple[float, float], ...]],
    threads: int,
) -> tuple[Evaluation, OnlineEvaluation | None]:
    if decided is None:
        return evaluate_tables(table, detections, rules, ambiguous=ambiguous, threads=threads), None
    timely = evaluate_online(table, detections, decided, rules, ambiguous=ambiguous, threads=threads)
    return timely.quality, timely


def _names(path: Path) -> tuple[str, ...]:
    text = read_text(path, "list of video names", UsageError)
    if text.lstrip()[:1] in ("[", "{"):
        names = parse_json(text, str(path), UsageError)
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise UsageError(f"{path}: must be a JSON list of video names, or one name a line")
    return tuple(names)


def _document(score: Evaluation, subset: str) -> dict[str, object]:
    rules = asdict(score.protocol)
    by_tiou = {f"{t:g}": float(m) for t, m in zip(score.protocol.tious, score.mean_ap, strict=True)}
    classes = {
        name: [float(v) for v in column] for name, column in zip(score.labels, score.ap.T, strict=True)
        if not any(v != v for v in column)
    }  # fmt: skip
    return {
        "protocol": rules,
        "subset": subset,
        "counts": asdict(score.counts),
        "warnings": list(score.warnings),
        "map": by_tiou,
        "average_map": score.average,
        "ap": classes,
    }


def _explained(
    table: Table,
    detections: Table,
    first: Protocol,
    second: Protocol,
    ambiguous: dict[str, tuple[tuple[float, float], ...]],
) -> dict[str, object]:
    start, steps = explain(table, detections, first, second, ambiguous=ambiguous)
    return {"from": first.name, "to": second.name, "start": start, "steps": [asdict(s) for s in steps]}


def _report(path: Path, found: Annotations, subset: str | None, detections: Table, score: Evaluation) -> None:
    from ..metrics.error_analysis import analyse
    from ..outputs.render.evaluation_report import write

    write(path, analyse(found, subset, detections, score))
    errors.print(f"wrote {path}")


def _print(score: Evaluation, document: dict[str, object], per_class: bool) -> None:
    out = stdout()
    tious = score.protocol.tious
    table = RichTable(
        title=f"protocol {score.protocol.name}, subset {document['subset']}, AP in %", title_justify="left"
    )
    table.add_column("class")
    for t in tious:
        table.add_column(f"{t:g}", justify="right")
    table.add_column("mean", justify="right")
    if per_class:
        for name, column in zip(score.labels, score.ap.T, strict=True):
            table.add_row(name, *(f"{100 * v:.2f}" for v in column), f"{100 * float(column.mean()):.2f}")
        table.add_section()
    table.add_row("mAP", *(f"{100 * float(m):.2f}" for m in score.mean_ap), f"{100 * score.average:.2f}")
    out.print(table)
    counts = {k: v for k, v in asdict(score.counts).items() if v or k in ("videos", "instances", "detections")}
    out.print("counts: " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in counts.items()))
    default = asdict(Protocol(name="", tious=()))
    special = {k: v for k, v in asdict(score.protocol).items() if k not in ("name", "tious") and v != default[k]}
    out.print("overlaps: " + ", ".join(f"{t:g}" for t in tious))
    out.print("rules: " + (", ".join(f"{k}={v}" for k, v in special.items()) or "all default"))
    if isinstance(recall := document.get("recall"), dict):
        ar = ", ".join(f"AR@{k} {100 * v:.2f}" for k, v in recall["ar"].items())
        out.print(f"recall: {ar}, AUC {100 * recall['auc']:.2f}")
    if isinstance(tied := document.get("ties"), dict):
        least, most = 100 * tied["least"], 100 * tied["most"]
        out.print(f"ties: equal scores decide {most - least:.2f} points, from {least:.2f} to {most:.2f}")
    if isinstance(why := document.get("explain"), dict):
        out.print(f"from {why['from']} ({100 * why['start']:.2f}) to {why['to']}, rule by rule:")
        for s in why["steps"]:
            out.print(
                f"  {100 * s['moved']:+7.2f}  {s['rule']}: {s['before']} -> {s['after']}  ({100 * s['average']:.2f})"
            )
