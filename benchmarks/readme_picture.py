"""Makes docs/images/demo.webp: part of a video that `tal localize --save-video` annotated.

python benchmarks/readme_picture.py [--video FILE --plan FILE] [--from 12 --seconds 14]

Without --video, `tal demo render` draws one and the plan for people localizes it; only the part is chosen.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tal_engine.cli import main as cli

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs/images/demo.webp"
#: Pictures a second of the moving picture, and its width in pixels.
FPS, WIDTH = 8, 480


def run(*words: object) -> None:
    """Call `tal` in this process."""
    cli._register()
    cli.app([str(w) for w in words], standalone_mode=False)


def pictures(video: Path, begin: float, seconds: float) -> list[Image.Image]:
    """Frames on a grid of FPS a second."""
    found: list[Image.Image] = []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            if begin + len(found) / FPS <= frame.time < begin + seconds:
                image = Image.fromarray(np.asarray(frame.to_ndarray(format="rgb24")))
                found.append(image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--video", type=Path)
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--from", dest="begin", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=14.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = asked.video
        if video is None:
            run("demo", "render", "-o", folder, "--split", "test", "--count", 1)
            video = Path(folder) / "videos/test_00000.mp4"
        shown = Path(folder) / "shown.mp4"
        plan = ["--plan", asked.plan or "people"]
        run("localize", video, *plan, "--save-video", shown, "-o", Path(folder) / "r.json")
        first, *rest = pictures(shown, asked.begin, asked.seconds)
    first.save(OUT, save_all=True, append_images=rest, duration=1000 // FPS, loop=0, quality=60, method=6)
    print(f"{OUT}: {OUT.stat().st_size / 1000:.0f} kB, {1 + len(rest)} pictures")


if __name__ == "__main__":
    main()
