"""The documentation as a release publishes it: versions beside one another by mike, and what the site looks like.

python benchmarks/release_docs.py [--pictures FOLDER]

A clone of this repository gets a branch `gh-pages` with two versions of the site, `latest` among them. `--pictures`
builds the site as files and takes pictures of some pages, light and dark, wide and narrow: for people to look at.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import finish

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

NAME = "release_docs"
CONFIG = "docs/site/mkdocs.yml"
VERSIONS = ("0.1", "0.2")
#: Pages of which pictures are taken: name, address, colours, size.
WIDE, NARROW = {"width": 1280, "height": 720}, {"width": 390, "height": 844}
PICTURES = (
    ("home", "index.html", "light", WIDE), ("studio-dark", "studio.html", "dark", WIDE),
    ("reference", "reference/python.html", "light", WIDE), ("options-dark", "reference/options.html", "dark", WIDE),
    ("narrow", "fit.html", "light", NARROW),
)  # fmt: skip


def run(*command: object, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def environment(folder: Path) -> dict[str, str]:
    """Variables with which mike finds mkdocs, and git knows somebody."""
    tool = folder / "bin" / "mkdocs"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m mkdocs "$@"\n')
    tool.chmod(0o755)
    who = {f"GIT_{kind}_{what}": "release" for kind in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **who, "PATH": path, "NO_MKDOCS_2_WARNING": "1"}


def versions(folder: Path) -> dict[str, Any]:
    """Publish two versions into a clone; what its branch has then."""
    clone, env, began = folder / "clone", environment(folder), time.monotonic()
    run("git", "clone", "-q", ROOT, clone, cwd=folder, env=env)
    for core in (ROOT / "tal_engine").glob("_core*.so"):  # the reference is made from the code, which needs it
        shutil.copy(core, clone / "tal_engine")
    mike = (sys.executable, "-c", "import sys; from mike.driver import main; sys.exit(main())")
    for version in VERSIONS:
        last = ["latest"] if version == VERSIONS[-1] else []
        run(*mike, "deploy", "-F", CONFIG, "--update-aliases", version, *last, cwd=clone, env=env)
    run(*mike, "set-default", "-F", CONFIG, "latest", cwd=clone, env=env)
    files = run("git", "ls-tree", "-r", "--name-only", "gh-pages", cwd=clone, env=env).splitlines()
    listed = json.loads(run("git", "show", "gh-pages:versions.json", cwd=clone, env=env))
    pages = {v: sum(f.startswith(f"{v}/") and f.endswith(".html") for f in files) for v in (*VERSIONS, "latest")}
    known = {v["version"]: v["aliases"] for v in listed}
    first = run("git", "show", "gh-pages:index.html", cwd=clone, env=env)
    if known != {"0.2": ["latest"], "0.1": []} or "latest/" not in first or not all(pages[v] for v in VERSIONS):
        sys.exit(f"the branch has {known}, pages {pages}; its first page leads elsewhere: {'latest/' not in first}")
    return {"versions": list(VERSIONS), "pages": pages, "seconds": round(time.monotonic() - began, 1)}


def pictures(folder: Path, site: Path) -> None:
    """Build the site as files, and look at it."""
    from tests.browsing import chromium

    with tempfile.TemporaryDirectory() as work:
        env = environment(Path(work))
        run(sys.executable, "-m", "mkdocs", "build", "-q", "-f", CONFIG, "-d", site.resolve(), cwd=ROOT, env=env)
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for name, page_name, colours, size in PICTURES:
            page = browser.new_page(viewport=size, color_scheme=colours)
            page.goto((site / page_name).resolve().as_uri())
            page.wait_for_timeout(800)
            page.screenshot(path=str(folder / f"site-{name}.png"))
            page.close()
        page = browser.new_page(viewport=WIDE)
        page.goto((site / "index.html").resolve().as_uri())
        page.get_by_role("textbox", name="Search").first.click()
        page.keyboard.type("threshold")
        page.locator(".md-search-result__item").first.wait_for()
        page.wait_for_timeout(500)
        page.screenshot(path=str(folder / "site-search.png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="a folder; nothing is published then")
    parser.add_argument("--site", type=Path, default=ROOT / "out" / "site")
    given = parser.parse_args()
    if given.pictures is not None:
        pictures(given.pictures, given.site)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = versions(Path(folder))
    finish(NAME, found)


if __name__ == "__main__":
    main()
