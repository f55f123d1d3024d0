"""The page in a real browser, against one real service: what somebody does with a video, a stream, a token."""

from __future__ import annotations

import csv
import io
import json
import re

import httpx
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the service needs [serve]")

from tal_engine import SegmentOptions, TALEngine
from tal_engine.options import ProposalOptions
from tal_engine.plan.score_fields import ScoreThresholds
from tests.browsing import Seen, chromium
from tests.makers import moving_square, tiny_plan, write_mp4
from tests.serving import Gate, running
from tests.waiting import LONG_S, until

TOKEN = "a-token-of-the-test"
NASTY = '<img src=x onerror="window.hit=1">.mp4'


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def one(browser, tmp_path_factory, clip):
    """A service with a token, whose plan has a threshold for one class, another for the rest, and a most."""
    folder = tmp_path_factory.mktemp("page")
    tiny_plan(
        folder / "tiny.plan", segment=SegmentOptions(min_score=0.05, top_k=9),
        thresholds=ScoreThresholds(classes={"jump": 4.0}, chosen_for="f1"),
        proposal=ProposalOptions(class_threshold=-100.0),
    )  # fmt: skip
    with running(folder / "state", plan=folder / "tiny.plan", tokens=(TOKEN,), sources=(f"door={clip}",)) as service:
        service.http.headers["Authorization"] = f"Bearer {TOKEN}"
        yield service


@pytest.fixture(scope="module")
def expected(one, clip):
    return TALEngine.load(one.service.options.plan).localize(clip)


@pytest.fixture(scope="module")
def page(browser, one):
    """A page that knows the token; at the end it has made no error and asked nobody else."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="light")
    context.set_default_timeout(LONG_S * 1e3)
    page = context.new_page()
    seen = Seen(page, one.base)
    page.goto(f"{one.base}/")
    dialog = page.get_by_role("dialog", name="This service needs a token")
    dialog.get_by_label("Token").fill("a-wrong-token-0000")
    dialog.get_by_role("button", name="Use token").click()
    page.get_by_role("alert").filter(has_text="does not know this token").wait_for()
    dialog.get_by_label("Token").fill(TOKEN)
    dialog.get_by_label("Token").press("Enter")
    page.get_by_role("heading", name="Drop a video").wait_for()
    yield page
    assert (seen.errors, seen.foreign) == ([], [])
    assert page.evaluate("window.hit") is None
    context.close()


@pytest.fixture
def result(page, one, clip):
    """A page that shows the clip's result; the clip goes up once for all tests."""
    if "#/jobs/" not in page.url or not page.locator(".result").count():
        page.goto(f"{one.base}/page/#/")
        page.get_by_role("heading", name="Drop a video").wait_for()
        page.set_input_files("#file", {"name": NASTY, "mimeType": "video/mp4", "buffer": clip.read_bytes()})
        page.locator(".result").wait_for()
    page.get_by_role("button", name="Reset").evaluate("b => b.click()")
    page.keyboard.press("Escape")
    page.keyboard.press("0")
    page.keyboard.press("Home")
    return page


def table(page):
    rows = page.locator("table.segments tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.cells].map(c => c.innerText))"
    )
    return sorted((label, start, end, score) for label, start, end, score in rows)


def as_shown(segments):
    def clock(seconds):
        return f"{int(seconds // 60)}:{seconds % 60:05.2f}"

    def score(value):
        return f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}"

    return sorted((s.label, clock(s.start), clock(s.end), score(s.score)) for s in segments)


def job_of(page):
    return page.url.rpartition("/")[2]


def test_a_video_becomes_the_segments_of_the_plan_s_thresholds(result, expected):
    assert len(expected) == 9
    assert table(result) == as_shown(expected)
    assert result.get_by_role("heading", name=NASTY).is_visible()
    assert result.locator(".row-name").all_inner_texts() == [
        c for c in ("jump", "run", "sit") if c in {s.label for s in expected}
    ]
    assert result.locator("video").evaluate("v => [v.videoWidth, v.videoHeight]") == [96, 64]


