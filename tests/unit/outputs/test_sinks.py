"""Result files and pictures."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tal_engine.errors import MissingExtraError
from tal_engine.outputs.writers import activitynet, csv_table, jsonl
from tal_engine.records import Activations, Info, Segment
from tal_engine.results import Localization
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary

VOCABULARY = Vocabulary(["jump", "run", "sit, then stand"])


@pytest.fixture
def result():
    segments = [Segment(10.123456789, 12.5, "run", 0.91), Segment(1.0, 4.0, "sit, then stand", 0.4)]
    rng = np.random.default_rng(0)
    activations = Activations(
        rng.random((30, 4), np.float32), rng.random(30, np.float32), Timeline(0.0, 0.64, 0.64), 19.2
    )
    info = Info("folder/my video.mp4", duration=19.2, plan="ab" * 32)
    return Localization(segments, info, VOCABULARY, activations)


def test_activitynet(result, tmp_path):
    activitynet.write(tmp_path / "r.json", [result])
    document = json.loads((tmp_path / "r.json").read_text())
    assert document == json.loads(json.dumps(result.to_activitynet()))
    assert document["version"] == "VERSION 1.3"
    assert document["results"] == {
        "my video": [
            {"label": "run", "score": 0.91, "segment": [10.123457, 12.5]},
            {"label": "sit, then stand", "score": 0.4, "segment": [1.0, 4.0]},
        ]
    }
    assert document["external_data"]["plan"] == ["sha256:" + "ab" * 32]


def test_activitynet_keeps_warnings(result):
    result.info.warnings.append("the file ends early")
    assert result.to_activitynet()["external_data"]["warnings"] == {"my video": ["the file ends early"]}


def test_jsonl(result, tmp_path):
    result.to_jsonl(tmp_path / "r.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [r["start"] for r in rows] == [1.0, 10.123457]
    assert rows[0]["label_id"] == 2
    assert {r["schema"] for r in rows} == {jsonl.SCHEMA}


def test_csv_survives_commas(result, tmp_path):
    result.to_csv(tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == csv_table.RESULTS
    assert rows[1] == ["folder/my video.mp4", "sit, then stand", "1.000000", "4.000000", "0.400000", ""]
    known = Localization(result.segments, replace(result.info, domain=0.25), VOCABULARY)
    assert csv_table.text([known]).splitlines()[1].endswith(",0.400000,0.250000"), "the domain of the video"


def test_plot_draws_bars_where_segments_are(result, tmp_path):
    path = tmp_path / "t.png"
    result.plot(path, truth=[Segment(9.0, 12.0, "run", 1.0), Segment(14.0, 16.0, "jump", 1.0)])
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert picture.shape[1] > 1000
    coloured = (picture.max(axis=2) - picture.min(axis=2) > 60).any(axis=0)
    assert coloured.sum() > 100
    result.plot(tmp_path / "t.svg")
    assert (tmp_path / "t.svg").read_text().lstrip().startswith("<?xml")


def test_plot_of_nothing(tmp_path):
    empty = Localization([], Info("x.mp4", duration=3.0), VOCABULARY)
    empty.plot(tmp_path / "t.png")
    assert (tmp_path / "t.png").stat().st_size > 1000


def test_plot_without_matplotlib(result, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"tal-engine\[plot\]"):
        result.plot(tmp_path / "t.png")
    assert not list(tmp_path.iterdir())
