"""Clips of what was found: copied from key frames or encoded to the picture, named safely, nothing replaced unasked."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from tal_engine.batch.archive.listing import Item
from tal_engine.batch.archive.store import Store
from tal_engine.batch.archive.tables import Outcome, segment_rows, video_row
from tal_engine.batch.clips.copying import copy
from tal_engine.batch.clips.found import Clip, Wanted, clips_of
from tal_engine.batch.clips.pictures import Pictures
from tal_engine.batch.clips.run import ClipOptions, cut_clips
from tal_engine.cli import main
from tal_engine.errors import SinkError, UsageError, VideoError
from tal_engine.outputs.render import words as words_
from tests.makers import write_mp4

FPS = 25.0
#: Key frames are every so many pictures.
KEYS = 25


def number_of(image):
    """The frame number that a picture of `numbered` shows: one bit a column of blocks."""
    blocks = image[8, 4::8, 0] > 127
    return int(sum(bool(b) << k for k, b in enumerate(blocks[:8])))


def numbered(count):
    for n in range(count):
        image = np.zeros((48, 64, 3), np.uint8)
        for k in range(8):
            image[:, 8 * k : 8 * k + 8] = 255 * (n >> k & 1)
        yield image


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Ten seconds whose pictures tell their numbers, with B-frames and sound."""

    def keys(stream):
        stream.options = {"preset": "fast", "crf": "4", "x264-params": f"keyint={KEYS}:min-keyint={KEYS}:scenecut=0"}
        stream.codec_context.max_b_frames = 2

    path = tmp_path_factory.mktemp("videos") / "day 1" / "a b.mp4"
    path.parent.mkdir()
    return write_mp4(path, list(numbered(250)), FPS, audio=True, prepare=keys)


def shown(path):
    with av.open(str(path)) as container:
        return [number_of(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (2.5, 3.5), (4.0, 4.04), (5.96, 6.6), (9.0, 12.0)])
def test_copies_begin_at_the_key_frame_before(start, end, video, tmp_path):
    first, last = copy(str(video), tmp_path / "c.mp4", start, end)
    numbers = shown(tmp_path / "c.mp4")
    key = int(start) * KEYS
    assert numbers[0] == key
    assert first == pytest.approx(key / FPS, abs=1e-6)
    wanted = range(key, min(int(end * FPS + 1e-6), 249) + 1)
    assert numbers[: len(wanted)] == list(wanted)
    assert len(numbers) <= len(wanted) + 4  # pictures that those lean on
    assert last == pytest.approx(max(numbers) / FPS, abs=0.05)
    with av.open(str(tmp_path / "c.mp4")) as container:
        assert len(container.streams.audio) == 1
        assert container.streams.video[0].codec_context.name == "h264"


@pytest.mark.parametrize("form", ["avi", "mkv", "ts"])
def test_copies_of_other_containers(form, video, tmp_path):
    source = tmp_path / f"s.{form}"
    write_mp4(source, list(numbered(100)), FPS, codec="mpeg4" if form == "avi" else "libx264",
              prepare=lambda s: setattr(s.codec_context, "gop_size", 10))  # fmt: skip
    copy(str(source), tmp_path / "c.mkv", 2.0, 2.4)
    numbers = shown(tmp_path / "c.mkv")
    assert set(range(50, 60)) <= set(numbers)
    assert len(numbers) < 30


def test_exact_clips_have_the_pictures_of_their_segments(video, tmp_path):
    clips = [
        Clip(str(video), 1.0, 2.0, "a", 0.9),
        Clip(str(video), 1.5, 2.5, "b", 0.8),
        Clip(str(video), 9.0, 20.0, "c", 0.7),
    ]
    done = cut_clips(clips, tmp_path / "out", ClipOptions(exact=True))
    assert not done.failed
    found = [shown(done.written[c]) for c in clips]
    assert found == [list(range(25, 51)), list(range(38, 63)), list(range(225, 250))]
    rows = list(csv.DictReader((tmp_path / "out" / "clips.csv").read_text().splitlines()))
    assert [(r["label"], r["first_picture"], r["last_picture"]) for r in rows] == [
        ("a", "1.000", "2.000"), ("b", "1.520", "2.480"), ("c", "9.000", "9.960"),
    ]  # fmt: skip
    padded = cut_clips(clips[:1], tmp_path / "padded", ClipOptions(exact=True, pad=0.2))
    assert shown(padded.written[clips[0]]) == list(range(20, 56))