def test_the_threshold_shows_more_and_less_and_goes_back(result, one, expected):
    whole = one.http.get(f"/v1/jobs/{job_of(result)}/result").json()["segments"]
    result.get_by_role("slider", name="Threshold").fill("0.3")
    assert len(table(result)) == sum(s["score"] >= 0.3 for s in whole)
    result.keyboard.press("End")
    result.get_by_role("slider", name="Threshold").fill("1000")
    assert result.get_by_text("No segment reaches the threshold. Lower it").is_visible()
    result.get_by_role("button", name="Reset").click()
    assert table(result) == as_shown(expected)


def test_arrows_move_by_frames_of_the_video(result):
    """The picture is asked which frame it shows: the presentation time of what the browser composed."""
    result.evaluate(
        """() => { const v = document.querySelector("video");
        const heard = (_, m) => { v.dataset.shown = m.mediaTime; v.requestVideoFrameCallback(heard); };
        v.requestVideoFrameCallback(heard); }"""
    )
    moves = (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("Shift+ArrowRight", 26), ("End", 99), (",", 98))
    for press, frame in moves:
        result.keyboard.press(press)
        assert result.locator(".frame-number").inner_text() == f"frame {frame}"
        result.wait_for_function(
            "t => Math.abs(document.querySelector('video').dataset.shown - t) < 1e-3", arg=frame / 25
        )
    slider = result.get_by_role("slider", name="Position in the video")
    assert slider.get_attribute("aria-valuetext").startswith("0:03.92, frame 98")


def test_keys_play_both_ways_and_mark_a_selection(result):
    number = result.locator(".frame-number")
    frame = lambda: int(number.inner_text().split()[1])  # noqa: E731
    result.keyboard.press("l")
    until(lambda: frame() >= 5)
    result.keyboard.press("k")
    paused = frame()
    assert result.get_by_role("button", name="Play", exact=True).is_visible()
    result.keyboard.press("j")
    until(lambda: frame() < paused)
    result.keyboard.press(" ")
    result.keyboard.press("Home")
    for _ in range(3):
        result.keyboard.press("ArrowRight")
    result.keyboard.press("[")
    result.keyboard.press("ArrowRight")
    result.keyboard.press("]")
    assert result.locator(".selected").inner_text() == "0:00.12 – 0:00.20 (0:00.08)"
    result.keyboard.press("Enter")  # plays it, and stops at its end
    until(lambda: result.get_by_role("button", name="Play", exact=True).count() and frame() >= 4)
    assert frame() < 15
    result.keyboard.press("Escape")
    assert result.locator(".selected").inner_text() == ""


def test_the_timeline_zooms_pans_and_is_clicked(result, expected):
    first = expected.by_time()[0]
    plot = result.locator(".result .plot")
    value = lambda: float(plot.get_attribute("aria-valuenow"))  # noqa: E731
    box = plot.bounding_box()
    result.mouse.click(box["x"] + box["width"] / 2, box["y"] + 8)
    assert value() == pytest.approx(2.0, abs=0.03)
    for _ in range(2):
        result.keyboard.press("+")
    result.mouse.click(box["x"] + 1, box["y"] + 8)  # four times as close, around the playhead
    assert value() == pytest.approx(1.5, abs=0.05)
    result.mouse.move(box["x"] + 200, box["y"] + 40)
    result.mouse.down()
    result.mouse.move(box["x"] + 200 + box["width"] / 2, box["y"] + 40, steps=4)
    result.mouse.up()
    result.mouse.click(box["x"] + 1, box["y"] + 8)
    assert value() == pytest.approx(1.0, abs=0.06)
    result.keyboard.press("0")
    result.get_by_role("button", name=re.compile(f"^Go to {first.label}")).first.click()
    assert value() == pytest.approx(np.ceil(first.start * 25 - 1e-6) / 25, abs=0.03)
    assert result.locator("tr[aria-current]").count() == 1


