"""Tables of bench_methods for measured.md and the method cards; a row that has no result says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common import spread
from methods_rows import ABLATIONS, PLUG_INS, SURROUNDED, TITLES
from pages import machine_lines, plus_minus, table

NOT_RUN = "not run"
#: So many rows of a part are named at most.
NAMED = 3
#: What tables call a part that all methods ran on.
TITLE_OF_WORLD = {"simulator": "*simulator*", "procedural": "*videos*"}
#: A table's column -> the figure of a run.
FIGURES = {"mAP@0.1:0.7": "map_10_70", "mAP@0.5": "map_50", "foreground mIoU": "foreground_iou",
           "background mIoU": "background_iou"}  # fmt: skip
Document = Mapping[str, Any]
#: Variants whose own figures are shown beside the method's.
WITH_EXTRAS = ("vlpo: without DSP", "apn: without L_CTR", "apn: borders by k-medoids", "distill_collab: B then F")


def section(document: Document) -> str:
    """All methods. What their papers take away from them and plug them onto is on their cards."""
    return "\n".join([*everything(document), "", *reading(document), "", *machines(document)])


def machines(document: Document) -> list[str]:
    """The machine of each part, or of its rows where they do not share one: of few by name, of many their number."""
    found: dict[str, Any] = {}
    for part, x in figures(document).items():
        of = {row: r["machine"] for row, r in x["rows"].items()}
        for machine in [m for i, m in enumerate(of.values()) if m not in list(of.values())[:i]]:
            rows = [row for row, m in of.items() if m == machine]
            which = f"{len(rows)} of {len(of)} rows" if len(rows) > NAMED else ", ".join(rows)
            found[part if len(rows) == len(of) else f"{part} ({which})"] = machine
    return machine_lines(found, "torch")


def figures(document: Document) -> Mapping[str, Any]:
    """By part; {} where nothing is stored."""
    return document.get("figures", {})


def stored_row(document: Document, part: str, row: str) -> Mapping[str, Any] | None:
    """A row of a part."""
    return figures(document).get(part, {}).get("rows", {}).get(row)


def spreads(document: Document, part: str, row: str, figure: str) -> dict[str, Any] | None:
    """Mean and deviation of a figure over a row's seeds; None for a row or a figure that is not there."""
    runs = (stored_row(document, part, row) or {"runs": {}})["runs"].values()
    values = [run[figure] for run in runs if figure in run]
    return spread(values) if values else None


def cell(document: Document, part: str, row: str, figure: str) -> str:
    """Mean ± deviation; a dash for what the row's method does not have."""
    found = spreads(document, part, row, figure)
    if found is not None:
        return plus_minus(found)
    return NOT_RUN if stored_row(document, part, row) is None else "–"


def everything(document: Document) -> list[str]:
    """The one table of all methods and heads."""
    head = ["", "simulator, mAP@0.1:0.7", "mAP@0.5", "mIoU fore/background", "videos, mAP@0.1:0.7", "mAP@0.5",
            "parameters trained / exported", "CPU s", "ms: head / all"]  # fmt: skip
    rows = []
    for name, title in TITLES.items():
        masks = [spreads(document, "simulator", name, f) for f in ("foreground_iou", "background_iou")]
        seconds = spreads(document, "simulator", name, "training_cpu_s")
        rows.append([
            title,
            *(cell(document, "simulator", name, f) for f in ("map_10_70", "map_50")),
            " / ".join(plus_minus(m) for m in masks if m) or cell(document, "simulator", name, "foreground_iou"),
            *(cell(document, "procedural", name, f) for f in ("map_10_70", "map_50")),
            *cost(document, name, plus_minus(seconds, 0) if seconds else NOT_RUN),
        ])  # fmt: skip
    return table(head, rows)


def cost(document: Document, name: str, seconds: str) -> list[str]:
    """Cells of a method's costs on the simulator."""
    found = stored_row(document, "cost", f"simulator: {name}")
    if found is None:
        return [NOT_RUN, seconds, NOT_RUN]
    parameters = f"{count(found['training_parameters'])} / {count(found['inference_parameters'])}"
    return [parameters, seconds, f"{found['head_ms']:.2f} / {found['video_ms']:.2f}"]


def count(parameters: int) -> str:
    """A number of parameters in words."""
    return f"{parameters / 1e6:.2f} M" if parameters >= 1e6 else f"{parameters / 1e3:.0f} k"


