"""Pictures of the studio's page for docs/studio.md: procedural videos, clicks from the truth, a real training.

    python benchmarks/studio_pictures.py --videos DIR --features DIR    # docs/images/studio-*.png

They are for people: what fonts a machine has changes every pixel, so no test compares them.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from page_pictures import save
from studio_annotator import Annotator, World, learned, world

from tal_engine.studio.classes import set_classes
from tal_engine.studio.labels import Change, Label
from tests.browsing import chromium
from tests.studying import studying
from tests.waiting import LONG_S

TABLET = {"width": 1024, "height": 768}


def labelled(w: World, count: int) -> None:
    """Label a project: points as somebody would click them, held-out videos whole; train at a few numbers of clicks."""
    somebody = Annotator(w, 0)
    for video in w.studio.project.state.held_out:
        changes = [
            Change("add", Label(uuid.uuid4().hex, video, "segment", s.start, s.end, s.label)) for s in w.truth[video]
        ]
        somebody.edit(video, changes)
        w.studio.project.set("watched", id=video, fields={"done": True})
    somebody.first()
    for more in (count // 3, count // 3, count // 3, 0):
        print(f"mAP@0.5 on videos that are not in the project: {learned(w):.3f}", flush=True)
        figures = w.studio.findings.result["measures"]  # the studio keeps them when its own process has trained
        kept = {k: v for k, v in figures.items() if k not in ("thresholds", "advice")}
        w.studio.project.note("measured", figures=kept)
        somebody.answer(more)


def question(page: Any) -> None:
    """Show a question about a class, if there is one, and stop its video."""
    page.locator(".question").wait_for()
    for _ in range(20):
        if page.get_by_role("heading", name=re.compile("What happens here|Is that all")).count():
            page.keyboard.press("s")
            page.wait_for_timeout(300)
    page.wait_for_timeout(1200)
    page.keyboard.press("k")


def pictures(project: Path, videos: Path) -> None:
    with studying(videos, project=project) as one, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="light")
        page.set_default_timeout(LONG_S * 1e3)
        page.goto(one.address)
        page.get_by_label("Your name").fill("ana")
        page.keyboard.press("Enter")
        page.locator(".video-row").first.wait_for()
        save(page, "videos", "studio")
        states = page.request.get(f"{one.base}/api/videos").json()["videos"]
        open_ = [v for v in states if not v["held_out"] and v["labels"]]
        best = max(open_, key=lambda v: v["suggestions"])
        page.goto(f"{one.base}/#/label/{best['id']}")
        page.locator(".label-row").first.wait_for()
        page.wait_for_timeout(1500)
        for _ in range(3):
            page.keyboard.press("ArrowDown")
        save(page, "label", "studio")
        page.goto(f"{one.base}/#/review")
        page.get_by_role("heading", name="Is that all?").wait_for()
        page.wait_for_timeout(1200)
        page.keyboard.press("k")
        save(page, "whole", "studio")
        question(page)
        save(page, "review", "studio")
        page.goto(f"{one.base}/#/model")
        page.locator(".chart").first.wait_for()
        page.locator(".preview .timeline").wait_for()
        save(page, "model", "studio")
        page.locator(".preview").scroll_into_view_if_needed()
        save(page, "thresholds", "studio")
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size(TABLET)
        page.goto(f"{one.base}/#/review")
        question(page)
        save(page, "tablet-dark", "studio")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--clicks", type=int, default=36)
    parser.add_argument("--steps", type=int, default=60, help="of a training: enough for a picture")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        w = world(given.videos, given.features, 10, Path(folder), 2, 0)
        shown = {s.label for segments in w.truth.values() for s in segments}
        names = [c.name for c in w.studio.project.state.classes if c.name in shown]
        set_classes(w.studio.project, [{"name": name, "key": str(i)} for i, name in enumerate(names, 1)])
        w.studio.options = replace(w.studio.options, steps=given.steps)
        labelled(w, given.clicks)
        project = w.studio.project.folder
        w.studio.close()
        pictures(project, Path(folder, "videos"))


if __name__ == "__main__":
    main()
