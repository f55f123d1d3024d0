"""The studio's page in a real browser, against a real studio: what somebody does with keys, mouse and fingers."""

from __future__ import annotations

import csv
import json
import re
from fractions import Fraction

import pytest

pytest.importorskip("fastapi", reason="the studio needs [serve]")

from tal_engine.studio.classes import set_classes
from tal_engine.studio.labels import Label
from tests.browsing import Seen, chromium
from tests.makers import moving_square, write_mp4
from tests.studios import result
from tests.studying import Told, studying, tap
from tests.waiting import LONG_S, until

NASTY = '<img src=x onerror="window.hit=1">'
FRAME = 1 / 25
#: Frames of the video whose rate varies, in hundredths of a second.
UNEVEN = [0, 4, 8, 20, 24, 40, 41, 60, 80, 120, 124, 160]


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def one(browser, tmp_path_factory):
    """A studio of three videos: a plain one, one of uneven frames, one that no browser plays."""
    folder = tmp_path_factory.mktemp("studio") / "videos"
    folder.mkdir()
    write_mp4(folder / "a.mp4", moving_square(100, 64, 96))
    write_mp4(folder / "b.mp4", moving_square(len(UNEVEN), 64, 96), pts=UNEVEN, time_base=Fraction(1, 100))
    write_mp4(folder / "old.mp4", moving_square(50, 64, 96), codec="mpeg4")
    with studying(folder, classes=("run", "jump", NASTY), look_seconds=0.2) as studio:
        yield studio


