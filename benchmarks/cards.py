"""The method cards of docs/methods: their config tables, pictures and measured numbers, written between markers.

    python benchmarks/cards.py [--check] [--pictures --work DIR]

The config table is made from the `#:` comments of a method's Config, the numbers from the stored results of
bench_methods; the words around them are written by hand. --pictures draws the curves of a test video of the simulator
from the checkpoints that bench_methods left in DIR.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import methods_tables
from bench_methods import Places, data_of
from common import spread, stored
from config_table import config_table
from methods_rows import LATER, PAPERS
from pages import ROOT, filled, machine_lines, plus_minus, table, write_or_check
from PIL import Image
from variants import SEEDS

from tal_engine import TALEngine
from tal_engine.annotations import AnnotatedVideo
from tal_engine.export.bundle import make_plan
from tal_engine.lab.methods import METHODS, load_method
from tal_engine.lab.training import checkpoint
from tal_engine.outputs.render.timeline_plot import draw
from tal_engine.results import Localization

FOLDER = ROOT / "docs" / "methods"
#: Cards of methods that learn from segments, which have their own benchmark: card -> method.
SEGMENTS = {"former": "actionformer"}


def page(name: str) -> str:
    """A card with its generated parts as they should be now."""
    document = stored("bench_methods")
    sections: dict[str, Callable[[], str]] = {
        "picture": lambda: picture_line(name),
        "config": lambda: config_table(load_method(name).Config) if name in METHODS else "Not built yet.",
        "measured": lambda: measured(document, name),
    }
    if name in (parity := stored("loss_parity").get("figures", {})):
        sections["parity"] = lambda: parity_table(parity[name])
    if name == "pvlr":
        sections["ablation"] = lambda: ablation_tables(stored("bench_ablation"))
    return filled(FOLDER / f"{name}.md", sections)


def segments_page(card: str) -> str:
    """A card of `SEGMENTS`."""
    document = stored("bench_former")
    sections: dict[str, Callable[[], str]] = {
        "config": lambda: config_table(load_method(SEGMENTS[card]).Config),
        "measured": lambda: former_table(document),
    }
    return filled(FOLDER / f"{card}.md", sections)


def cell(of: dict[str, Any] | None) -> str:
    """Mean ± deviation; a dash for what was not measured."""
    return "–" if of is None else plus_minus(of)


def former_table(document: dict[str, Any]) -> str:
    """Results of bench_former, on the simulator beside what other labels give there."""
    if not document:
        return "Not measured yet: `python benchmarks/bench_former.py`."
    names = {"map_10_70": "mAP@0.1:0.7", "map_30_70": "mAP@0.3:0.7", "map_50": "mAP@0.5", "f1_10": "F1@10",
             "f1_25": "F1@25", "f1_50": "F1@50"}  # fmt: skip
    rows = [
        [f"{part}, segments", *(cell(of["figures"].get(k)) for k in names), str(len(of["runs"]))]
        for part, of in document["figures"].items()
    ]
    for name, kept in stored("bench_methods").get("figures", {}).get("simulator", {}).get("rows", {}).items():
        runs = list(kept["runs"].values())
        if name in ("lacp", "apn", "vlpo", "pvlr") and len(runs) == len(SEEDS):
            figures = {k: spread([r[k] for r in runs]) for k in ("map_10_70", "map_50")}
            cells = [cell(figures.get(k)) for k in names]
            rows.append([f"simulator, {methods_tables.TITLES[name]}", *cells, str(len(runs))])
    lines = [*table(["", *names.values(), "seeds"], rows), ""]
    cost = {part: of["figures"]["training_cpu_s"]["mean"] for part, of in document["figures"].items()}
    told = ", ".join(f"{part} {seconds:.0f}" for part, seconds in cost.items())
    lines += [f"CPU seconds of training a seed, with the evaluation at its end: {told}.", ""]
    return "\n".join([*lines, *machine_lines({p: kept["machine"] for p, kept in document["parts"].items()}, "torch")])


def picture_line(name: str) -> str:
    """The picture, if it was drawn."""
    if not (FOLDER / f"{name}.png").exists():
        return "No picture yet: it is drawn from a checkpoint of `benchmarks/bench_methods.py`."
    return (
        f"![Segments, truth and activation curves of {methods_tables.TITLES[name]} on one test video]({name}.png)\n\n"
        "A test video of the simulator that no setting was chosen on: above the true segments and as many of the best "
        "found ones, below the curves they are cut from."
    )


def parity_table(recipes: dict[str, Any]) -> str:
    """Relative differences of loss terms by recipe; a dash where the public code has no such term, or none is known."""
    rows = []
    for recipe, terms in recipes.items():
        for term, row in terms.items():
            kinds = ("value_difference", "gradient_difference", "public_value_difference", "public_gradient_difference")
            rows.append([f"`{recipe}`", term, *(f"{row[k]:.0e}" if k in row else "–" for k in kinds)])
    head = ["recipe", "term", "value", "gradient", "value, public code", "gradient, public code"]
    return "\n".join(table(head, rows))


def ablation_tables(document: dict[str, Any]) -> str:
    """Terms added one by one, by world; a row says how many seeds it has."""
    if not document:
        return "Not measured yet: `python benchmarks/bench_ablation.py`."
    lines = []
    for world, found in document["figures"].items():
        rows, few = [], []
        for row, kept in found["rows"].items():
            runs = kept["runs"].values()
            if len(runs) < len(SEEDS):  # a figure without its spread says nothing
                few.append(row)
                continue
            figures = (spread([run[k] for run in runs]) for k in ("map_10_70", "map_50"))
            rows.append([row, str(len(runs)), *map(plus_minus, figures)])
        lines += [f"{world}:", "", *table(["", "seeds", "mAP@0.1:0.7", "mAP@0.5"], rows), ""] if rows else []
        lines += [f"On too few seeds yet, {world}: {'; '.join(few)}.", ""] if few else []
    return "\n".join([*lines, *machine_lines({w: kept["machine"] for w, kept in document["parts"].items()}, "torch")])


def measured(document: dict[str, Any], name: str) -> str:
    """Tables of the method's results."""
    if not document:
        return "Not measured yet: `python benchmarks/bench_methods.py`."
    return methods_tables.card(document, name)