def test_a_clip_that_fails_stops_no_other(video, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    clips = [Clip(str(tmp_path / "bad.mp4"), 0.0, 1.0, "a", 0.9), Clip(str(video), 1.0, 1.2, "a", 0.9),
             Clip(str(video), 90.0, 91.0, "a", 0.9)]  # fmt: skip
    for exact in (False, True):
        done = cut_clips(clips, tmp_path / f"out{exact}", ClipOptions(exact=exact))
        assert list(done.written) == clips[1:2]
        assert list(done.failed) == [clips[0], clips[2]]
        assert sorted(p.name for p in (tmp_path / f"out{exact}").iterdir()) == sorted(
            [f"{clips[1].name}.mp4", "clips.csv"]
        )


def test_names_are_safe_and_differ():
    clips = [Clip("/v/../..mp4", 1.0, 2.0, "../../etc/passwd", 0.5), Clip("/v/\udcff.mp4", 1.0, 2.0, "a/b\0c", 0.5),
             Clip("s3://b/x.mp4?a=b", 1.0, 2.0, "é" * 200, 0.5),
             Clip("/w/../..mp4", 1.0, 2.0, "../../etc/passwd", 0.5)]  # fmt: skip
    names = [c.name for c in clips]
    assert len(set(names)) == 4
    for name in names:
        assert Path(name).name == name
        assert not name.startswith(".")
        assert len(name.encode()) < 250
        assert not set(name) & set("/\\\0:?*")


def test_nothing_is_replaced_unasked(video, tmp_path):
    clips = [Clip(str(video), 1.0, 1.2, "a", 0.9)]
    out = tmp_path / "out"
    cut_clips(clips, out)
    before = (out / f"{clips[0].name}.mp4").read_bytes()
    with pytest.raises(UsageError, match="--overwrite replaces it"):
        cut_clips(clips, out, ClipOptions(exact=True))
    assert (out / f"{clips[0].name}.mp4").read_bytes() == before
    cut_clips(clips, out, ClipOptions(exact=True, overwrite=True))
    assert (out / f"{clips[0].name}.mp4").read_bytes() != before
    with pytest.raises(UsageError, match=r"a b.mp4"):
        cut_clips(clips, tmp_path / "new", ClipOptions(exact=True, overwrite=True, supercut=video))


def test_sheets_and_supercuts(video, tmp_path):
    clips = [Clip(str(video), float(k), k + 0.4, "squat", 0.5 + k / 20) for k in range(5)]
    sheet, supercut = tmp_path / "s.png", tmp_path / "all.mp4"
    cut_clips(clips, tmp_path / "out", ClipOptions(sheet=sheet, supercut=supercut))
    import cv2

    picture = cv2.imread(str(sheet))
    assert picture.shape == (2 * (240 + 22), 4 * 320, 3)
    assert picture[262:502, 330:].max() == 0  # the second row has one picture
    with av.open(str(supercut)) as container:
        times = [float(f.pts * f.time_base) for f in container.decode(video=0)]
    assert len(times) == sum(len(range(25 * k, int(25 * (k + 0.4)) + 1)) for k in range(5))
    assert times == sorted(times)
    assert times[-1] == pytest.approx((len(times) - 1) / FPS, abs=0.01)
    with pytest.raises(SinkError, match=r"must be \.jpg or \.png"):
        cut_clips(clips, tmp_path / "out2", ClipOptions(sheet=tmp_path / "s.what"))


def archive(output, video, *labels, plan="a"):
    store = Store(str(output), {"plan": plan}, f"id{plan}")
    info = {"duration": 10.0, "fps": 25.0, "frames": 250, "frames_lost": 0, "domain": None, "out_of_domain": False,
            "warnings": [], "seconds": {"total": 1.0}}  # fmt: skip
    segments = [(float(k), k + 0.5, label, 0.5 + k / 10, None) for k, label in enumerate(labels)]
    outcome = Outcome(Item(str(video), str(video), 1, "1"), 1, {"segments": segments, "info": info})
    store.add([video_row(outcome)], segment_rows(outcome, sorted(set(labels))))
    store.close()


def test_clips_of_an_archive(video, tmp_path):
    pytest.importorskip("pyarrow", reason="pip install '.[archive]'")
    archive(tmp_path / "o", video, "squat", "jump", "squat")
    found = clips_of(str(tmp_path / "o"))
    assert [(c.video, c.start, c.label) for c in found] == [
        (str(video), 0.0, "squat"),
        (str(video), 1.0, "jump"),
        (str(video), 2.0, "squat"),
    ]
    assert [c.start for c in Wanted(labels=("squat",), top=1).chosen(found, "o")] == [2.0]
    for wanted, words in (
        (Wanted(labels=("run",)), "no segment is a 'run'; there are jump, squat"),
        (Wanted(min_score=0.99), "no segment has a score of 0.99 or more"),
    ):
        with pytest.raises(UsageError, match=words):
            wanted.chosen(found, "o")
    archive(tmp_path / "o", video, "run", plan="b")
    with pytest.raises(UsageError, match="tables of 2 plans or options, ida, idb: choose with --id"):
        clips_of(str(tmp_path / "o"))
    assert [c.label for c in clips_of(str(tmp_path / "o"), identity="idb")] == ["run"]
    with pytest.raises(UsageError, match="no tables of 'idc'"):
        clips_of(str(tmp_path / "o"), identity="idc")
    with pytest.raises(UsageError, match="no output of tal batch"):
        clips_of(str(tmp_path / "none"))


def test_the_command(video, tmp_path):
    results = {"results": {"a b": [{"label": "squat", "score": 0.9, "segment": [1.0, 2.0]}]}}
    (tmp_path / "r.json").write_text(json.dumps(results))
    main._register("clips")
    arguments = ["clips", str(tmp_path / "r.json"), "-o", str(tmp_path / "out"), "--label", "squat"]
    run = CliRunner().invoke(main.app, arguments)
    assert isinstance(run.exception, UsageError)
    assert "'a b' is no file here, name the folder of the videos with --videos" in str(run.exception)
    run = CliRunner().invoke(main.app, [*arguments, "--videos", str(video.parents[1]), "--json", "-q"])
    assert run.exit_code == 0, run.exception
    (name,) = json.loads(run.stdout)["clips"]
    assert shown(tmp_path / "out" / name)[0] == 25


def test_a_segment_behind_the_end_has_one_exit_status(video, tmp_path):
    """However it would have been cut."""
    clips = [Clip(str(video), 100.0, 101.0, "a", 0.9)]
    codes = set()
    for exact in (False, True):
        (error,) = cut_clips(clips, tmp_path / str(exact), ClipOptions(exact=exact)).failed.values()
        assert "has no pictures from 100.00 s on" in str(error)
        codes.add(error.exit_code)
    assert codes == {VideoError.exit_code}


def test_words_of_sheets_fit_and_say_what_they_say(video, tmp_path, caplog, monkeypatch):
    room = 312
    long = "a person who carries a very large box up a flight of stairs and puts it down"
    for words in (long, "开门的人走进房间然后坐下来写字并且看着窗外的风景直到天黑为止", "jump"):
        fit = words_.fitted(words, "0.93 0:12", room)
        assert words_.width_of(fit) <= room
        assert fit.endswith(" 0.93 0:12")
        assert ("..." in fit) == (words != "jump")
    assert words_.fitted(long, "1.00", 20_000) == f"{long} 1.00"
    assert words_.fitted(long, "1.00", 5) == "... 1.00"
    drawn = {}
    for label in ("开门", "??", "关门"):
        drawn[label] = np.zeros((22, 320, 3), np.uint8)
        words_.write(drawn[label], label, (4, 15), (255, 255, 255))
        assert drawn[label].max() > 200
    assert not caplog.records
    if words_._font() is not None:  # OpenCV 5
        assert not np.array_equal(drawn["开门"], drawn["关门"])
        assert not np.array_equal(drawn["开门"], drawn["??"])
    monkeypatch.setattr(words_, "_font", lambda: None)  # OpenCV 4
    assert words_.fitted("开门", "0.93", room) == r"\u5f00\u95e8 0.93"
    assert words_.fitted("Tür", "0.93", room) == "Tur 0.93"
    assert [r.levelname for r in caplog.records] == ["WARNING", "WARNING"]
    assert "has letters for ASCII only" in caplog.text
    image = np.zeros((22, 320, 3), np.uint8)
    words_.write(image, "jump", (4, 15), (255, 255, 255))
    assert image.max() > 200
    Pictures().sheet(tmp_path / "s.png", [Clip(str(video), 1.0, 2.0, long, 0.9)])
    assert (tmp_path / "s.png").stat().st_size > 100


def test_videos_are_found_by_the_ends_of_their_paths(video, tmp_path):
    for name in ("1/a.mp4", "2/a.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")

    def found(name):
        (tmp_path / "r.json").write_text(
            json.dumps({"results": {name: [{"label": "x", "score": 1, "segment": [0, 1]}]}})
        )
        return clips_of(str(tmp_path / "r.json"), tmp_path)[0].video

    for name in ("1/a", "1/a.mp4", "/elsewhere/1/a.mp4"):
        assert found(name) == str(tmp_path / "1/a.mp4")
    with pytest.raises(UsageError, match=r"the video 'a' may be .*1/a.mp4 or .*2/a.mp4"):
        found("a")


def test_addresses_are_encoded_anew(video, tmp_path):
    fsspec = pytest.importorskip("fsspec", reason="pip install '.[archive]'")
    fsspec.filesystem("memory").pipe_file("/clips-test/v.mp4", video.read_bytes())
    clips = [Clip("memory://clips-test/v.mp4", 1.0, 1.2, "a", 0.9)]
    with pytest.raises(UsageError, match="give --exact"):
        cut_clips(clips, tmp_path / "out")
    done = cut_clips(clips, tmp_path / "out", ClipOptions(exact=True))
    assert shown(done.written[clips[0]]) == list(range(25, 31))