def test_files_of_what_is_shown_are_the_service_s(result, expected):
    def written(form):
        result.locator("summary").click()
        with result.expect_download() as download:
            result.get_by_role("button", name=form, exact=True).click()
        return download.value.suggested_filename, download.value.path().read_text()

    name, text = written("JSON")
    assert name.endswith(".json")
    assert json.loads(text)["segments"] == expected.to_dict()["segments"]
    rows = list(csv.DictReader(io.StringIO(written("CSV")[1])))
    assert sorted(float(r["score"]) for r in rows) == pytest.approx(sorted(s.score for s in expected), rel=1e-3)
    assert sum(map(len, json.loads(written("ActivityNet")[1])["results"].values())) == len(expected)
    result.keyboard.press("]")  # the first frame
    assert len(json.loads(written("JSON")[1])["segments"]) == len(expected)  # a selection alone leaves nothing out
    result.locator("summary").click()
    result.get_by_label("only the selection").check()
    result.keyboard.press("Escape")
    assert written("WebVTT")[1].count("-->") == sum(s.start < 0.04 for s in expected)
    result.locator("summary").click()
    result.get_by_label("only the selection").uncheck()
    result.keyboard.press("Escape")


def test_help_is_a_dialog_that_gives_the_focus_back(result):
    plot = result.locator(".result .plot")
    plot.focus()
    result.keyboard.press("?")
    dialog = result.get_by_role("dialog", name="Keyboard")
    assert dialog.get_by_role("button", name="Close").evaluate("b => b === document.activeElement")
    result.keyboard.press("ArrowRight")  # belongs to the dialog, not to the video
    assert result.locator(".frame-number").inner_text() == "frame 0"
    result.keyboard.press("Escape")
    assert plot.evaluate("p => p === document.activeElement")


def test_everything_has_a_name_and_no_text_is_cut(result):
    """Controls have names for readers of screens; nothing is wider than the screen, on a tablet neither."""
    unnamed = """() => [...document.querySelectorAll("button, input, select, summary, a[href], [role=slider], video")]
        .filter(e => e.checkVisibility() && !e.closest("[aria-hidden=true]")
            && !(e.getAttribute("aria-label") || e.innerText?.trim() || e.labels?.length)).map(e => e.outerHTML)"""
    assert result.evaluate(unnamed) == []
    for size in ({"width": 820, "height": 1180}, {"width": 1180, "height": 820}, {"width": 1280, "height": 720}):
        result.set_viewport_size(size)
        assert result.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert result.locator(".timeline-box").is_visible()


def test_colours_follow_the_system_and_the_switch(result):
    ground = lambda: result.evaluate("getComputedStyle(document.body).backgroundColor")  # noqa: E731
    light = ground()
    result.emulate_media(color_scheme="dark")
    dark = ground()
    assert dark != light
    choice = result.get_by_role("combobox", name="Colours")
    choice.select_option("light")
    assert ground() == light
    result.reload()  # the choice stays; the video does not, which was never kept
    result.get_by_role("button", name="Choose the video").wait_for()
    assert ground() == light
    choice.select_option("auto")
    assert ground() == dark
    result.emulate_media(color_scheme="light")


def test_who_does_it_has_rows_of_its_own(page, one):
    """Results say so with `subject`; the answer of the service gets two of them on its way."""

    def named(route):
        document = route.fetch().json()
        for i, segment in enumerate(document["segments"]):
            segment["subject"] = i % 2
        route.fulfill(json=document)

    job = one.http.get("/v1/jobs?state=done&limit=1").json()["jobs"][0]["id"]
    page.route("**/result?curves=true", named)
    page.goto(f"{one.base}/page/#/plans")
    page.goto(f"{one.base}/page/#/jobs/{job}")
    page.locator(".row-names .subject").first.wait_for()
    assert set(page.locator(".row-names .subject").all_text_contents()) == {"#0", "#1"}
    assert page.get_by_role("columnheader", name="Who").is_visible()
    page.unroute("**/result?curves=true")


