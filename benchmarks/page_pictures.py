"""Pictures of the service's page, as docs/serve.md shows them: a demo video, the plan `demo`, Chromium.

    python benchmarks/page_pictures.py            # docs/images/page-*.png; needs Playwright, Chromium and Pillow

They are for people: what fonts a machine has changes every pixel, so no test compares them.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.browsing import chromium  # noqa: E402 - found by the line before
from tests.serving import running  # noqa: E402
from tests.waiting import LONG_S  # noqa: E402

FOLDER = ROOT / "docs" / "images"
#: Colours of a picture's palette.
COLOURS = 224
TABLET = {"width": 820, "height": 1180}


def save(page, name, kind="page"):
    """Write what is on the screen, with few colours."""
    from PIL import Image

    page.wait_for_timeout(700)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = FOLDER / f"{kind}-{name}.png"
    shot.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


def results(page, base, video):
    page.goto(f"{base}/page/")
    page.set_input_files("#file", str(video))
    page.get_by_role("progressbar", name="Analysis").wait_for()
    page.wait_for_function("() => document.querySelector('progress')?.value > 0.2")
    save(page, "progress")
    page.locator(".result").wait_for()
    page.get_by_role("slider", name="Threshold").fill("0.08")
    page.locator(".plot").focus()
    for key in ("ArrowDown", "ArrowDown", "s"):
        page.keyboard.press(key)
    page.evaluate("() => document.activeElement.blur()")
    save(page, "result")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size(TABLET)
    save(page, "tablet-dark")
    page.set_viewport_size({"width": 1280, "height": 720})


def live(page, base):
    page.emulate_media(color_scheme="dark")
    page.goto(f"{base}/page/#/live")
    page.get_by_label("Source: a name").fill("door")
    page.get_by_label("Pace a file as live").check()
    page.get_by_role("button", name="Start").click()
    page.locator("tr.is-final").first.wait_for()
    page.wait_for_function("() => document.querySelector('.live-log td.number:nth-child(4)')?.innerText === 'open'")
    save(page, "live-dark")
    page.emulate_media(color_scheme="light")
    page.get_by_label("Source: a name").fill("rtsp://elsewhere/1")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("alert").wait_for()
    save(page, "error")


def main():
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        tal = [sys.executable, "-c", "from tal_engine.cli.main import run; run()"]
        subprocess.run([*tal, "demo", "render", "-o", folder / "demo", "--split", "test", "--count", "1"], check=True)
        video = next((folder / "demo" / "videos").iterdir())
        with running(folder / "state", sources=(f"door={video}",)) as one:
            page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="light")
            page.set_default_timeout(LONG_S * 1e3)
            results(page, one.base, video)
            live(page, one.base)


if __name__ == "__main__":
    main()
