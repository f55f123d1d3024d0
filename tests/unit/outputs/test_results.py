"""What a result gives besides its segments: dicts, files by their ending, data frames, a timeline for notebooks."""

from __future__ import annotations

import json

import pytest

from tal_engine import DataError, Localization, Segment, UsageError, Vocabulary
from tal_engine.outputs.render.timeline_html import CLASSES, SEGMENTS, timeline_html
from tal_engine.records import Info

NAMES = Vocabulary(["run", "jump", "sit down"])
ROWS = [Segment(1.0, 2.5, "jump", 0.9), Segment(0.25, 0.75, "run", 0.4)]


def result(rows=ROWS, duration=4.0, source="a b.mp4", warnings=(), names=NAMES):
    return Localization(rows, Info(source, duration=duration, warnings=list(warnings)), names)


def test_as_a_dict():
    found = result().to_dict()
    assert found["segments"][0] == {"start": 1.0, "end": 2.5, "label": "jump", "label_id": 1, "score": 0.9}
    assert found["info"]["source"] == "a b.mp4"
    json.dumps(found, allow_nan=False)


def test_a_dict_comes_back_with_who_does_it():
    one = result([Segment(1.0, 2.5, "jump", 0.9, subject=0), Segment(0.25, 0.75, "run", 0.4)])
    assert list(Localization.from_dict(one.to_dict(), NAMES)) == list(one)


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "srt", "vtt"])
def test_saved_by_the_ending(tmp_path, form):
    r = result()
    r.save(tmp_path / f"by_ending.{form.upper()}")
    r.save(tmp_path / "by_name.txt", form)
    text = (tmp_path / "by_name.txt").read_text()
    assert (tmp_path / f"by_ending.{form.upper()}").read_text() == text
    assert "jump" in text


def test_unknown_endings_name_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="format is 'mp3', must be one of json, jsonl, csv, srt, vtt"):
        result().save(tmp_path / "r.mp3")
    assert not list(tmp_path.iterdir())


def test_as_a_data_frame():
    pytest.importorskip("pandas")
    frame = result().to_pandas()
    assert list(frame.columns) == ["video", "start", "end", "label", "label_id", "score"]
    assert frame["label"].tolist() == ["jump", "run"]
    assert list(result([]).to_pandas().columns) == list(frame.columns)


def test_the_timeline_places_bars():
    page = result()._repr_html_()
    assert "left:25.000%;width:max(2px,37.500%);opacity:1.00" in page
    assert page.count("title=") == 2
    assert "2 segments in 4.00 s" in page


def test_texts_are_escaped():
    bad = '<script>"&'
    page = timeline_html(result([Segment(0, 1, bad, 1.0)], source=bad, warnings=[bad], names=Vocabulary([bad])))
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 4


def test_an_empty_result_and_no_duration():
    assert "0 segments" in timeline_html(result([], duration=0.0))
    assert "left:0.000%" in timeline_html(result([Segment(0, 1, "run", 0.0)], duration=0.0))


def test_what_is_left_out_is_counted():
    names = Vocabulary([f"c{i}" for i in range(CLASSES + 5)])
    rows = [Segment(i, i + 1, f"c{i}", 1 - i / 100) for i in range(CLASSES + 5)]
    rows += [Segment(i, i + 1, "c0", 0.1) for i in range(SEGMENTS + 7)]
    page = timeline_html(result(rows, duration=500, names=names))
    assert page.count("title=") == CLASSES - 1 + SEGMENTS
    assert f"{CLASSES - 1 + SEGMENTS} of them shown" in page


def test_errors_of_data_are_errors_of_features_for_now():
    from tal_engine import FeatureError

    assert issubclass(DataError, FeatureError)
