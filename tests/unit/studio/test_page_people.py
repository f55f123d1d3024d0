"""Labels about persons in the studio's page: those of skeleton files and of labels, in a real browser."""

from __future__ import annotations

import csv

import pytest

pytest.importorskip("fastapi", reason="the studio needs [serve]")

from tests.browsing import Seen, chromium
from tests.makers import moving_square, write_mp4
from tests.studying import Told, studying
from tests.waiting import LONG_S, until


def skeleton(path, spans):
    """A skeleton file: for each person by name when it is seen, [first, last] in seconds."""
    rows = [f"{t},{name},0.5,0.5" for name, (first, last) in spans.items() for t in (first, last)]
    path.write_text("\n".join(["time,subject,nose_x,nose_y", *rows]) + "\n")


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A studio of a video of two persons, one whose labels name somebody, and one of nobody in particular."""
    folder = tmp_path_factory.mktemp("people") / "videos"
    folder.mkdir()
    for name in ("pair.mp4", "named.mp4"):
        write_mp4(folder / name, moving_square(100, 64, 96))
    skeleton(folder / "pair.csv", {"0": (0, 4), "1": (2, 4)})
    labels = folder.parent / "existing.csv"
    labels.write_text("video,start,end,label,subject\nnamed.mp4,1,2,run,Ana\n")
    with studying(folder, classes=("run", "jump"), labels=labels) as studio:
        yield studio


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser, one):
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="light")
    context.set_default_timeout(LONG_S * 1e3)
    page = context.new_page()
    page.told, seen = Told(page), Seen(page, one.base)
    page.goto(one.address)
    page.get_by_label("Your name").fill("ana")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Labelling as ana").wait_for()
    yield page
    assert (seen.errors, seen.foreign) == ([], [])
    context.close()


def ids(one):
    return {v.name: v.id for v in one.studio.library.videos.values()}


def labels(one, name="pair.mp4"):
    with one.studio.project.lock:
        return [(x.label, x.subject) for x in one.studio.project.state.of_video(ids(one)[name])]


def open_video(page, one, name):
    page.goto(f"{one.base}/#/label/{ids(one)[name]}")
    page.get_by_role("heading", name=name).wait_for()
    page.locator(".frame-number").filter(has_text="frame 0").wait_for()


def saved(page):
    page.locator(".saved-state[data-kind=saved]").wait_for()


def pressed(page):
    return page.locator(".person[aria-pressed=true] .person-name").inner_text()


def test_persons_of_a_skeleton_file_are_labelled_by_keys_shown_filtered_and_undone(page, one):
    open_video(page, one, "pair.mp4")
    bar = page.get_by_role("group", name="Whom new labels are about")
    bar.get_by_role("button", name="#0").wait_for()
    assert bar.get_by_role("button").all_inner_texts() == ["Anybody\n0", "#0\n0", "#1\n0", "Ana\n0"]
    assert "seen from 0:02.00 to 0:04.00" in bar.get_by_role("button", name="#1").get_attribute("title")
    page.keyboard.press("w")
    until(lambda: pressed(page) == "#0")
    page.keyboard.press("1")
    page.keyboard.press("w")  # who is not in the picture now is passed over
    until(lambda: pressed(page) == "Ana")
    page.keyboard.press("w")
    until(lambda: pressed(page) == "Anybody")
    page.keyboard.press("2")
    saved(page)
    assert labels(one) == [("run", "0"), ("jump", "")] or labels(one) == [("jump", ""), ("run", "0")]
    until(lambda: page.locator(".row-names .subject").all_inner_texts() == ["#0"])
    page.keyboard.press("End")
    page.keyboard.press("Shift+W")  # the jump, which is chosen
    page.keyboard.press("Shift+W")
    saved(page)
    assert sorted(labels(one)) == [("jump", "1"), ("run", "0")]
    page.get_by_role("button", name="Go to jump · #1, 0:00.00").wait_for()
    with (one.studio.options.folder / "labels.csv").open() as file:
        rows = [(r["label"], r["subject"]) for r in csv.DictReader(file) if r["video"] == "pair.mp4"]
    assert sorted(rows) == [("jump", "1"), ("run", "0")]

    only = page.get_by_label("Only theirs")
    assert only.is_disabled()
    bar.get_by_role("button", name="#0").click()
    page.get_by_label("Only labels about #0").check()
    until(lambda: page.locator(".label-row").all_inner_texts() == ["run\n#0\n0:00.00"])
    page.get_by_text("1 of 2 labels").wait_for()
    until(lambda: [x for x in page.locator(".row-names .subject").all_inner_texts() if x] == ["#0"])
    page.keyboard.press("Control+z")  # of a label that is not shown: it is, from here on
    page.get_by_text("2 labels ·").wait_for()
    saved(page)
    assert sorted(labels(one)) == [("jump", "0"), ("run", "0")]
    for _ in range(3):
        page.keyboard.press("Control+z")
    until(lambda: labels(one) == [])
    for _ in range(4):
        page.keyboard.press("Control+y")
    until(lambda: sorted(labels(one)) == [("jump", "1"), ("run", "0")])


def test_names_of_labels_are_offered_and_others_can_be_given(page, one):
    open_video(page, one, "named.mp4")
    page.locator(".label-row").filter(has_text="Ana").click()
    who = page.get_by_label("Who does it")
    assert {"Anybody", "Ana"} <= set(who.evaluate("s => [...s.options].map(o => o.text)"))
    who.select_option("Somebody else …")
    page.get_by_role("dialog", name="Who does run at").get_by_label("Name").fill("Bo / 2")
    page.keyboard.press("Enter")
    until(lambda: labels(one, "named.mp4") == [("run", "Bo / 2")])
    page.get_by_role("group", name="Whom new labels are about").get_by_role("button", name="Bo / 2").wait_for()
    until(lambda: [x for x in page.locator(".row-names .subject").all_inner_texts() if x] == ["Bo / 2"])
    page.keyboard.press("Control+z")
    until(lambda: labels(one, "named.mp4") == [("run", "Ana")])


def test_answers_are_about_whom_the_page_says(page, one):
    item = {"id": "q", "video": ids(one)["pair.mp4"], "start": 1.0, "end": 2.0, "label": "run", "score": 0.6,
            "reason": "boundary", "text": "why"}  # fmt: skip
    page.told.answers["queue"] = {"revision": 1, "items": [item]}
    page.told.answers["POST queue"] = {"revision": 0, "labels": [], "next": None}
    page.goto(f"{one.base}/#/team")
    page.reload()
    page.goto(f"{one.base}/#/review")
    page.get_by_role("group", name="Whom new labels are about").get_by_role("button", name="#1").click()
    page.told.answers["queue"] = {"revision": 1, "items": []}
    page.keyboard.press("a")
    page.get_by_role("heading", name="All questions are answered").wait_for()
    saved(page)
    [(_, body)] = page.told.posts
    assert (body["answer"], body["subject"]) == ("accept", "1")


def test_where_nobody_is_known_nothing_asks_for_persons(browser, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_mp4(folder / "a.mp4", moving_square(50, 64, 96))
    with studying(folder, classes=("run",)) as one:
        page = browser.new_page()
        page.set_default_timeout(LONG_S * 1e3)
        Told(page)
        page.goto(one.address)
        page.get_by_label("Your name").fill("ana")
        page.keyboard.press("Enter")
        open_video(page, one, "a.mp4")
        page.keyboard.press("1")
        saved(page)
        page.keyboard.press("Shift+W")
        assert page.get_by_role("group", name="Whom new labels are about").count() == 0
        assert page.get_by_label("Who does it").count() == 0
        assert page.locator(".row-names .subject").count() == 0
        assert labels(one, "a.mp4") == [("run", "")]
        page.close()
