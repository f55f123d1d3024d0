"""The studio's page in headless Chromium: how fast a key answers, and a morning's work from a folder to a plan."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tal_engine import TALEngine
from tal_engine.annotations.labels import read_labels
from tal_engine.features import load_features
from tal_engine.metrics import evaluate
from tal_engine.records import Segment
from tal_engine.studio.held_out import chosen
from tal_engine.studio.marked import SAME, overlap
from tests.browsing import Seen, chromium
from tests.makers import moving_square, write_mp4
from tests.studying import Told, studying

#: From a key to the frame that shows what it did: a message that is posted in a frame is heard after its painting.
HEAR = """() => { window.taken = []; window.addEventListener("keydown", event => {
    const began = event.timeStamp;
    requestAnimationFrame(() => { const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => window.taken.push(performance.now() - began); port2.postMessage(0); });
}, true); }"""
#: Presses of each kind of key, and milliseconds between two: somebody who is quick.
PRESSES, BETWEEN_MS = 60, 90
NEAR_S = 0.5


def fluid(folder: Path, videos: int = 100, labels: int = 1000, hours: float = 2.0) -> dict[str, Any]:
    """Milliseconds from a key to the painted frame: `labels` in a video of `hours`, among `videos`, with as many
    suggestions and curves of four classes.
    """
    made, load = folder / "videos", round(os.getloadavg()[0], 1)
    made.mkdir(parents=True)
    rate, seconds = 2, int(hours * 3600)
    write_mp4(made / "long.mp4", moving_square(rate * seconds, 48, 64), fps=rate)
    for i in range(videos - 1):
        write_mp4(made / f"short{i:03d}.mp4", moving_square(8 + i, 48, 64))
    names = ("squat", "lunge", "jump", "wave")
    with studying(made, classes=names) as one, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(60e3)
        told, rng = Told(page), np.random.default_rng(0)
        times = np.arange(0, seconds, 0.5)
        told.answers["suggestions"] = {
            "revision": 1, "segments": [
                {"start": float(t), "end": float(t + 2), "label": names[i % 4], "score": float(rng.uniform())}
                for i, t in enumerate(np.sort(rng.uniform(0, seconds - 3, labels)))
            ], "curves": {"times": times.tolist()} | {n: rng.uniform(size=len(times)).round(3).tolist() for n in names},
        }  # fmt: skip
        long = next(v for v in one.studio.library.videos.values() if v.name == "long.mp4")
        page.goto(one.address)
        page.get_by_label("Your name").fill("bench")
        page.keyboard.press("Enter")
        starts = rng.uniform(0, seconds - 3, labels)
        changes = [
            {"op": "add", "base": 0, "label": {
                "id": uuid.uuid4().hex, "kind": "segment" if i % 2 else "point", "start": float(t),
                "end": float(t + 1.5 * (i % 2)), "label": names[i % 4]}} for i, t in enumerate(starts)
        ]  # fmt: skip
        body = {"edit": uuid.uuid4().hex, "author": "bench", "video": long.id, "changes": changes}
        assert page.request.post(f"{one.base}/api/edits", data=body).ok
        page.goto(f"{one.base}/#/label/{long.id}")
        page.locator(".side-head").get_by_text(f"{labels:,} labels").wait_for()
        page.wait_for_timeout(2000)
        page.evaluate(HEAR)
        found = {}
        kinds = {"a frame on": ["."], "a class": ["1", "2", "3", "4"], "the next label": ["ArrowDown"],
                 "undo": ["Control+z"], "zoom": ["+", "-"], "play, pause": [" "]}  # fmt: skip
        for kind, keys in kinds.items():
            page.evaluate("window.taken.length = 0")
            for i in range(PRESSES):
                page.keyboard.press(keys[i % len(keys)])
                page.wait_for_timeout(BETWEEN_MS)
            page.wait_for_function("n => window.taken.length >= n", arg=PRESSES)
            taken = page.evaluate("window.taken")
            middle, slow = (round(float(x), 1) for x in np.percentile(taken, [50, 95]))
            found[kind] = {"median": middle, "p95": slow, "most": round(max(taken), 1)}
            print(kind, found[kind], flush=True)
        page.locator(".saved-state[data-kind=saved]").wait_for()
        return {
            "videos": videos,
            "labels": labels,
            "suggestions": labels,
            "hours": hours,
            "presses": PRESSES,
            "load": round(os.getloadavg()[0], 1),
            "load_before": load,
            "ms": found,
        }


class Person:
    """Somebody at the page: keys and clicks as the truth says. `clicks` counts labels and answers."""

    def __init__(
        self, page: Any, base: str, truth: dict[str, tuple[Segment, ...]], classes: tuple[str, ...], seed: int
    ) -> None:
        self.page, self.base, self.truth, self.classes = page, base, truth, classes
        self.rng, self.clicks = np.random.default_rng(seed), 0
        self.answers: dict[str, int] = {}

    def key(self, label: str) -> str:
        return str(self.classes.index(label) + 1)

    def inside(self, s: Segment) -> float:
        return float(self.rng.uniform(s.start + 0.2 * (s.end - s.start), s.end - 0.2 * (s.end - s.start)))

    def seek(self, seconds: float) -> None:
        """Click the ruler where a moment is."""
        plot = self.page.locator(".timeline .plot")
        box = plot.bounding_box()
        shown = [float(x) for x in plot.get_attribute("data-range").split()]
        while not shown[0] <= seconds <= shown[1]:
            self.page.keyboard.press("-")
            self.page.wait_for_timeout(100)
            shown = [float(x) for x in plot.get_attribute("data-range").split()]
        share = (seconds - shown[0]) / (shown[1] - shown[0])
        self.page.mouse.click(box["x"] + share * box["width"], box["y"] + 10)

    def mark(self, video: str, seconds: float, label: str) -> None:
        if not self.page.url.endswith(f"/label/{video}"):
            self.page.goto(f"{self.base}/#/label/{video}")
            self.page.locator(f".studio-label[data-video='{video}']").wait_for()
        self.page.keyboard.press("f")
        self.seek(seconds)
        self.page.keyboard.press(self.key(label))
        self.clicks += 1

    def marked(self, video: str, s: Segment) -> bool:
        """Whether an action is on the timeline already."""
        found = self.page.request.get(f"{self.base}/api/videos/{video}/labels").json()["labels"]
        return any(x["label"] == s.label and s.start <= (x["start"] + x["end"]) / 2 <= s.end for x in found)

    def answer(self) -> bool:
        """Answer the question that is shown; False: there is none."""
        place = self.page.locator(".question").or_(self.page.get_by_role("heading", name="All questions are answered"))
        place.or_(self.page.get_by_role("heading", name="No questions yet")).first.wait_for()
        if not self.page.locator(".question").count():
            return False
        asked = self.page.locator(".question").get_attribute("data-question")
        items = self.page.request.get(f"{self.base}/api/queue").json()["items"]
        q = next((i for i in items if i["id"] == asked), None)
        if q is None:  # a training made it old while it was shown
            self.page.keyboard.press("s")
            return len(items) > 0
        if q["reason"] == "unfinished":
            return self.watched(q)
        where, middle = (q["start"], q["end"]), (q["start"] + q["end"]) / 2
        here = [
            s for s in self.truth[q["video"]] if overlap(where, (s.start, s.end)) >= SAME or s.start <= middle <= s.end
        ]
        here = [s for s in here if not self.marked(q["video"], s)] or here
        press, clicks = "x", 1
        if here and all(self.marked(q["video"], s) for s in here):
            press = "r"  # it is on the timeline already: a second label would say that there are two
        elif here:
            s = max(here, key=lambda s: overlap(where, (s.start, s.end)))
            near = abs(s.start - q["start"]) <= NEAR_S and abs(s.end - q["end"]) <= NEAR_S
            if q["reason"] == "boundary" and s.label == q["label"]:
                press = "a" if near else "m"
                if not near:
                    clicks = 2
                    for at, bound in sorted(
                        ((s.start, "["), (s.end, "]")), key=lambda b: -b[0] if s.start >= q["end"] else b[0]
                    ):
                        self.seek(at)
                        self.page.keyboard.press(bound)
            else:
                press = self.key(s.label) if s.label != q["label"] else "a"
                if not s.start <= middle <= s.end:
                    self.seek(self.inside(s))
                    press = self.key(s.label)
        self.page.keyboard.press(press)
        self.page.wait_for_function("id => document.querySelector('.question')?.dataset.question !== id", arg=asked)
        self.clicks += clicks
        self.answers[q["reason"]] = self.answers.get(q["reason"], 0) + 1
        return True

    def watched(self, q: dict[str, Any]) -> bool:
        """Mark the next action of a video that is watched as a whole, or say that this is all."""
        missing = [s for s in self.truth[q["video"]] if not self.marked(q["video"], s)]
        before = self.page.request.get(f"{self.base}/api/project").json()["revision"]
        if missing:
            self.seek(self.inside(missing[0]))
            self.page.keyboard.press(self.key(missing[0].label))
        else:
            self.page.keyboard.press("a")
            self.page.wait_for_function(
                "id => document.querySelector('.question')?.dataset.question !== id", arg=q["id"]
            )
        self.clicks += 1
        self.answers["unfinished"] = self.answers.get("unfinished", 0) + 1
        deadline = time.monotonic() + 60
        while self.page.request.get(f"{self.base}/api/project").json()["revision"] <= before:  # until it is saved
            if time.monotonic() > deadline:
                raise TimeoutError("the edit was not saved")
            self.page.wait_for_timeout(50)
        return True


def trained(page: Any, base: str, since: float, patience: float = 1200) -> dict[str, Any]:
    """Wait until a training that began after a moment has ended."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        now = page.request.get(f"{base}/api/training").json()
        if now["state"] == "failed" and not now["detail"].startswith("there are no labels"):
            raise RuntimeError(now["detail"])
        if now["state"] == "idle" and now["since"] > since and "labels" in now["last"]:
            return now["last"]
        page.wait_for_timeout(200)
    raise TimeoutError("no training ended")


