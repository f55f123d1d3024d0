"""What the site has beyond the pages of docs/: pages of the repository, and a reference made from the code.

Links to files of the repository that are no pages become the path alone: the site is read without a checkout.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

SITE = Path(__file__).parent
ROOT = SITE.parents[1]
sys.path[:0] = [str(SITE), str(ROOT)]

import reference  # noqa: E402  beside this file

#: Pages of the repository outside of docs/, by their place in the site.
ELSEWHERE = {
    "index.md": "README.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "protocols.md": "tal_engine/metrics/README.md",
    "datasets.md": "tal_engine/lab/data/README.md",
}
#: Material's offline plugin loads this from a server; search needs it where pages are opened as files. It is a copy of
#: iframe-worker 1.0.4 from npm (MIT), with its licence beside it.
_SHIM, _SHIM_FROM = "assets/iframe-worker/shim.js", "https://unpkg.com/iframe-worker/shim"
_LINK = re.compile(r"(!?)\[((?:[^\]\[]|\[[^\]]*\])*)\]\(([^)#\s]*)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages from elsewhere and the reference."""
    for place, source in ELSEWHERE.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text()))
    for place, text in reference.pages().items():
        files.append(File.generated(config, place, content=text))
    for name in ("shim.js", "LICENSE"):
        text = (SITE / "iframe-worker" / name).read_text()
        files.append(File.generated(config, f"assets/iframe-worker/{name}", content=text))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Let a page load its one foreign script from its own site."""
    up = posixpath.relpath(_SHIM, posixpath.dirname(page.file.dest_uri) or ".")
    return output.replace(_SHIM_FROM, up)


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """Do the same for 404.html."""
    return output_content.replace(_SHIM_FROM, _SHIM)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to pages of the site; what is no page becomes plain words."""
    here = ELSEWHERE.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    places = {source: place for place, source in ELSEWHERE.items()}

    def pointed(match: re.Match[str]) -> str:
        picture, words, target, anchor = match[1], match[2], match[3], match[4] or ""
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        place = places.get(path) or (path[5:] if path.startswith("docs/") else None)
        if place and files.get_file_from_path(place):
            return (
                f"{picture}[{words}]({posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"
            )
        return words if words.strip("`") in path else f"{words} (`{path}`)"

    return outside_code(markdown, lambda text: _LINK.sub(pointed, text))


def outside_code(markdown: str, change: object) -> str:
    """Change what stands outside of fenced blocks."""
    parts = re.split(r"(^```.*?^```)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else change(part) for part in parts)  # type: ignore[operator]
