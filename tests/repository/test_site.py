"""The documentation builds as a site without a warning, and every link in it leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]


class Links(HTMLParser):
    """Targets of links and pictures, and the anchors that a page has."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.targets += [found[k] for k in ("href", "src") if found.get(k)]
        self.anchors |= {found[k] for k in ("id", "name") if found.get(k)}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="pip install '.[docs]'")
    pytest.importorskip("material", reason="pip install '.[docs]'")
    pytest.importorskip("mkdocstrings", reason="pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "-f", "docs/site/mkdocs.yml", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_links_lead_somewhere_on_this_machine(site):
    pages = {path: Links(path.read_text()) for path in site.rglob("*.html")}
    assert len(pages) > 35
    faults, looked = [], 0
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme in ("https", "http", "mailto", "data", "javascript"):
                continue
            looked += 1
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.exists() or there.is_dir():
                faults.append(f"{path.relative_to(site)}: {target}")
            elif parts.fragment and there in pages and parts.fragment not in pages[there].anchors | {"__skip"}:
                faults.append(f"{path.relative_to(site)}: {target} (no such anchor)")
    assert faults == []
    assert looked > 1000


def test_nothing_is_fetched_from_elsewhere(site):
    """It opens as files, without a network: no script, style, font or picture has an address."""
    loads = re.compile(
        r'<(?:script|img|iframe)[^>]*src="(?:https?:)?//[^>]*>|<link[^>]*stylesheet[^>]*href="https?:[^>]*>'
    )
    assert {tag for path in site.rglob("*.html") for tag in loads.findall(path.read_text())} == set()


def test_the_reference_knows_all_commands_and_names(site):
    import tal_engine
    from tal_engine.cli import main

    commands = (site / "reference/cli.html").read_text()
    assert all(f"tal {name}" in commands for name in main._MODULES)
    python = (site / "reference/python.html").read_text() + (site / "reference/errors.html").read_text()
    assert [n for n in tal_engine.__all__ if not n.startswith("__") and n not in python] == []
