"""The files of the studio's page without a browser: what must not be in them, and that they find each other."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("fastapi", reason="the studio needs [serve]")

from tal_engine.serve.page_files import FOLDER as SERVED
from tal_engine.serve.page_files import TYPES
from tal_engine.studio.page_routes import FOLDER
from tests.unit.serve.test_page_files import FORBIDDEN, Lint

FILES = sorted(p for p in FOLDER.rglob("*") if p.is_file())


def target(script, name):
    """The file that an address in a file of the page means: `shared` is what the service's page has."""
    wanted = (script.parent / name).resolve()
    shared = FOLDER.resolve() / "shared"
    return SERVED / wanted.relative_to(shared) if wanted.is_relative_to(shared) else wanted


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_nothing_reaches_out_or_makes_html_of_data(path):
    text = path.read_text()
    assert path.suffix in TYPES
    assert len(text.splitlines()) < 300
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)\S*", text) == []
    assert FORBIDDEN.findall(text) == []


def test_modules_find_each_other_names_are_exported_and_none_is_left_over():
    index = FOLDER / "index.html"
    linked = {target(index, name) for name in re.findall(r'(?:src|href)="([^"#]+)"', index.read_text())}
    found, waiting = set(linked), [p for p in linked if p.suffix == ".js"]
    while waiting:
        script = waiting.pop()
        for names, name in re.findall(r'^import \{ ([^}]+) \} from "(\.[^"]+)";$', script.read_text(), re.MULTILINE):
            imported = target(script, name)
            exported = re.findall(
                r"^export (?:async )?(?:function\*? ?|class |const )(\w+)", imported.read_text(), re.MULTILINE
            )
            assert set(names.split(", ")) <= set(exported), f"{script.name} from {imported.name}"
            if imported not in found:
                found.add(imported)
                waiting.append(imported)
    assert {p for p in found if p.is_relative_to(FOLDER)} | {index} == set(FILES)
    assert sum(p.stat().st_size for p in FILES) < 250_000


def test_the_html_has_what_pages_have():
    lint = Lint()
    lint.feed((FOLDER / "index.html").read_text())
    tags = [tag for tag, _ in lint.tags]
    assert ("html", {"lang": "en"}) in lint.tags
    for name in ("title", "main", "header", "nav", "noscript"):
        assert tags.count(name) == 1
    assert any(values.get("aria-live") == "polite" for _, values in lint.tags)
