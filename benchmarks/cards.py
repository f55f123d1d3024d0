"""The method cards of docs/methods: their config tables, pictures and measured numbers, written between markers.

    python benchmarks/cards.py [--check] [--pictures --work DIR]

The config table is made from the `#:` comments of a method's Config, the numbers from the stored results of
bench_methods; the words around them are written by hand. --pictures draws the curves of a test video of the simulator
from the checkpoints that bench_methods left in DIR.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import methods_tables
from bench_methods import Places, data_of
from common import stored
from config_table import config_table
from methods_rows import PAPERS
from pages import ROOT, filled, write_or_check
from PIL import Image
from variants import SEEDS

from tal_engine import TALEngine
from tal_engine.annotations import AnnotatedVideo
from tal_engine.export.bundle import make_plan
from tal_engine.methods import METHODS, load_method
from tal_engine.records import Localization
from tal_engine.sinks.plot import draw
from tal_engine.train import checkpoint

FOLDER = ROOT / "docs" / "methods"


def page(name: str) -> str:
    """A card with its generated parts as they should be now."""
    document = stored("bench_methods")
    sections = {
        "picture": lambda: picture_line(name),
        "config": lambda: config_table(load_method(name).Config) if name in METHODS else "Not built yet.",
        "measured": lambda: measured(document, name),
    }
    return filled(FOLDER / f"{name}.md", sections)


def picture_line(name: str) -> str:
    """The picture, if it was drawn."""
    if not (FOLDER / f"{name}.png").exists():
        return "No picture yet: it is drawn from a checkpoint of `benchmarks/bench_methods.py`."
    return (
        f"![Segments, truth and activation curves of {methods_tables.TITLES[name]} on one test video]({name}.png)\n\n"
        "A test video of the simulator that no setting was chosen on: above the true segments and as many of the best "
        "found ones, below the curves they are cut from."
    )


def measured(document: dict[str, Any], name: str) -> str:
    """Tables of the method's results."""
    if not document:
        return "Not measured yet: `python benchmarks/bench_methods.py`."
    return methods_tables.card(document, name)


def draw_pictures(places: Places) -> None:
    """Of every method whose first checkpoint on the simulator is there."""
    data = data_of("simulator", places)
    video = shown(data.subset("test"))
    for name in PAPERS:
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
    if not write_or_check({FOLDER / f"{name}.md": page(name) for name in PAPERS}, args.check):
        sys.exit("docs/methods differs from the code or the stored results: run benchmarks/cards.py")


if __name__ == "__main__":
    main()
