"""A picture of the studio's page with a video of two persons for docs/studio.md.

    python benchmarks/studio_people_picture.py    # docs/images/studio-people.png, and a dark one of a tablet with --out

Two procedural figures side by side, a skeleton file that names both, and labels as their scripts say; no training.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import uuid
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import page_pictures
from page_pictures import save

from tal_engine.demo.demo_set import HEIGHT, WIDTH, script_of, write_video
from tal_engine.demo.render import render
from tal_engine.studio.labels import Change, Label
from tests.browsing import chromium
from tests.studying import studying
from tests.waiting import LONG_S

_SECONDS = 24


def pair(folder: Path) -> list[tuple[str, float, float, str]]:
    """Render two figures as one video, with a skeleton file; (label, start, end, person) of what they do."""
    scripts = [script_of("train", 7, i) for i in (0, 1)]
    fps = scripts[0].fps
    both = zip(*(render(s) for s in scripts), strict=False)
    frames = (np.hstack(images) for images in itertools.islice(both, round(_SECONDS * fps)))
    write_video(folder / "pair.mp4", frames, fps, HEIGHT, 2 * WIDTH)
    rows = [f"{t},{who},0.5,0.5" for who in (0, 1) for t in (0, _SECONDS)]
    (folder / "pair.csv").write_text("\n".join(["time,subject,nose_x,nose_y", *rows]) + "\n")
    return [(label, start, min(end, _SECONDS - 0.1), str(who)) for who, script in enumerate(scripts)
            for start, end, label in script.instances() if start < _SECONDS - 1]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="Another folder, with pictures of more sizes.")
    given = parser.parse_args()
    if given.out is not None:
        page_pictures.FOLDER = page_pictures.ROOT = given.out
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder, "videos")
        videos.mkdir()
        truth = pair(videos)
        classes = tuple(dict.fromkeys(label for label, *_ in truth))
        with studying(videos, classes=classes) as one, chromium() as browser:
            (video,) = one.studio.library.videos
            made = [Label(uuid.uuid4().hex, video, "segment", s, e, c, who) for c, s, e, who in truth]
            one.studio.project.edit("of-ana-0001", "ana", video, [Change("add", x) for x in made])
            page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="light")
            page.set_default_timeout(LONG_S * 1e3)
            page.goto(one.address)
            page.get_by_label("Your name").fill("ana")
            page.keyboard.press("Enter")
            page.goto(f"{one.base}/#/label/{video}")
            page.locator(".label-row").first.wait_for()
            page.locator(".person").nth(2).wait_for()
            page.keyboard.press("w")
            page.keyboard.press("w")
            page.locator(".label-row").nth(1).click()
            save(page, "people", "studio")
            if given.out is not None:
                page.get_by_label("Only labels about #1").check()
                save(page, "people-only", "studio")
                page.emulate_media(color_scheme="dark")
                page.set_viewport_size({"width": 768, "height": 1024})
                save(page, "people-tablet", "studio")


if __name__ == "__main__":
    main()