def reading(document: Document) -> list[str]:
    """What the columns of the large table are."""
    counts = {len(r["runs"]) for part in ("simulator", "procedural") for r in rows_of(document, part).values()}
    seeds = f"{' or '.join(map(str, sorted(counts)))} seed{'' if counts == {1} else 's'}"
    snippets = figures(document).get("cost", {}).get("snippets", "some")
    worlds = {"simulator": "planted actions", "procedural": "procedural videos, features of the small encoders"}
    data = "; ".join(f"{TITLE_OF_WORLD[part]}: {what}{size(document, part)}" for part, what in worlds.items())
    return [
        f"Mean ± standard deviation over {seeds}, last checkpoint. {data}. Parameters, CPU "
        f"seconds of training, and milliseconds of a video of {snippets} snippets on one thread (head: its ONNX graph "
        "alone; all: with proposals and suppression) are those on the simulator, whose features are narrow."
    ]


def size(document: Document, part: str) -> str:
    """How many videos a part has, where it was run."""
    data = figures(document).get(part, {}).get("data")
    if not data:
        return ""
    return (
        f" ({data['train_videos']} training videos, {data['test_videos']} test videos with {data['test_instances']} "
        f"instances of {data['classes']} classes; protocol `{data['protocol']}`)"
    )


def rows_of(document: Document, part: str) -> Mapping[str, Any]:
    """Rows of a part that have results."""
    return figures(document).get(part, {}).get("rows", {})


def compared(document: Document, places: Sequence[tuple[str, str, str]]) -> list[str]:
    """A table of rows, each (title, part, row); those without results are named below it."""
    run = [(t, part, r) for t, part, r in places if stored_row(document, part, r) is not None]
    missing = [t for t, part, r in places if stored_row(document, part, r) is None]
    lines = table(["", *FIGURES], [[t, *(cell(document, part, r, f) for f in FIGURES.values())] for t, part, r in run])
    return [*(lines if run else []), *(["", f"Not run: {'; '.join(missing)}."] if missing else [])]


def ablations(document: Document, name: str) -> list[str]:
    """A method as it is, and its variants."""
    variants = [(row, "ablations", f"{name}: {row}") for row in ABLATIONS[name]]
    return compared(document, [("as it is", "simulator", name), *variants])


def plug_ins(document: Document, name: str) -> list[str]:
    """Host heads alone and with the method."""
    places = []
    for host, rows in PLUG_INS[name].items():
        places.append((TITLES[host], "simulator", host))
        places += [(f"{TITLES[host]} {row}", "plugins", f"{host} {row}") for row in rows]
    return compared(document, places)


def card(document: Document, name: str) -> str:
    """What was measured of one method, for its card."""
    worlds = [("simulator", "simulator", name), ("procedural videos", "procedural", name)]
    lines = compared(document, worlds)
    found = stored_row(document, "cost", f"simulator: {name}")
    if found is not None:
        seconds = spreads(document, "simulator", name, "training_cpu_s")
        parameters, taken, ms = cost(document, name, f"{seconds['mean']:.0f}" if seconds else NOT_RUN)
        lines += ["", f"On the simulator: parameters trained / exported {parameters}; {taken} CPU seconds of training; "
                  f"{ms} ms a video (head / with proposals and suppression)."]  # fmt: skip
    if name in ABLATIONS:
        lines += ["", "Parts taken away or done otherwise, on the simulator:", "", *ablations(document, name)]
    if name == "distill_collab":
        places = [(row, "surroundings", f"{name}: {row}") for row in SURROUNDED]
        lines += ["", "Where CLIP covers twice its actions (`tal data simulate --options surroundings=0.9`):", "",
                  *compared(document, places)]  # fmt: skip
    if name in PLUG_INS:
        lines += ["", "On other heads, on the simulator:", "", *plug_ins(document, name)]
    extra = extras(document, name)
    return "\n".join([*lines, *(["", *extra] if extra else [])])


def shows_extras(row: str, method: str) -> bool:
    """Whether the method's own figures are shown of a row: of the method as it is, and of some variants."""
    return row == method or row in WITH_EXTRAS


def extras(document: Document, name: str) -> list[str]:
    """The method's own figures, mean over seeds: as it is, and of single variants where they are what changes."""
    lines = []
    for part in ("simulator", "procedural", "ablations", "surroundings"):
        for row, found in rows_of(document, part).items():
            if found["method"] != name or not shows_extras(row, name):
                continue
            runs = [run["extra"] for run in found["runs"].values() if "extra" in run]
            where = part if row == name else row
            lines += [f"- {where}: {what} {over_seeds([r[what] for r in runs if what in r])}." for what in known(runs)]
    return lines


def known(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of figures in runs, in their order."""
    return list(dict.fromkeys(what for run in runs for what in run))


def over_seeds(values: Sequence[Any]) -> str:
    """Mean ± deviation of numbers; means of the steps of sequences, as far as all of them go."""
    if not isinstance(values[0], list):
        return plus_minus(spread(list(values)))
    steps = [sum(at) / len(at) for at in zip(*values, strict=False)]
    return " → ".join(f"{v:.1f}" for v in steps)
