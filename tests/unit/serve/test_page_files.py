"""The page's files without a browser: how they are served, and what must not be in them."""

from __future__ import annotations

import asyncio
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi", reason="the service needs [serve]")
pytest.importorskip("httpx", reason="the service needs [serve]")

from fastapi import FastAPI
from starlette.testclient import TestClient

from tal_engine import Localization, Segment, Vocabulary
from tal_engine.records import Info
from tal_engine.serve import api_export
from tal_engine.serve.api_export import Choice
from tal_engine.serve.page_files import FOLDER, TYPES, add_page
from tal_engine.serve.problems import ProblemError
from tal_engine.serve.rendering import ResultFormat, stored_result

FILES = sorted(p for p in FOLDER.rglob("*") if p.is_file())
SCRIPTS = [p for p in FILES if p.suffix == ".js"]
#: Ways by which text could become HTML or code, or a page could reach elsewhere.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|importScripts|"
    r"setAttribute\(\"(?:style|on)|\bstyle=|javascript:|//cdn|@import|url\(|\bEventSource\(|setTimeout\(\""
)


@pytest.fixture(scope="module")
def web():
    app = FastAPI()
    assert add_page(app)
    return TestClient(app, follow_redirects=False)


def test_files_have_their_type_a_tag_and_the_policy(web):
    for path in FILES:
        name = path.relative_to(FOLDER).as_posix()
        said = web.get(f"/page/{name}")
        assert (said.status_code, said.content) == (200, path.read_bytes())
        assert said.headers["content-type"] == TYPES[path.suffix]
        assert said.headers["cache-control"] == "no-cache"
        again = web.get(f"/page/{name}", headers={"If-None-Match": f'"other", W/{said.headers["etag"]}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", said.headers["etag"])
    assert web.get("/page/").content == (FOLDER / "index.html").read_bytes()
    assert web.get("/").headers["location"] == "/page/"
    assert web.head("/page/").content == b""


def test_the_policy_allows_the_page_itself_and_nothing_else(web):
    policy = dict(part.split(" ", 1) for part in web.get("/page/").headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    for name in ("script-src", "style-src", "img-src", "connect-src"):
        assert policy[name] == "'self'"
    assert policy["media-src"] == "blob:"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"


@pytest.mark.parametrize(
    "path",
    [
        "../page_files.py",
        "%2e%2e/page_files.py",
        "js/../../app.py",
        "/etc/passwd",
        "js",
        "js/",
        "none.js",
        "..%5capp.py",
        "%00",
    ],
)
def test_a_request_names_a_file_of_the_page_or_none(web, path):
    said = web.get(f"/page/{path}")
    assert said.status_code == 404
    assert b"import" not in said.content


def test_a_package_without_the_page_is_a_service_still(tmp_path):
    assert not add_page(FastAPI(), tmp_path)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_nothing_reaches_out_or_makes_html_of_data(path):
    text = path.read_text()
    assert path.suffix in TYPES
    assert len(text.splitlines()) < 300
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)\S*", text) == []
    assert FORBIDDEN.findall(text) == []


def test_modules_find_each_other_and_none_is_left_over():
    index = (FOLDER / "index.html").read_text()
    linked = {FOLDER / name for name in re.findall(r'(?:src|href)="([^"#]+)"', index)}
    found, waiting = set(linked), [p for p in linked if p.suffix == ".js"]
    while waiting:
        script = waiting.pop()
        for name in re.findall(r'^import [^"]*"(\./[^"]+)";$', script.read_text(), re.MULTILINE):
            target = script.parent / name
            assert target.is_file(), f"{script.name} imports {name}"
            if target not in found:
                found.add(target)
                waiting.append(target)
    assert {p.resolve() for p in found} | {FOLDER / "index.html"} == set(FILES)
    assert sum(p.stat().st_size for p in FILES) < 200_000


def test_names_that_are_imported_are_exported():
    exported = {
        p.name: set(re.findall(r"^export (?:async )?(?:function\*? ?|class |const )(\w+)", p.read_text(), re.MULTILINE))
        for p in SCRIPTS
    }
    for script in SCRIPTS:
        for names, source in re.findall(r'^import \{ ([^}]+) \} from "\./([^"]+)";$', script.read_text(), re.MULTILINE):
            assert set(names.split(", ")) <= exported[source], f"{script.name} from {source}"


class Lint(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.ids = [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        assert not [name for name in values if name == "style" or name.startswith("on")], (tag, values)
        assert tag != "style"
        assert tag != "script" or "src" in values
        assert tag != "img" or "alt" in values
        self.ids += [values["id"]] if "id" in values else []
        self.tags.append((tag, values))


def test_the_html_has_what_pages_have():
    lint = Lint()
    lint.feed((FOLDER / "index.html").read_text())
    tags = [tag for tag, _ in lint.tags]
    assert ("html", {"lang": "en"}) in lint.tags
    for name in ("title", "main", "header", "nav", "noscript"):
        assert tags.count(name) == 1
    assert len(set(lint.ids)) == len(lint.ids)
    assert any(values.get("name") == "viewport" for _, values in lint.tags)
    assert any(values.get("aria-live") == "polite" for _, values in lint.tags)
    assert all("aria-label" in values for tag, values in lint.tags if tag == "nav")


def test_every_key_of_the_help_does_something():
    acts = re.findall(r'^  key\("[^"]+", "(\w+)"', (FOLDER / "js" / "keys.js").read_text(), re.MULTILINE)
    done = []
    for name in ("result_actions.js", "playing.js"):
        actions = (FOLDER / "js" / name).read_text()
        done += re.findall(r"^    (\w+)(?:: \(|\(\) \{)", actions[actions.index("  return {") :], re.MULTILINE)
    assert len(acts) >= 20
    assert sorted(acts) == sorted(done)


def themes():
    text = (FOLDER / "css" / "base.css").read_text()
    blocks = re.findall(r"(:root[^{]*)\{([^}]*)\}", text)
    return [dict(re.findall(r"--([\w-]+): (#\w{6});", body)) for _, body in blocks]


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_enough_in_light_and_dark():
    """WCAG 2.2: text 4.5 to 1, edges of controls 3 to 1."""
    light, dark, by_system = themes()
    assert dark == by_system
    for theme in (light, dark):
        assert set(theme) == set(light)
        for text, grounds in {
            "ink": ("ground", "sunken", "raised", "bad-ground"), "faint": ("ground", "sunken", "raised", "bad-ground"),
            "accent": ("ground", "sunken", "raised"), "bad": ("ground", "bad-ground"), "good": ("ground", "sunken"),
            "select": ("ground",), "warn-ink": ("warn-ground",), "on-accent": ("accent",),
        }.items():  # fmt: skip
            for ground in grounds:
                assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground, theme[text], theme[ground])
        for ground in ("ground", "sunken", "raised"):
            assert contrast(theme["edge"], theme[ground]) >= 3, ground


SEGMENTS = (Segment(5, 7, "a", 0.9), Segment(0, 3, "b", 0.8), Segment(8, 9, "a", 0.7), Segment(1, 2, "b", 0.2))


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [({}, [0, 1, 2, 3]), ({"min_score": 0.7}, [0, 1, 2]), ({"floors": {"a": 1.0}}, [1, 3]), ({"top_k": 2}, [0, 1]),
     ({"min_score": 0.5, "floors": {"b": 0.1, "a": 0.75}}, [0, 1, 3]), ({"start": 3.0, "end": 8.0}, [0]),
     ({"end": 1.5}, [1, 3]), ({"top_k": 2, "end": 4.0}, [1]), ({"floors": {"a": 1.0}, "top_k": 1}, [1]),
     ({"start": 100.0}, [])],
)  # fmt: skip
def test_what_is_chosen_for_an_export(choice, wanted):
    assert Choice(**choice).of(SEGMENTS) == [SEGMENTS[i] for i in wanted]


def test_an_export_needs_a_job_that_is_done():
    done = stored_result(Localization(SEGMENTS, Info("v.mp4", duration=10.0), Vocabulary(["a", "b"])))
    jobs = {"waits": (SimpleNamespace(state="queued"), None), "done": (SimpleNamespace(state="done"), done)}
    store = SimpleNamespace(get=lambda name: jobs.get(name, (None,))[0], result=lambda name: jobs[name][1])

    def ask(job, **choice):
        return asyncio.run(api_export.export(job, Choice(**choice), SimpleNamespace(store=store)))

    said = ask("done", min_score=0.8)
    assert [s["label"] for s in json.loads(said.body)["segments"]] == ["a", "b"]
    for form in ResultFormat:
        assert ask("done", format=form, start=100.0).status_code == 200  # nothing is left: a file still
    for job, kind in (("none", "not-found"), ("waits", "conflict")):
        with pytest.raises(ProblemError) as error:
            ask(job)
        assert error.value.kind == kind