def opened(browser: Any, one: Any, classes: Sequence[str]) -> tuple[Any, Seen]:
    """The page as somebody opens it first: with a name, and the classes."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(300e3)
    seen = Seen(page, one.base)
    page.goto(one.address)
    page.get_by_label("Your name").fill("somebody")
    page.keyboard.press("Enter")
    for i, name in enumerate(classes):
        if i >= 3:
            page.get_by_role("button", name="Another action").click()
        page.get_by_label(f"Class {i + 1}", exact=True).fill(name)
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("dialog").wait_for(state="hidden")
    return page, seen


def worked(one: Any, somebody: Person, most: int, round_: int, began: float) -> list[dict[str, Any]]:
    """Mark one action of each class, then answer questions, a training after each `round_` clicks; the rounds."""
    page, now, rounds = somebody.page, time.time(), list[dict[str, Any]]()
    open_ = [v for v in one.studio.library.videos if v not in one.studio.project.state.held_out]
    for label in somebody.classes:
        found = [(v, s) for v in open_ for s in somebody.truth[v] if s.label == label]
        video, s = found[int(somebody.rng.integers(len(found)))]
        somebody.mark(video, somebody.inside(s), label)
    page.locator(".saved-state[data-kind=saved]").wait_for()
    while True:
        last = trained(page, one.base, now)
        minutes, seconds = (time.monotonic() - began) / 60, sum(last["seconds"].values())
        rounds.append({"clicks": somebody.clicks, "minutes": round(minutes, 2), "training s": round(seconds, 1)})
        print(rounds[-1], somebody.answers, flush=True)
        before = somebody.clicks
        until, now = min(before + round_, most), time.time()
        page.goto(f"{one.base}/#/model")
        page.goto(f"{one.base}/#/review")
        while somebody.clicks < until and somebody.answer():
            pass
        if somebody.clicks == before:
            return rounds  # all clicks are used, or nothing is asked any more
        page.locator(".saved-state[data-kind=saved]").wait_for()


def morning(
    videos: Path, features: Path, folder: Path, count: int = 10, each: int = 10, round_: int = 9, seed: int = 0
) -> dict[str, Any]:
    """From `count` videos to a plan by at most `each` clicks a class through the page; measured on other videos."""
    labels = read_labels(videos / "annotations.json", videos)
    lengths = {n: load_features(features / f"{n}.npz").duration for n in labels.videos}
    first = chosen({n: v.labels for n, v in labels.videos.items()}, lengths, count / len(lengths))[0]
    names = [*first, *sorted(set(labels.videos) - set(first))]
    classes = tuple(c for c in labels.classes if any(s.label == c for v in labels.videos.values() for s in v.segments))
    mine = folder / "videos"
    mine.mkdir(parents=True)
    for name in names[:count]:
        os.link(labels.videos[name].path, mine / labels.videos[name].path.name)
    began = time.monotonic()
    with (
        studying(mine, encoders=features.name, auto_train=True, settle_seconds=1.0, seed=seed) as one,
        chromium() as browser,
    ):
        page, seen = opened(browser, one, classes)
        library = one.studio.library.videos
        truth = {v.id: labels.videos[Path(v.name).stem].segments for v in library.values()}
        held = chosen(
            {i: {s.label for s in of} for i, of in truth.items()}, {v.id: v.duration for v in library.values()}, 0.3
        )
        one.studio.project.set(
            "held_out", videos=list(held[0]), why=held[1]
        )  # shares the classes out, as bench_studio does
        somebody = Person(page, one.base, truth, classes, seed)
        rounds = worked(one, somebody, each * len(classes), round_, began)
        page.goto(f"{one.base}/#/model")
        page.get_by_label("Plan").fill("morning")
        page.get_by_role("button", name="Save the plan").click()
        page.get_by_role("region", name="Use it").get_by_text("✓").wait_for()
        minutes = (time.monotonic() - began) / 60
        plan = one.studio.project.folder / "plans" / "morning.plan"
        found = measured(plan, features, names[count:], labels)
        return {
            "clicks": somebody.clicks, "classes": len(classes), "answers": somebody.answers, "rounds": rounds,
            "minutes": round(minutes, 2), "mAP@0.5": round(found, 2), "videos": count, "unseen": len(names) - count,
            "errors of the page": seen.errors,
        }  # fmt: skip


def measured(plan: Path, features: Path, names: list[str], labels: Any) -> float:
    """mAP@0.5 of a plan on videos that it never saw, percent."""
    engine = TALEngine.load(plan)
    truth = {n: labels.videos[n].segments for n in names}
    found = {n: engine.localize(load_features(features / f"{n}.npz"), min_score=-1e9, top_k=0) for n in names}
    return 100 * evaluate(truth, {n: tuple(f.segments) for n, f in found.items()}, tious=(0.5,)).at(0.5)