@pytest.fixture(scope="module")
def page(browser, one):
    """A page that knows its token and a name; at the end it has made no error and asked nobody else."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="light", has_touch=True)
    context.set_default_timeout(LONG_S * 1e3)
    page = context.new_page()
    page.told = Told(page)
    seen = Seen(page, one.base)
    page.goto(one.address)
    assert page.url == f"{one.base}/"  # the token stays in no history
    page.get_by_role("dialog", name="Teach it by single presses").get_by_label("Your name").fill("ana")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Labelling as ana").wait_for()
    yield page
    assert (seen.errors, seen.foreign) == ([], [])
    assert page.evaluate("window.hit") is None
    context.close()


def ids(one):
    return {v.name: v.id for v in one.studio.library.videos.values()}


def labels(one, name="a.mp4"):
    """What is known of a video, by start."""
    with one.studio.project.lock:
        found = one.studio.project.state.of_video(ids(one)[name])
    return sorted(found, key=lambda x: (x.start, x.end))


def told(one, name="a.mp4"):
    return [(x.kind, x.label, round(x.start, 3), round(x.end, 3)) for x in labels(one, name)]


def saved(page):
    page.locator(".saved-state[data-kind=saved]").wait_for()


def try_now(page):
    """Press the button, which goes as soon as the page has tried again by itself."""
    page.locator(".saved-state button").dispatch_event("click")


def open_video(page, one, name):
    page.goto(f"{one.base}/#/label/{ids(one)[name]}")
    page.get_by_role("heading", name=name).wait_for()
    page.locator(".frame-number").filter(has_text="frame 0").wait_for()


def others(page, one, edit, changes):
    """Edit the plain video as somebody else would; whether it was taken."""
    body = {"edit": edit, "author": "bo", "video": ids(one)["a.mp4"], "changes": changes}
    return page.request.post(f"{one.base}/api/edits", data=body).ok


@pytest.fixture
def bench(page, one):
    """The plain video without labels, at its beginning."""
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{one.base}/#/")
    page.get_by_role("heading", name="Videos").wait_for()
    saved(page)
    gone = [{"op": "remove", "label": x.document, "base": x.revision} for x in labels(one)]
    if gone:
        assert others(page, one, f"clearing-{one.studio.project.state.revision}", gone)
    page.reload()  # another session: nothing is left to undo
    page.get_by_role("button", name="Labelling as ana").wait_for()
    open_video(page, one, "a.mp4")
    until(lambda: page.locator(".label-row").count() == 0)
    return page


def to_frame(page, number):
    now = int(page.locator(".frame-number").inner_text().split()[1].replace(",", ""))
    for _ in range(abs(number - now)):
        page.keyboard.press("." if number > now else ",")
    assert page.locator(".frame-number").inner_text() == f"frame {number}"


def test_a_tap_marks_the_frame_that_is_shown_and_is_on_the_disk_when_it_says_saved(bench, one):
    to_frame(bench, 10)
    tap(bench, "2")
    saved(bench)
    assert told(one) == [("point", "jump", 0.4, 0.4)]
    assert labels(one)[0].author == "ana"
    with (one.studio.options.folder / "labels.csv").open() as file:
        assert [row["label"] for row in csv.DictReader(file) if row["video"] == "a.mp4"] == ["jump"]
    assert bench.get_by_role("button", name="Go to jump, 0:00.40").count() == 1
    tap(bench, "3")  # its name is text, wherever it is shown
    saved(bench)
    assert {x[1] for x in told(one)} == {"jump", NASTY}


def test_holding_marks_from_here_to_there(bench, one):
    to_frame(bench, 5)
    bench.keyboard.down("1")
    until(lambda: int(bench.locator(".frame-number").inner_text().split()[1]) >= 12)  # it plays meanwhile
    bench.keyboard.up("1")
    saved(bench)
    ((kind, label, start, end),) = told(one)
    assert (kind, label, start) == ("segment", "run", 0.2)
    assert end == pytest.approx(round(end / FRAME) * FRAME, abs=1e-3)
    assert 0.48 <= end < 4
    assert bench.get_by_role("button", name="Play", exact=True).count() >= 1  # it stands again


def test_a_tap_that_is_heard_late_is_a_tap_and_marks_where_it_began(bench, one):
    """What counts is how long the key was down, not when a busy page hears of it."""
    to_frame(bench, 5)
    events = bench.context.new_cdp_session(bench)
    about = {"key": "1", "code": "Digit1", "windowsVirtualKeyCode": 49}
    for kind, seconds in (("point", 0.1), ("segment", 5.0)):
        began = bench.evaluate("performance.timeOrigin + performance.now()") / 1e3
        events.send("Input.dispatchKeyEvent", {"type": "keyDown", "text": "1", "timestamp": began, **about})
        until(lambda: int(bench.locator(".frame-number").inner_text().split()[1]) >= 9)  # taken for a hold: it plays
        events.send("Input.dispatchKeyEvent", {"type": "keyUp", "timestamp": began + seconds, **about})
        saved(bench)
        [(found, _, start, _)] = told(one)
        assert (found, start) == (kind, 0.2)
        bench.keyboard.press("Control+z")
        until(lambda: told(one) == [])
        to_frame(bench, 5)


def test_bounds_class_note_nudge_delete_and_undo_without_end(bench, one):
    to_frame(bench, 20)
    tap(bench, "1")
    to_frame(bench, 15)
    bench.keyboard.press("[")
    to_frame(bench, 30)
    bench.keyboard.press("]")
    bench.keyboard.press("Control+ArrowRight")
    bench.keyboard.press("Shift+Digit2")
    bench.keyboard.press("m")
    bench.get_by_role("dialog").get_by_label("Note").fill("behind the door")
    bench.keyboard.press("Enter")
    saved(bench)
    assert told(one) == [("segment", "jump", 0.64, 1.28)]
    assert labels(one)[0].note == "behind the door"
    bench.keyboard.press("Delete")
    until(lambda: told(one) == [])
    for _ in range(7):
        bench.keyboard.press("Control+z")
    saved(bench)
    assert told(one) == []
    assert bench.get_by_role("button", name="Undo").is_disabled()
    for _ in range(6):
        bench.keyboard.press("Control+y")
    until(lambda: [x.note for x in labels(one)] == ["behind the door"])
    assert told(one) == [("segment", "jump", 0.64, 1.28)]
    assert bench.locator(".label-row").count() == 1


def test_a_suggestion_of_what_is_marked_does_not_mark_it_twice(bench, one):
    guesses = [{"start": 1.0, "end": 2.0, "label": "run", "score": 0.9}]
    bench.told.answers["suggestions"] = {"revision": 1, "segments": guesses, "curves": None}
    one.studio.tell("suggestions", {"revision": 1})
    bench.get_by_text("0 labels · 1 suggested").wait_for()
    to_frame(bench, 30)
    tap(bench, "1")
    bench.get_by_text("1 label · 0 suggested").wait_for()
    bench.keyboard.press("a")
    saved(bench)
    assert told(one) == [("point", "run", 1.2, 1.2)]  # nothing is suggested here that is not marked
    bench.keyboard.press("Escape")
    bench.keyboard.press("ArrowUp")  # the suggestion, which begins before the mark
    bench.get_by_role("button", name="Give the mark these ends").click()
    until(lambda: told(one) == [("segment", "run", 1.0, 2.0)])
    bench.told.answers["suggestions"] = {"revision": 2, "segments": [], "curves": None}
    one.studio.tell("suggestions", {"revision": 2})


def test_a_range_becomes_a_segment_or_nothing(bench, one):
    to_frame(bench, 10)
    bench.keyboard.press("[")
    to_frame(bench, 19)
    bench.keyboard.press("]")
    assert bench.locator(".selected").inner_text() == "0:00.40 – 0:00.80 (0:00.40)"
    bench.keyboard.press("x")
    saved(bench)
    assert told(one) == [("nothing", "", 0.4, 0.8)]
    assert bench.locator(".selected").inner_text() == ""


def test_what_is_not_saved_says_so_and_is_sent_again_as_the_same_edit(bench, one):
    sent = []

    def lost(route):
        sent.append(json.loads(route.request.post_data)["edit"])
        route.abort()

    bench.route("**/api/edits", lost)
    to_frame(bench, 4)
    tap(bench, "1")
    tap(bench, "2")
    bench.get_by_text("2 edits not saved").wait_for()
    assert bench.locator(".label-row").count() == 2  # shown at once, with what is true of them
    assert bench.locator(".label-row .unsaved-dot").count() == 2
    until(lambda: bench.title() and len(sent) >= 2)  # the driver hears requests only while it is asked something
    assert len(set(sent)) == 1  # in order: the second waits for the first
    bench.on("dialog", lambda dialog: dialog.accept())
    bench.reload()  # the browser kept them
    bench.get_by_text("2 edits not saved").wait_for()
    assert told(one) == []
    bench.unroute("**/api/edits")
    try_now(bench)
    saved(bench)
    assert sorted(told(one)) == [("point", "jump", 0.16, 0.16), ("point", "run", 0.16, 0.16)]


def test_a_full_disk_is_told_and_nothing_is_called_saved_before_there_is_room(bench, one):
    problem = {"title": "The disk is full", "detail": "The project cannot be written.", "type": "/v1/problems/storage"}
    kind = "application/problem+json"
    bench.route("**/api/edits", lambda route: route.fulfill(status=507, json=problem, content_type=kind))
    tap(bench, "1")
    told = bench.get_by_role("alert").filter(has_text="The disk is full")
    told.get_by_text("sent again until it is saved").wait_for()
    assert bench.get_by_text("1 edit not saved").is_visible()
    bench.unroute("**/api/edits")
    try_now(bench)
    saved(bench)
    assert (len(labels(one)), told.count()) == (1, 0)


def test_what_the_server_refuses_stays_until_somebody_decides(bench, one):
    problem = {"title": "This cannot be", "detail": "class 'run' is gone", "type": "about:blank/usage"}
    bench.route(
        "**/api/edits", lambda route: route.fulfill(status=422, json=problem, content_type="application/problem+json")
    )
    tap(bench, "1")
    bench.get_by_role("alert").filter(has_text="class 'run' is gone").get_by_role("button", name="Close").click()
    bench.get_by_text("1 edit not saved").wait_for()
    bench.unroute("**/api/edits")
    bench.get_by_role("button", name="Look").click()
    bench.get_by_role("button", name="Discard them").click()
    saved(bench)
    assert (told(one), bench.locator(".label-row").count()) == ([], 0)


def test_mouse_and_finger_drag_labels_and_their_ends(bench, one):
    to_frame(bench, 25)
    bench.keyboard.press("[")
    to_frame(bench, 49)
    bench.keyboard.press("]")
    tap(bench, "1")
    saved(bench)
    plot = bench.locator(".timeline .plot")
    box = plot.bounding_box()
    x = lambda t: box["x"] + box["width"] * t / 4  # noqa: E731
    y = box["y"] + 26 + 10
    bench.mouse.move(x(2.0), y)
    bench.mouse.down()
    bench.mouse.move(x(3.0), y, steps=4)
    bench.mouse.up()
    until(lambda: told(one) == [("segment", "run", 1.0, 3.0)])
    touch = bench.context.new_cdp_session(bench)
    point = lambda t: [{"x": x(t), "y": y}]  # noqa: E731
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": point(1.5)})
    for t in (1.6, 1.7, 1.8, 2.0):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": point(t)})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    until(lambda: told(one) != [("segment", "run", 1.0, 3.0)])
    ((_, _, start, end),) = told(one)
    assert (end - start, start) == pytest.approx((2.0, 1.5), abs=0.05)
    bench.locator(".class-button").filter(has_text="jump").tap()  # a class by finger
    until(lambda: len(told(one)) == 2)


def test_frames_of_uneven_length_are_stepped_and_marked_exactly(page, one):
    open_video(page, one, "b.mp4")
    times = page.request.get(f"{one.base}/api/videos/{ids(one)['b.mp4']}/frames").json()["times"]
    assert [round(t * 100) for t in times] == UNEVEN
    page.evaluate(
        """() => { const v = document.querySelector("video");
        const heard = (_, m) => { v.dataset.shown = m.mediaTime; v.requestVideoFrameCallback(heard); };
        v.requestVideoFrameCallback(heard); }"""
    )
    for number in (3, 4, 5, 6, 7, 9, 8, 2):
        to_frame(page, number)
        page.wait_for_function(
            "t => Math.abs(document.querySelector('video').dataset.shown - t) < 2e-3", arg=times[number]
        )
    tap(page, "1")
    saved(page)
    assert told(one, "b.mp4") == [("point", "run", 0.08, 0.08)]


def test_another_person_s_labels_come_by_themselves_and_conflicts_are_settled(bench, one):
    tap(bench, "1")
    saved(bench)
    mine = labels(one)[0]
    theirs = {**mine.document, "start": 2.0, "end": 2.0}
    late = []
    bench.route("**/api/edits", lambda route: late.append(route))  # ours is on its way while theirs is taken
    bench.keyboard.press("Shift+Digit2")
    until(lambda: bench.title() and late)
    assert others(bench, one, "of-somebody-1", [{"op": "change", "label": theirs, "base": mine.revision}])
    late[0].continue_()
    bench.unroute("**/api/edits")
    bench.get_by_role("alert").filter(has_text="Somebody else was first").get_by_role("link", name="Compare").click()
    bench.get_by_role("heading", name="Conflicts").wait_for()
    conflict = bench.locator(".conflict")
    assert "jump" in conflict.inner_text()
    conflict.get_by_role("button", name="Keep The edit that came second").click()
    bench.get_by_text("There are none").wait_for()
    assert told(one)[0][1] == "jump"
    open_video(bench, one, "a.mp4")
    more = {**theirs, "id": "another-one", "start": 3.0, "end": 3.5, "kind": "segment"}
    assert others(bench, one, "of-somebody-2", [{"op": "add", "label": more, "base": 0}])
    bench.get_by_role("button", name="Go to run, 0:03.00 – 0:03.50").wait_for()


def test_a_video_that_browsers_do_not_play_gets_its_picture_later(page, one):
    page.goto(f"{one.base}/#/videos")
    page.locator(".video-row", has_text="old.mp4").click()  # anywhere in its row
    page.get_by_role("heading", name="old.mp4").wait_for()
    page.locator("video").wait_for()  # of the copy, once that is made
    page.wait_for_function("() => document.querySelector('video').videoWidth === 96")
    until(lambda: page.locator(".frame-number").inner_text() == "frame 0")
    page.keyboard.press("End")
    until(lambda: page.locator(".frame-number").inner_text() == "frame 49")


def questions(one):
    asked = [("a.mp4", "boundary", 1.0, 1.4), ("b.mp4", "disagreement", 0.2, 0.6), ("a.mp4", "likely_miss", 2.0, 2.4),
             ("a.mp4", "rare", 3.0, 3.2), ("a.mp4", "likely_false", 0.4, 0.8)]  # fmt: skip
    return [
        {"id": f"q{i}", "video": ids(one)[name], "start": start, "end": end, "label": "run", "score": 0.6,
         "reason": reason, "text": f"why {i}"} for i, (name, reason, start, end) in enumerate(asked, 1)
    ]  # fmt: skip


def test_questions_are_answered_by_one_key_each(page, one):
    answers = page.told.answers
    answers["queue"] = {"revision": 1, "items": questions(one)}
    answers["POST queue"] = {"revision": 0, "labels": [], "next": None}
    page.told.posts.clear()
    page.goto(f"{one.base}/#/team")
    page.reload()
    page.get_by_role("link", name="Review 5").click()
    for key, why in (("a", 1), ("2", 2), ("r", 3)):
        page.get_by_text(f"Why {why}", exact=True).wait_for()
        page.keyboard.press(key)
    page.get_by_text("Why 4", exact=True).wait_for()
    page.keyboard.press("End")
    page.keyboard.press("]")
    page.keyboard.press("m")
    page.get_by_text("Why 5", exact=True).wait_for()
    answers["queue"] = {"revision": 2, "items": []}
    page.get_by_role("button", name="Nothing", exact=True).click()
    page.get_by_role("heading", name="All questions are answered").wait_for()
    saved(page)
    said = {
        path: {k: v for k, v in body.items() if k not in ("edit", "author", "asked")} for path, body in page.told.posts
    }
    assert said == {
        "queue/q1": {"answer": "accept"}, "queue/q2": {"answer": "other", "label": "jump"},
        "queue/q3": {"answer": "reject"}, "queue/q4": {"answer": "move", "start": 3.0, "end": 4.0},
        "queue/q5": {"answer": "nothing"},
    }  # fmt: skip
    assert len({body["edit"] for _, body in page.told.posts}) == 5


def test_undo_asks_again_and_an_answer_to_a_replaced_question_counts(page, one):
    """Nothing in place of the server here; what can be undone is what nobody else has touched."""
    for name, video in ids(one).items():
        gone = [{"op": "remove", "label": x.document, "base": x.revision} for x in labels(one, name)]
        body = {"edit": f"clearing-{video}", "author": "bo", "video": video, "changes": gone}
        assert not gone or page.request.post(f"{one.base}/api/edits", data=body).ok
    result(one.studio, [(0.1, 0.5, "run", 0.9), (0.9, 1.3, "jump", 0.8)], classes=("run", "jump"))
    for k, q in enumerate(one.studio.findings.queue(one.studio.project.state)):
        if q.reason == "unfinished":  # whole videos: tested below
            body = {"edit": f"of-bo-whole-{k}", "author": "bo", "answer": "reject"}
            assert page.request.post(f"{one.base}/api/queue/{q.id}", data=body).ok
    video = one.studio.findings.queue(one.studio.project.state)[0].video
    name = next(n for n, i in ids(one).items() if i == video)
    mine = page.context.new_page()
    seen = Seen(mine, one.base)
    mine.goto(f"{one.base}/#/review")
    asked = mine.locator(".question")
    badge = mine.locator("#review-count:not(:empty)")
    first = asked.get_attribute("data-question")
    number = int(badge.inner_text())
    for answer in ("r", "a"):  # no label follows from the first, one from the second
        mine.keyboard.press(answer)
        mine.locator(f".question:not([data-question='{first}'])").wait_for()
        mine.keyboard.press("Control+z")
        mine.locator(f".question[data-question='{first}']").wait_for()
        saved(mine)
    assert told(one, name) == []
    until(lambda: int(badge.inner_text()) == number)
    mine.keyboard.press("Control+y")
    until(lambda: len(told(one, name)) == 1)
    second = asked.get_attribute("data-question")
    assert second != first
    body = {"edit": "of-bo-00000", "author": "bo", "answer": "reject"}
    assert page.context.request.post(f"{one.base}/api/queue/{second}", data=body).ok
    mine.keyboard.press("a")
    mine.get_by_role("alert").filter(has_text="not needed any more").get_by_role("button", name="Close").click()
    saved(mine)
    second = mine.locator(f".question:not([data-question='{second}'])").get_attribute("data-question")
    result(one.studio, [])
    one.studio.tell("suggestions", {"revision": 2})
    mine.get_by_text("This is asked no more").wait_for()
    mine.keyboard.press("r")
    mine.get_by_role("heading", name="All questions are answered").wait_for()
    saved(mine)
    assert second in one.studio.project.state.answered
    [label] = labels(one, name)
    theirs = {**label.document, "label": "jump"}
    body = {"edit": "of-bo-00001", "author": "bo", "video": video,
            "changes": [{"op": "change", "label": theirs, "base": label.revision}]}  # fmt: skip
    assert mine.request.post(f"{one.base}/api/edits", data=body).ok
    mine.goto(f"{one.base}/#/label/{video}")
    mine.get_by_role("button", name=re.compile("Go to jump")).wait_for()
    mine.keyboard.press("Control+z")  # the rejection, which touches no label
    mine.keyboard.press("Control+z")
    mine.get_by_role("alert").filter(has_text="bo has changed this label (run").wait_for()
    assert [x.label for x in labels(one, name)] == ["jump"]
    assert (seen.errors, seen.foreign) == ([], [])
    mine.close()


def test_a_video_is_watched_whole_marked_and_finished_in_review(page, one):
    """The question stays while actions are marked; accepting makes the video done, and undo takes that back."""
    with one.studio.project.lock:
        held = set(one.studio.project.state.held_out)
    name = next(n for n, i in ids(one).items() if i not in held)
    video = ids(one)[name]
    item = {"id": "whole", "video": video, "start": 0.0, "end": 2.0, "label": "", "score": 0.0, "reason": "unfinished",
            "text": "no actions are marked: watch it once"}  # fmt: skip
    page.told.answers["queue"] = {"revision": 1, "items": [item]}
    page.told.answers["POST queue"] = {"revision": 0, "labels": [], "next": None}
    page.told.posts.clear()
    page.goto(f"{one.base}/#/team")
    page.reload()
    page.goto(f"{one.base}/#/review")
    page.get_by_role("heading", name="Is that all?").wait_for()
    page.keyboard.press("k")
    page.keyboard.press("Home")
    before = len(labels(one, name))
    for key in ("1", "2"):
        tap(page, key)
        saved(page)
    until(lambda: len(labels(one, name)) == before + 2)
    assert page.locator(".question").get_attribute("data-question") == "whole"
    assert page.get_by_role("button", name="Move here").count() == 0
    page.told.answers["queue"] = {"revision": 1, "items": []}
    page.keyboard.press("a")
    page.get_by_role("heading", name="All questions are answered").wait_for()
    saved(page)
    [(path, body)] = page.told.posts
    assert (path, body["answer"], body["asked"]["reason"]) == ("queue/whole", "accept", "unfinished")
    for _ in range(3):
        page.keyboard.press("Control+z")
        saved(page)
    until(lambda: len(labels(one, name)) == before)


def test_the_model_is_trained_measured_and_put_to_use(page, one):
    curve = [{"threshold": t / 10, "hits": 10 - t, "false_alarms": 2 * (10 - t), "missed": t} for t in range(11)]
    clicks = [
        {"labels": n, "mAP": m, "low": m - 0.1, "high": m + 0.1, "false_alarms": 9 - n / 10, "low_fa": 1, "high_fa": 12}
        for n, m in ((10, 0.3), (20, 0.5), (40, 0.62))
    ]
    page.told.answers.update({
        "training": {"state": "training", "step": 30, "steps": 120, "left_s": 12.0, "detail": "head 1 of 2"},
        "POST training": {"state": "idle", "detail": "stopped"},
        "measures": {"clicks": clicks, "by_class": [{"label": "run", "ap": 0.7}],
                     "advice": ["20 more clicks of jump help most"], "held_out": {"videos": 1, "labelled": 1}},
        "thresholds": {"run": {"threshold": 0.5, "curve": curve}}, "PUT thresholds": {},
        "POST export": {"name": "videos.plan", "path": "plans/videos.plan", "bytes": 123456, "calibrated": True},
        "POST streams": {"name": "door"}, "streams": {"streams": []},
    })  # fmt: skip
    page.told.posts.clear()
    page.goto(f"{one.base}/#/team")
    page.reload()
    page.get_by_role("link", name="Training 25 %").click()
    assert page.get_by_role("progressbar", name="Training").evaluate("p => p.value") == 0.25
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Train now").wait_for()
    assert (
        page.get_by_role("img", name="mAP at tIoU 0.5: 40 labels: mAP 62.0 (52.0 to 72.0)").locator("circle").count()
        == 3
    )
    assert len(page.locator(".chart .band").first.get_attribute("points").split()) == 6
    assert page.get_by_text("20 more clicks of jump help most").is_visible()
    slider = page.get_by_role("slider", name="run")
    assert "5 hits" in page.locator(".threshold-said").inner_text()
    slider.fill("0.8")
    assert "✓ 2 hits" in page.locator(".threshold-said").inner_text()
    slider.press("Tab")
    page.get_by_role("button", name="Save the plan").click()
    page.get_by_role("region", name="Use it").get_by_text(
        "plans/videos.plan is written (123 kB, calibrated scores)"
    ).wait_for()
    page.get_by_label("Source of a stream").fill("door.mp4")
    page.get_by_role("button", name="Start a stream").click()
    page.get_by_role("heading", name="Stream door").or_(page.get_by_role("alert")).first.wait_for()
    assert page.told.posts == [
        ("training", {"action": "stop"}), ("thresholds", {"run": 0.8}),
        ("export", {"output": "videos"}), ("streams", {"source": "door.mp4"}),
    ]  # fmt: skip


def test_everything_has_a_name_and_fits_the_screen(page, one):
    page.told.answers["queue"] = {"revision": 3, "items": questions(one)}
    page.reload()
    unnamed = """() => [...document.querySelectorAll(
        "button, input, select, summary, a[href], [role=slider], video, [role=region]")]
        .filter(e => e.checkVisibility() && !e.closest("[aria-hidden=true]")
            && !(e.getAttribute("aria-label") || e.innerText?.trim() || e.labels?.length)).map(e => e.outerHTML)"""
    views = {"": ".video-row", f"label/{ids(one)['a.mp4']}": ".class-button", "review": ".question", "model": ".chart",
             "team": ".card"}  # fmt: skip
    for size in ({"width": 1024, "height": 768}, {"width": 768, "height": 1024}, {"width": 1280, "height": 720}):
        page.set_viewport_size(size)
        for view, shown in views.items():
            page.goto(f"{one.base}/#/{view}")
            page.locator(shown).first.wait_for()
            assert page.evaluate(unnamed) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], (view, size)


def test_a_name_is_asked_for_and_nobody_else_s_is_given(page, one, browser):
    one.studio.project.add_all("of-a-file", "file l.csv", [Label("of-file", ids(one)["a.mp4"], "point", 1, 1, "jump")])
    context = browser.new_context()
    other = context.new_page()
    other.goto(one.address)
    name = other.get_by_role("dialog", name="Teach it by single presses").get_by_label("Your name")
    assert name.input_value() == ""
    assert "ana" in name.evaluate("i => [...i.list.options].map(o => o.value)")
    assert "file l.csv" not in one.studio.project.state.people
    other.keyboard.type("bob")
    other.keyboard.press("Enter")
    other.get_by_role("button", name="Labelling as bob").click()
    other.keyboard.type("carl")  # instead of the name before
    other.keyboard.press("Enter")
    other.get_by_role("button", name="Labelling as carl").wait_for()
    context.close()


@pytest.fixture
def classes(one):
    """Gives the classes their names and keys back: other tests of the same studio press these keys."""
    before = [c.document for c in one.studio.project.state.classes]
    yield
    now = one.studio.project.state.class_names
    set_classes(one.studio.project, [{**c, "former": name} for c, name in zip(before, now, strict=False)])


@pytest.mark.usefixtures("classes")
def test_classes_are_named_and_renamed(bench, one):
    page = bench
    tap(page, "1")
    saved(page)
    page.goto(f"{one.base}/#/")
    page.get_by_role("button", name="Actions …").click()
    page.get_by_label("Class 1", exact=True).fill("dash")
    page.get_by_label("Key of class 1").fill("j")
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("alert").filter(has_text="The key j has a meaning of its own").wait_for()
    page.get_by_label("Key of class 1").fill("g")
    page.get_by_role("button", name="Another action").click()
    page.keyboard.type("sit")
    page.get_by_role("button", name="Keep").click()
    until(lambda: [c.name for c in one.studio.project.state.classes] == ["dash", "jump", NASTY, "sit"])
    assert one.studio.project.state.classes[0].key == "g"
    page.get_by_role("dialog").wait_for(state="detached")
    assert [x.label for x in labels(one)] == ["dash"]
    page.keyboard.press("Control+z")  # the mark of before, by its new name
    until(lambda: labels(one) == [])


def test_pure_parts(page, one):
    """Inverses, verdicts, keys, drags: where a view would not show a fault."""
    found = page.evaluate(
        """async () => {
        const { inverse, strange, Book } = await import("/js/book.js");
        const { verdicts, laneRows, placed } = await import("/js/lane_rows.js");
        const { classKeys } = await import("/js/shortcuts.js");
        const { dragged } = await import("/js/lane_timeline.js");
        const { steps, forward } = await import("/js/chart.js");
        const { at } = await import("/js/thresholds_card.js");
        const label = (id, start, end, more = {}) => ({ id, video: "v", start, end,
          kind: end > start ? "segment" : "point", label: "run", subject: "", note: "", author: "a", revision: 1,
          ...more });
        const before = new Map([["x", label("x", 1, 1)], ["y", label("y", 2, 3)]]);
        const changes = [{ op: "change", label: label("x", 5, 5) }, { op: "remove", label: label("y", 2, 3) },
          { op: "add", label: label("z", 7, 8) }, { op: "change", label: label("z", 7, 9) }];
        const book = new Book("v");
        book.load(1, [...before.values()]);
        book.apply({ edit: "1", video: "v", author: "a", changes });
        const done = book.list.map(l => [l.id, l.start, l.end]);
        book.apply({ edit: "2", video: "v", author: "a", changes: inverse(changes, before) });
        const undone = book.list.map(l => [l.id, l.start, l.end]);
        const stale = book.load(0, []);
        const bases = [book.base("x"), book.base("q")];
        book.settle("1"); book.settle("2");
        const left = new Map([["x", label("x", 5, 9, { kind: "point", revision: 3 })], ["z", label("z", 7, 9)]]);
        const others = [["x", label("x", 5, 5, { label: "jump" })], ["y", label("y", 2, 3)], ["z", null]];
        const more = [strange(changes, left), ...others.map(([id, l]) => {
          const now = new Map(left);
          if (l) now.set(id, l); else now.delete(id);
          const found = strange(changes, now);
          return found && [found.was.id, found.now?.id ?? null];
        })];
        const guess = (start, end, score, label = "run") => ({ start, end, score, label });
        const all = [guess(0, 2, .5), guess(0, 1.9, .9), guess(5, 6, .8), guess(8, 9, .7, "jump")];
        const { hits, missed } = verdicts(all, [label("s", 0, 2), label("p", 5.5, 5.5), label("m", 20, 21)]);
        const classes = ["run", "jump"];
        const shown = [label("s", 0, 1, { subject: "2" }), label("n", 3, 4, { kind: "nothing", label: "" })];
        const rows = laneRows(classes, shown, placed(all, classes));
        const own = [["a", "j"], ["b", "1"], ["c", "1"], ["d", "Q"]].map(([name, key]) => ({ name, key }));
        const span = { start: 1, end: 2 };
        const curve = [{ threshold: .2, hits: 9 }, { threshold: .6, hits: 3 }];
        const snap = t => Math.round(t * 10) / 10;
        return { done, undone, stale, bases, after: [book.base("x"), book.list.length],
          more, hits: all.map(g => hits.has(g)), missed: missed.map(l => l.id),
          rows: rows.map(r => [r.key, r.labels.length, r.segments.length, r.depth]), keys: classKeys(own),
          drags: [dragged(span, "end", .52, -1.48, 9, snap), dragged(span, "all", 9, 20, 9, snap)],
          steps: [steps(100), steps(0.3), steps(0)],
          forward: forward([[5, 1], [12, 2], [12, 3], [20, 4], [10, 5]].map(([x, y]) => ({ x, y }))).map(p => p.y),
          at: [at(curve, .5).hits, at([], 1)] };
      }"""
    )
    assert found["done"] == [["x", 5, 5], ["z", 7, 9]]
    assert found["undone"] == [["x", 1, 1], ["y", 2, 3]]
    assert (found["stale"], found["bases"], found["after"]) == (False, [None, 0], [1, 2])
    assert found["more"] == [None, ["x", "x"], ["y", "y"], ["z", None]]
    assert found["hits"] == [False, True, True, False]
    assert found["missed"] == ["m"]
    assert found["rows"] == [["/run", 1, 3, 2], ["/jump", 1, 1, 1], ["#2/run", 2, 0, 1]]
    assert found["keys"] == ["2", "1", "3", "q"]
    assert found["drags"] == [{"start": 0.5, "end": 1}, {"start": 8, "end": 9}]
    assert found["steps"] == [[0, 25, 50, 75, 100], [0, 0.1, 0.2, 0.3], [0, 1]]
    assert found["forward"] == [1, 5]
    assert found["at"] == [9, None]


def test_what_is_drawn_in_parts_is_what_would_be_drawn_as_a_whole(page, one):
    """Labels that come, go and move, one or a few at a time, in a crowded row: the same pixels as of a new picture."""
    found = page.evaluate(
        """async () => {
        const { LaneLayers, changed } = await import("/js/lane_layers.js");
        const { Range } = await import("/shared/js/range.js");
        const palette = { dark: false, ink: "#000", faint: "#888", line: "#ddd", accent: "#00f", ground: "#fff",
          select: "#f0f", bad: "#f00", good: "#0f0" };
        const range = new Range(100, 1);
        range.set(5, 95);
        const made = () => {
          const canvas = document.createElement("canvas");
          document.createElement("div").append(canvas);
          return new LaneLayers(canvas);
        };
        const drawn = (layers, labels) => {
          layers.draw({ range, width: 600, curves: null, chosen: null, guess: null, drafts: [], selection: null,
            floor: () => 0, hits: null, waiting: new Set(), palette, rows: ["run", "jump"].map((label, id) => ({
              key: label, label, label_id: id, subject: "", segments: [], lanes: [], depth: 1,
              labels: labels.filter((l) => l.label === label || !l.label) })) }, "view", 1);
          const { canvas } = layers.labels.getContext("2d");
          return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        };
        let seed = 7;
        const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
        const label = (id) => {
          const kind = ["point", "point", "segment", "nothing"][Math.floor(random() * 4)];
          const start = random() * 100;
          return { id: String(id), kind, start, end: kind === "point" ? start : start + random() * 3,
            label: kind === "nothing" ? "" : random() < .5 ? "run" : "jump" };
        };
        let labels = Array.from({ length: 150 }, (_, id) => label(id));
        const layers = made();
        let [differ, inked, renewed] = [0, 0, 0];
        const renew = layers.renew.bind(layers);
        layers.renew = (...given) => { renewed += 1; renew(...given); };
        for (let step = 0; step < 60; step++) {
          for (let n = step % 3; n >= 0; n--) {
            const i = Math.floor(random() * labels.length);
            if (step % 2) labels = labels.filter((_, k) => k !== i);
            else labels = [...labels, label(1000 + 10 * step + n)];
          }
          labels = labels.map((l) => ({ ...l })).sort((a, b) => a.start - b.start || a.end - b.end);
          const [parts, whole] = [drawn(layers, labels), drawn(made(), labels)];
          for (let k = 0; k < whole.length; k++) {
            differ += Math.abs(parts[k] - whole[k]) > 24; // edges are smoothed a little otherwise at a clip
            inked += whole[k] > 0;
          }
        }
        return { differ, inked, renewed, same: changed(labels, labels.map((l) => ({ ...l }))) };
      }"""
    )
    assert found["inked"] > 100_000
    assert found["differ"] < 1000  # hatches are smoothed otherwise in the column in which a part ends
    assert (found["renewed"], found["same"]) == (118, None)


def test_two_windows_of_one_person_lose_nothing_and_undo_their_own(bench, one):
    other = bench.context.new_page()
    Told(other)
    open_video(other, one, "a.mp4")
    tap(bench, "1")
    other.locator(".label-row").filter(has_text="run").wait_for()
    to_frame(other, 20)
    tap(other, "2")
    bench.locator(".label-row").filter(has_text="jump").wait_for()
    saved(bench)
    saved(other)
    assert told(one) == [("point", "run", 0.0, 0.0), ("point", "jump", 0.8, 0.8)]
    other.keyboard.press("Control+z")
    bench.locator(".label-row").filter(has_text="jump").wait_for(state="detached")
    saved(other)
    assert told(one) == [("point", "run", 0.0, 0.0)]
    other.close()


def test_videos_that_come_are_named_and_listed(page, one):
    page.goto(f"{one.base}/#/")
    page.get_by_role("heading", name="Videos").wait_for()
    write_mp4(one.studio.options.videos.parent / "come.mp4", moving_square(30, 64, 96)).rename(
        one.studio.options.videos / "come.mp4"
    )
    news = page.get_by_role("alert").filter(has_text="1 new video")
    news.get_by_text("come.mp4").wait_for()
    page.get_by_role("link", name="come.mp4").wait_for()
    news.get_by_role("button", name="Close").click()