def draw_pictures(places: Places) -> None:
    """Of every method whose first checkpoint on the simulator is there."""
    data = data_of("simulator", places)
    video = shown(data.subset("test"))
    for name in (*PAPERS, *LATER):
        folder = places.run("simulator", name, SEEDS[0])
        if not (folder / "checkpoint.json").exists():
            print(f"{name}: no picture, there is no checkpoint in {folder}", file=sys.stderr)
            continue
        engine = TALEngine(make_plan(checkpoint.load(folder), None, name=name), "cpu", threads=1)
        features = data.features([video], tuple(engine.plan.manifest.streams))[video.name]
        found = engine.localize(features, top_k=len(video.instances))
        info = found.info
        info.source = f"{methods_tables.TITLES[name]}, {video.name}"
        shown_result = Localization(found.by_time(), info, found.vocabulary, found.activations)
        draw(FOLDER / f"{name}.png", shown_result, video.instances)
        shrink(FOLDER / f"{name}.png")


def shrink(picture: Path) -> None:
    """Few colours are enough for lines and bars, and a third of the size."""
    image = Image.open(picture).convert("RGB").quantize(64)
    image.save(picture, optimize=True)


def shown(videos: list[AnnotatedVideo]) -> AnnotatedVideo:
    """The first test video of two classes with at least five instances: enough to see, not too many to read."""
    return next(v for v in videos if len(v.instances) >= 5 and len({s.label for s in v.instances}) == 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="Change nothing; fail where a card is out of date.")
    parser.add_argument("--pictures", action="store_true", help="Draw the pictures first.")
    parser.add_argument("--work", type=Path, default=Path("out/methods"), help="Where bench_methods left checkpoints.")
    args = parser.parse_args()
    if args.pictures:
        draw_pictures(Places(args.work.resolve(), args.work.resolve() / "videos"))
    if not write_or_check(
        {FOLDER / f"{name}.md": page(name) for name in (*PAPERS, *LATER)}
        | {FOLDER / f"{name}.md": segments_page(name) for name in SEGMENTS},
        args.check,
    ):
        sys.exit("docs/methods differs from the code or the stored results: run benchmarks/cards.py")


if __name__ == "__main__":
    main()
