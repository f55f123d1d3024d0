"""The routes of a studio: who may ask, videos and their bytes, edits, what is told to pages, questions, a copy."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
from fractions import Fraction
from pathlib import Path
from zipfile import ZipFile

import pytest

pytest.importorskip("fastapi", reason="the studio needs [serve]")
pytest.importorskip("httpx", reason="the studio needs [serve]")

import av
import numpy as np

from tal_engine.errors import UsageError
from tal_engine.studio.api_edits import _sent
from tal_engine.studio.frame_times import frame_times
from tal_engine.studio.proxy_maker import make_proxy
from tal_engine.studio.settings import StudioOptions
from tal_engine.video import open_video
from tests.makers import moving_square, write_audio_only, write_mp4
from tests.studios import TOKEN, asked, edit, point, result, studio, videos
from tests.waiting import until


@pytest.fixture
def folder(tmp_path):
    return videos(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4", "d.mp4")


@pytest.fixture
def one(folder):
    made = studio(folder, classes=("run", "sit"))
    yield made
    made.close()


def free(one):
    """A video that is not held out."""
    return next(v for v in one.library.videos if v not in one.project.state.held_out)


def test_a_page_gets_a_cookie_for_its_token_and_nobody_else_gets_in(one):
    async def talk(c):
        c.headers.pop("Authorization")
        assert (await c.get("/")).status_code == 401
        assert (await c.get("/?token=wrong")).status_code == 401
        old = await c.get("/", headers={"Cookie": "tal-studio-8766=of-another-start"})
        assert (old.status_code, "Open the address" in old.text) == (401, True)
        for path in ("/api/project", "/js/main.js", "/v1/streams", "/label-studio/health"):
            assert (await c.get(path)).status_code == 401, path
        first = await c.get(f"/?token={TOKEN}&video=a")
        assert (first.status_code, first.headers["location"]) == (303, "/?video=a")
        assert re.search(r"^tal-studio-8766=\S+; HttpOnly; Path=/; SameSite=strict$", first.headers["set-cookie"])
        assert (await c.get("/api/project")).status_code == 200  # by the cookie
        foreign = await c.post("/api/edits", json={}, headers={"Origin": "http://evil.example"})
        assert foreign.status_code == 403
        assert (await c.get("/api/project", headers={"Host": "evil.example"})).status_code == 421

    asked(one, talk)


def test_videos_are_listed_and_what_is_odd_is_named(tmp_path):
    folder = videos(tmp_path / "v", "a.mp4", "b.mp4")
    (folder / "twin").mkdir()
    (folder / "twin" / "A.mp4").write_bytes((folder / "a.mp4").read_bytes())
    (folder / "broken.mp4").write_bytes(b"not a video")
    write_audio_only(folder / "sound.mp4")
    Path(os.fsdecode(os.fsencode(folder) + b"/odd\xff.mp4")).write_bytes(b"no video, and no Unicode")
    one = studio(folder)

    async def talk(c):
        listed = {v["name"]: v for v in (await c.get("/api/videos")).json()["videos"]}
        assert "cannot be read as a video" in listed["broken.mp4"]["problem"]["detail"]
        assert "no moving pictures" in listed["sound.mp4"]["problem"]["detail"]
        assert str(tmp_path) not in str(listed)
        assert listed["odd\\xff.mp4"]["problem"] is not None
        a = listed["a.mp4"]
        assert (a["frames"], a["fps"], a["width"], a["height"], a["codec"]) == (50, 25.0, 48, 32, "h264")
        assert a["playable"]
        problems = " ".join((await c.get("/api/project")).json()["problems"])
        assert "names alike: a.mp4, twin/A.mp4" in problems
        assert "the same file twice: a.mp4, twin/A.mp4" in problems
        for route in ("media", "frames"):
            assert (await c.get(f"/api/videos/{listed['broken.mp4']['id']}/{route}")).status_code in (404, 422)
            assert (await c.get(f"/api/videos/nobody/{route}")).status_code == 404
        changed = await c.patch(f"/api/videos/{a['id']}", json={"done": True, "note": "dark", "held_out": True})
        assert [changed.json()[k] for k in ("done", "note", "held_out")] == [True, "dark", True]

    asked(one, talk)
    (folder / "b.mp4").unlink()
    again = studio(folder)
    lost = next(v for v in again.library.videos.values() if v.name == "b.mp4")
    assert lost.problem is not None
    assert "not there" in lost.problem[0]
    again.close()


def test_a_video_that_is_replaced_or_removed_meanwhile_says_so(one, folder):
    async def talk(c):
        (folder / "a.mp4").unlink()
        shutil.copy(folder / "c.mp4", folder / "b.mp4")
        found = {v["name"]: v["problem"] for v in (await c.get("/api/videos")).json()["videos"]}
        assert found["a.mp4"]["title"] == "The video is not there any more"
        assert found["b.mp4"]["title"] == "The video is another one now"
        assert (found["c.mp4"], found["d.mp4"]) == (None, None)

    asked(one, talk)


def test_a_body_that_is_too_large_is_refused_however_it_comes(one):
    async def talk(c):
        async def pieces():
            for _ in range(20):
                yield b" " * (100 << 10)

        sent = await c.post("/api/edits", content=pieces(), headers={"Content-Type": "application/json"})
        assert (sent.status_code, sent.json()["type"]) == (413, "/v1/problems/too-large")

    asked(one, talk)


def test_bytes_come_in_ranges_and_frames_at_the_times_of_decoding(one, folder, monkeypatch):
    whole = (folder / "a.mp4").read_bytes()
    write_mp4(folder / "odd.mp4", moving_square(12, 32, 48), pts=[0, 1, 2, 4, 5, 9, 10, 11, 15, 16, 18, 19],
              time_base=Fraction(1, 25))  # fmt: skip

    async def talk(c):
        video = next(v for v in one.library.videos.values() if v.name == "a.mp4").id
        part = await c.get(f"/api/videos/{video}/media", headers={"Range": "bytes=5-14"})
        assert (part.status_code, part.content) == (206, whole[5:15])
        assert part.headers["content-range"] == f"bytes 5-14/{len(whole)}"
        assert part.headers["content-type"] == "video/mp4"
        assert (await c.get(f"/api/videos/{video}/media", headers={"Range": f"bytes={len(whole)}-"})).status_code == 416
        monkeypatch.setattr("tal_engine.studio.api_videos.PIECE", 100)
        got = b""
        while len(got) < len(whole):
            piece = await c.get(f"/api/videos/{video}/media", headers={"Range": f"bytes={len(got)}-"})
            assert (piece.status_code, len(piece.content) <= 100) == (206, True)
            got += piece.content
        assert got == whole
        times = (await c.get(f"/api/videos/{video}/frames")).json()["times"]
        assert times == pytest.approx(np.arange(50) / 25)

    asked(one, talk)
    with open_video(folder / "odd.mp4") as source:
        assert frame_times(folder / "odd.mp4") == pytest.approx([f.pts_seconds for f in source.frames])


def test_edits_are_answered_and_told_and_conflicts_are_settled(one):
    async def talk(c):
        video = free(one)
        made = await c.post("/api/edits", json=edit(video, "edit-0001", ("add", point("x", 1.0), 0)))
        [label] = made.json()["labels"]
        again = await c.post("/api/edits", json=edit(video, "edit-0001", ("add", point("x", 1.0), 0)))
        assert again.json() == made.json()
        base = label["revision"]
        await c.post("/api/edits", json=edit(video, "edit-0002", ("change", point("x", 1.2), base), author="ben"))
        late = await c.post("/api/edits", json=edit(video, "edit-0003", ("change", point("x", 1.4), base)))
        assert (late.status_code, late.headers["content-type"]) == (409, "application/problem+json")
        [conflict] = late.json()["conflicts"]
        assert (conflict["theirs"]["start"], conflict["yours"]["start"]) == (1.2, 1.4)
        left = await c.post(f"/api/conflicts/{conflict['id']}", json={"keep": "mine", "author": "ben"})
        assert left.json() == []
        assert (await c.get(f"/api/videos/{video}/labels")).json()["labels"][0]["start"] == 1.4
        wrong = edit(video, "edit-0004", ("add", point("y", 99.0), 0))
        refused = await c.post("/api/edits", json=wrong)
        assert (refused.status_code, "0 <= start" in refused.json()["detail"]) == (422, True)
        assert "x.mp4" not in (await c.get("/api/labels.csv")).text
        with ZipFile(io.BytesIO((await c.get("/api/project.zip")).content)) as file:
            names = sorted(n.rpartition("/")[2] for n in file.namelist())
            assert names == ["journal.jsonl", "labels.csv", "labels.json"]
        assert (await c.put("/api/project/classes", json=[{"name": "sit"}])).status_code == 422

    asked(one, talk)
    kinds = [e.event.fields.get("author") for e in one.log.after(0)[1] if e.event.kind == "labels"]
    assert kinds == ["anna", "ben", "anna", "ben"]


def test_a_page_that_comes_back_hears_what_it_missed_and_a_new_one_only_what_comes(one):
    one.tell("labels", {"n": 1})
    one.tell("labels", {"n": 2})

    async def heard(after):
        one.log.closed = False
        sent = _sent(one, after)
        first = asyncio.ensure_future(anext(sent))
        await asyncio.sleep(0)
        one.tell("labels", {"n": 3})
        said = await first
        return said if said.startswith("id") else await anext(sent)  # a comment comes first where it waited

    assert '"n": 2' in asyncio.run(heard(f"{one.log.epoch}-1"))
    assert '"n": 3' in asyncio.run(heard(""))


async def moments(c):
    """Questions about moments: not those about whole videos."""
    return [i for i in (await c.get("/api/queue")).json()["items"] if i["reason"] != "unfinished"]


def test_questions_are_answered_by_labels_and_do_not_come_back(one):
    result(one, [(0.2, 0.6, "run", 0.9), (1.2, 1.6, "sit", 0.8)], [(1.2, 1.5, "sit", 0.8)])

    async def talk(c):
        items = await moments(c)
        assert {i["video"] for i in items}.isdisjoint(one.project.state.held_out)
        mine = [i for i in items if i["video"] == items[0]["video"]]
        reasons = {i["reason"]: i for i in mine}
        assert set(reasons) == {"disagreement", "rare"}

        async def answer(item, name, **more):
            body = {"author": "anna", "edit": name, **more}
            return await c.post(f"/api/queue/{item['id']}", json=body)

        assert (await answer(reasons["rare"], "answer-1", answer="other")).status_code == 422
        accepted = await answer(reasons["disagreement"], "answer-2", answer="accept")
        [label] = accepted.json()["labels"]
        assert (label["kind"], label["start"], label["label"]) == ("point", 0.4, "run")
        assert accepted.json()["next"]["id"] not in (label["id"], reasons["disagreement"]["id"])
        assert (await answer(reasons["disagreement"], "answer-2", answer="accept")).status_code == 200  # once more
        assert (await answer(reasons["disagreement"], "answer-3", answer="reject")).status_code == 404
        assert (await answer(reasons["rare"], "answer-4", answer="reject")).status_code == 200
        left = await moments(c)
        assert [i for i in left if i["video"] == items[0]["video"]] == []
        result(one, [(0.25, 0.65, "run", 0.9), (1.15, 1.6, "sit", 0.8)])  # the next head finds them a little elsewhere
        left = await moments(c)
        assert [i for i in left if i["video"] == items[0]["video"]] == []
        other = left[0]
        moved = await answer(other, "answer-5", answer="move", start=0.5, end=1.0)
        assert moved.json()["labels"][0]["kind"] == "segment"
        shown = (await c.get("/api/suggestions", params={"video": other["video"]})).json()
        assert [s["label"] for s in shown["segments"]] == ["run", "sit"]
        assert set(shown["curves"]) == {"times", "run", "sit", "action"}
        table = (await c.get("/api/suggestions.csv")).text.splitlines()
        assert len(table) == 1 + 2 * len(one.library.videos)
        assert table[1] == "a.mp4,0.25,0.65,run,0.9"
        assert (await c.put("/api/thresholds", json={"run": 1.5})).status_code == 422
        cut = (await c.put("/api/thresholds", json={"run": 0.95})).json()
        assert cut["run"]["threshold"] == 0.95
        counts = {v["id"]: v["suggestions"] for v in (await c.get("/api/videos")).json()["videos"]}
        assert set(counts.values()) == {1}
        assert (await c.get("/api/measures")).json()["held_out"]["labelled"] == 0

    asked(one, talk)


def test_an_answer_is_taken_back_and_made_again_and_counts_though_its_question_was_replaced(one):
    """Undo asks the question again; a training that asks others does not make what was seen untrue."""
    result(one, [(0.2, 0.6, "run", 0.9)])

    async def talk(c):
        async def ids():
            return [i["id"] for i in (await c.get("/api/queue")).json()["items"]]

        item, second = (await moments(c))[:2]
        body = {"author": "anna", "edit": "answer-1", "answer": "accept"}
        [label] = (await c.post(f"/api/queue/{item['id']}", json=body)).json()["labels"]
        back = edit(item["video"], "undo-0001", ("remove", label, label["revision"]))
        assert (await c.post("/api/edits", json={**back, "takes_back": "answer-1"})).json()["labels"] == []
        assert item["id"] in await ids()
        again = {**edit(item["video"], "redo-0001", ("add", label, 0)), "answers_again": "answer-1"}
        assert len((await c.post("/api/edits", json=again)).json()["labels"]) == 1
        assert item["id"] not in await ids()
        assert (await c.post("/api/edits", json=edit(item["video"], "nothing-01"))).status_code == 422
        result(one, [])
        body = {"author": "anna", "edit": "answer-2", "answer": "reject"}
        assert (await c.post(f"/api/queue/{second['id']}", json=body)).status_code == 404
        assert (await c.post(f"/api/queue/{item['id']}", json={**body, "asked": item})).status_code == 404
        assert (await c.post(f"/api/queue/{second['id']}", json={**body, "asked": item})).status_code == 404
        assert (await c.post(f"/api/queue/{second['id']}", json={**body, "asked": second})).status_code == 200
        result(one, [(0.2, 0.6, "run", 0.9)])
        assert second["id"] not in await ids()
        undo = {**edit(second["video"], "undo-0002"), "takes_back": "answer-2"}  # a rejection made no label
        assert (await c.post("/api/edits", json=undo)).status_code == 200
        assert second["id"] in await ids()
        one.project.check()  # and the journal says the same

    asked(one, talk)


def test_a_video_is_finished_by_an_answer_and_not_any_more_when_it_is_taken_back(one):
    result(one, [(0.2, 0.6, "run", 0.9)])

    async def talk(c):
        async def whole():
            return {i["video"]: i for i in (await c.get("/api/queue")).json()["items"] if i["reason"] == "unfinished"}

        async def answer(item, name, **more):
            return await c.post(f"/api/queue/{item['id']}", json={"author": "anna", "edit": name, **more})

        async def done(video):
            return {v["id"]: v["done"] for v in (await c.get("/api/videos")).json()["videos"]}[video]

        asked = await whole()
        assert set(asked) == {v for v in one.library.videos if v not in one.project.state.held_out}
        item = next(iter(asked.values()))
        video = item["video"]
        assert (item["start"], item["label"]) == (0.0, "")
        assert "no actions are marked" in item["text"]
        for wrong in ({"answer": "move", "start": 0.1, "end": 0.2}, {"answer": "other", "label": "run"}):
            refused = await answer(item, "answer-0", **wrong)
            assert refused.status_code == 422
            assert "must be accept, nothing or reject" in refused.text
        assert (
            await c.post("/api/edits", json=edit(video, "edit-0001", ("add", point("p", 0.4), 0)))
        ).status_code == 200
        assert "1 action is marked" in (await whole())[video]["text"]
        assert (await answer(item, "answer-1", answer="accept")).json()["labels"][0]["id"] == "p"
        assert await done(video)
        assert video not in {i["video"] for i in (await c.get("/api/queue")).json()["items"]}
        undo = {**edit(video, "undo-0001"), "takes_back": "answer-1"}
        assert (await c.post("/api/edits", json=undo)).status_code == 200
        assert not await done(video)
        assert (await whole())[video]["id"] == item["id"]
        redo = {**edit(video, "redo-0001"), "answers_again": "answer-1"}
        assert (await c.post("/api/edits", json=redo)).status_code == 200
        assert await done(video)
        other = next(i for v, i in asked.items() if v != video)
        assert (await answer(other, "answer-2", answer="reject")).status_code == 200  # nobody wants to watch it
        assert other["video"] not in await whole()
        assert not await done(other["video"])
        assert other["video"] in {i["video"] for i in await moments(c)}  # and its moments are still asked about
        one.project.check()

    asked(one, talk)


def test_a_video_that_browsers_cannot_play_gets_a_copy_with_all_frames_at_their_times(tmp_path):
    folder = videos(tmp_path / "v", "a.mp4")
    write_mp4(folder / "old.avi", moving_square(20, 64, 48), codec="mpeg4")
    one = studio(folder)
    old = next(v for v in one.library.videos.values() if v.name == "old.avi")
    assert not old.playable

    async def talk(c):
        await asyncio.to_thread(until, lambda: one.proxies.of[old.id].state not in ("none", "making"))
        assert (await c.get(f"/api/videos/{old.id}/media")).headers["content-type"] == "video/mp4"

    asked(one, talk)
    copy = one.media / f"{old.id}.mp4"
    with open_video(folder / "old.avi") as source:
        assert frame_times(copy) == pytest.approx([f.pts_seconds for f in source.frames], abs=1e-4)
    states = [e.event.fields["proxy"] for e in one.log.after(0)[1] if e.event.kind == "proxy"]
    assert (states[0], states[-1]) == ("making", "ready")


@pytest.mark.parametrize("wrong", [{"held_out": 1.0}, {"heads": 0}, {"steps": 0}, {"classes": ("a", "a")}])
def test_options_that_make_no_sense_are_refused(tmp_path, wrong):
    with pytest.raises(UsageError, match="must be"):
        StudioOptions(videos=tmp_path, **wrong)


def test_videos_that_come_meanwhile_are_taken_in_once_they_are_whole(folder, tmp_path):
    one = studio(folder, look_seconds=0.02)
    write_mp4(tmp_path / "old.avi", moving_square(20, 64, 48), codec="mpeg4")
    whole = (folder / "d.mp4").read_bytes()

    def known(name):
        return next((v for v in one.library.videos.values() if v.name == name), None)

    async def talk(c):
        listed = {v["name"]: v for v in (await c.get("/api/videos")).json()["videos"]}
        moved, held = listed["a.mp4"]["id"], one.project.state.held_out[0]
        (folder / "a.mp4").rename(folder / "renamed.mp4")
        shutil.copy(one.library.videos[held].path, folder / "twin.mp4")
        shutil.copy(tmp_path / "old.avi", folder / "old.avi")
        (folder / "part.mp4").write_bytes(whole[:1000])
        names = ("renamed.mp4", "twin.mp4", "old.avi", "part.mp4")
        await asyncio.to_thread(until, lambda: all(map(known, names)))
        assert known("renamed.mp4").id == moved
        assert known("part.mp4").problem is not None
        part = known("part.mp4").id
        (folder / "part.mp4").write_bytes(whole + b"\0" * 8)
        await asyncio.to_thread(until, lambda: known("part.mp4").problem is None)
        assert known("part.mp4").id == part
        assert known("twin.mp4").id in one.project.state.held_out, "heads would learn what they are measured on"
        await asyncio.to_thread(until, lambda: one.proxies.of[known("old.avi").id].state == "ready")
        shown = (await c.get("/api/videos")).json()["videos"]
        assert len(shown) == len(listed) + 3
        assert all(v["problem"] is None for v in shown)
        assert f"renamed.mp4, {names[1]}" not in str((await c.get("/api/project")).json()["problems"])

    asked(one, talk)
    told = [e.event.fields["added"] for e in one.log.after(0)[1] if e.event.kind == "videos"]
    assert {n for names in told for n in names} == {"renamed.mp4", "twin.mp4", "old.avi", "part.mp4"}
    again = studio(folder)
    assert {v.name for v in again.library.videos.values()} == {p.name for p in folder.iterdir()}
    again.close()


def test_the_first_three_videos_hold_one_out_whenever_they_come(tmp_path):
    one = studio(videos(tmp_path / "v", "a.mp4", "b.mp4"), look_seconds=0.02)
    more = videos(tmp_path / "more", "x.mp4", "y.mp4", "c.mp4")

    async def talk(c):
        assert one.project.state.held_out == ()
        shutil.copy(more / "c.mp4", tmp_path / "v" / "c.mp4")
        await asyncio.to_thread(until, lambda: one.project.state.held_out)
        assert (await c.get("/api/project")).json()["held_out"]["why"].startswith("1 of 3 videos")

    asked(one, talk)


def beeping(path, *, late=0.0, broken=False):
    """A video in a form that browsers do not play, whose tone of 1 s begins with second 1."""
    with av.open(str(path), "w") as out:
        picture, sound = out.add_stream("mpeg4", rate=25), out.add_stream("mp3", rate=44_100)
        picture.width, picture.height, picture.pix_fmt, sound.layout = 64, 48, "yuv420p", "stereo"
        for image in moving_square(75, 48, 64):
            out.mux(picture.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        wave = np.sin(np.arange(3 * 44_100) * 0.3) * (np.arange(3 * 44_100) // 44_100 == 1)
        for k in range(0, len(wave), 1152):
            piece = wave[None, k : k + 1152].astype(np.float32).repeat(2, 0)
            frame = av.AudioFrame.from_ndarray(piece, "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = 44_100, k + round(late * 44_100), Fraction(1, 44_100)
            out.mux(sound.encode(frame))
        out.mux([*picture.encode(None), *sound.encode(None)])
    if broken:
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("late", [0.0, 0.5])
def test_a_copy_has_the_sound_of_its_video_at_its_time(tmp_path, late):
    video, copy = beeping(tmp_path / "v.mkv", late=late), tmp_path / "copy.mp4"
    assert make_proxy(video, copy) == 75
    with open_video(video) as source:
        assert frame_times(copy) == pytest.approx([f.pts_seconds for f in source.frames], abs=1e-4)
    loud = []
    with av.open(str(copy)) as found:
        assert found.streams.audio[0].codec_context.name == "aac"
        for frame in found.decode(audio=0):
            heard = np.abs(frame.to_ndarray()).max(0) > 0.1
            loud += (frame.time + np.flatnonzero(heard) / frame.sample_rate).tolist()
    assert (min(loud), max(loud)) == pytest.approx((1 + late, 2 + late), abs=0.03)


def test_sound_that_is_damaged_does_not_keep_the_picture_from_being_copied(tmp_path):
    copy = tmp_path / "copy.mp4"
    assert make_proxy(beeping(tmp_path / "v.mkv", broken=True), copy) > 20
    assert len(frame_times(copy)) > 20