def test_progress_is_told_and_a_job_is_cancelled(page, one, clip, monkeypatch):
    gate = Gate(one.service, monkeypatch)
    page.goto(f"{one.base}/page/#/")
    page.get_by_role("heading", name="Drop a video").wait_for()
    dropped = page.evaluate_handle(
        """bytes => { const all = new DataTransfer();
        all.items.add(new File([Uint8Array.from(bytes)], "clip.mp4", { type: "video/mp4" })); return all; }""",
        list(clip.read_bytes()),
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": dropped})
    page.get_by_text("50 %").wait_for()
    assert page.get_by_role("progressbar", name="Analysis of clip.mp4").evaluate("p => p.value") == 0.5
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("heading", name="Cancelled").wait_for()
    gate.open.set()
    assert one.http.get(f"/v1/jobs/{job_of(page)}").json()["state"] == "cancelled"


def test_a_video_that_browsers_do_not_show_has_its_timeline(page, one, tmp_path):
    """MPEG-4 part 2 is decoded by the service, and by no browser."""
    video = write_mp4(tmp_path / "old.mp4", moving_square(60, 64, 96), codec="mpeg4")
    page.goto(f"{one.base}/page/#/")
    page.get_by_role("heading", name="Drop a video").wait_for()
    page.set_input_files("#file", str(video))
    page.get_by_text("This browser cannot show this file").wait_for()
    page.keyboard.press("ArrowRight")
    assert page.locator(".frame-number").inner_text() == "frame 1"
    page.keyboard.press("l")  # a clock runs where there is no picture
    until(lambda: page.locator(".frame-number").inner_text() == "frame 59")
    page.get_by_role("button", name="Play", exact=True).wait_for()


def test_what_is_no_video_is_said_clearly(page, one):
    page.goto(f"{one.base}/page/#/")
    page.get_by_role("heading", name="Drop a video").wait_for()
    page.set_input_files("#file", {"name": NASTY, "mimeType": "video/mp4", "buffer": b"no video " * 99})
    alert = page.get_by_role("alert")
    assert "cannot be read as a video" in alert.inner_text()
    assert NASTY in alert.inner_text()
    assert page.get_by_role("button", name="Try again").count() == 0  # it would not help
    page.goto(f"{one.base}/page/#/jobs/0000")
    page.get_by_role("alert").filter(has_text="There is no such thing here").wait_for()


def test_a_live_stream_tells_its_events(page, one):
    page.goto(f"{one.base}/page/#/live")
    page.get_by_label("Source: a name").fill("rtsp://elsewhere/1")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("alert").filter(has_text="does not allow this source").wait_for()
    page.get_by_label("Source: a name").fill("door")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("The stream ended.").wait_for()
    told = one.http.get("/v1/streams/door/events", headers={"Accept": "text/event-stream"}).text
    finals = re.findall(r"event: final\ndata: (.*)", told)
    assert len(finals) > 0
    assert page.get_by_text(f"{len(finals)} final event").is_visible()
    page.get_by_label("Final only").check()
    assert page.locator(".live-log tbody tr").count() == len(finals)
    assert page.get_by_role("img", name="Actions of door").get_attribute("aria-valuenow") is None  # no slider here
    page.get_by_role("button", name="Remove door").click()
    page.get_by_role("heading", name="No stream runs").wait_for()
    assert one.http.get("/v1/streams").json()["streams"] == []


def test_plans_are_shown_and_checked(page, one):
    page.goto(f"{one.base}/page/#/plans")
    page.get_by_role("heading", name="3 classes").wait_for()
    page.get_by_role("button", name="Check that it runs here").click()
    page.get_by_text("The plan runs here").wait_for()


def test_files_that_are_no_plans_are_told(page, one):
    """The service has none; its answer gets one on its way."""

    def with_one_more(route):
        document = route.fetch().json()
        route.fulfill(json={**document, "unusable": {"torn": "torn: <b>not</b> a zip archive"}})

    page.route("**/v1/plans", with_one_more)
    page.goto(f"{one.base}/page/#/")
    page.goto(f"{one.base}/page/#/plans")
    told = page.get_by_role("region", name="Plans that cannot be used")
    told.get_by_text("torn: <b>not</b> a zip archive").wait_for()
    assert told.get_by_role("heading").text_content() == "One file cannot be used"
    page.unroute("**/v1/plans")


def test_pure_parts(page, one):
    """Actions of events, pieces of an event stream, ranges, lanes: where a view would not show a fault."""
    page.goto(f"{one.base}/page/#/plans")
    found = page.evaluate(
        """async () => {
        const { Actions } = await import("/page/js/live_events.js");
        const { Parser } = await import("/page/js/sse.js");
        const { Range } = await import("/page/js/range.js");
        const { lanes } = await import("/page/js/rows.js");
        const { inSight } = await import("/page/js/timeline_draw.js");
        const { clock, size } = await import("/page/js/format.js");
        const actions = new Actions();
        const usual = { label: "run", label_id: 1, score: 0.5, start: 1, decided_at: 3, pts: 3 };
        const told = [["started", "a", null], ["final", "a", 2], ["updated", "a", 9], ["started", "b", null],
          ["withdrawn", "b", null], ["started", "c", null]];
        const news = told.map(([kind, id, end]) => actions.take({ ...usual, kind, id, end }));
        const parser = new Parser();
        const text = "id: x-1\\nevent: final\\ndata: {}\\n\\n: quiet\\n\\ndata: a\\r\\ndata: b\\r\\n\\r\\n";
        const whole = new Parser().take(text);
        const pieces = [...text].flatMap(c => parser.take(c));
        const range = new Range(100);
        range.zoom(50, 0.1);
        const closer = [range.start, range.end];
        range.pan(1000);
        const spans = [[0, 2], [1, 3], [2, 4]].map(([start, end]) => ({ start, end }));
        const same = JSON.stringify(whole) === JSON.stringify(pieces);
        const row = { depth: 1, lanes: [0, 0, 0, 0], segments: [[10, 20], [11, 19], [15, 30], [200, 300]].map(
          ([start, end]) => ({ start, end })) };
        return { sight: inSight(row, new Range(100), 100), news, segments: actions.segments, whole, same, closer,
          right: [range.start, range.end], lanes: lanes(spans),
          words: [clock(3723.456), clock(59.996), clock(-1.5, 0), size(1234567)] };
      }"""
    )
    assert found["news"] == [True, True, False, True, True, True]
    assert [(s["end"], s["provisional"], s["open"]) for s in found["segments"]] == [(2, False, False), (3, True, True)]
    assert found["whole"] == [
        {"event": "final", "id": "x-1", "data": "{}"},
        {"event": "message", "id": "x-1", "data": "a\nb"},
    ]
    assert found["same"]
    assert found["sight"] == [2, 0]  # the second lies behind the first, the last is elsewhere
    assert found["closer"] == pytest.approx([45, 55])
    assert found["right"] == pytest.approx([90, 100])
    assert found["lanes"] == [0, 1, 0]
    assert found["words"] == ["1:02:03.46", "1:00.00", "-0:02", "1.2 MB"]


def test_a_service_that_goes_and_comes_back(page, one):
    """Requests fail for a while: the view says so, and `Try again` is enough once it is back."""
    page.goto(f"{one.base}/page/#/plans")
    page.get_by_role("heading", name="3 classes").wait_for()
    page.route("**/v1/**", lambda route: route.abort())
    page.goto(f"{one.base}/page/#/live")
    page.get_by_role("alert").filter(has_text="cannot be reached").wait_for()
    page.unroute("**/v1/**")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="Start a stream").wait_for()
    assert httpx.get(f"{one.base}/v1/plans").status_code == 401  # the page is open, the service is not
