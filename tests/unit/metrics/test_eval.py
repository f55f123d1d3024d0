"""``tal eval`` and the error analysis behind its report."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest

from tal_engine.annotations import read_annotations, read_detections
from tal_engine.errors import UsageError
from tal_engine.metrics import PROTOCOLS, evaluate_tables
from tal_engine.metrics.error_analysis import KINDS, analyse
from tal_engine.metrics.protocols import _range, parse_tious
from tal_engine.options import linspace
from tal_engine.outputs.render import evaluation_report
from tests.integration.test_cli import tal

TRUTH = {
    "database": {
        "v": {
            "subset": "test",
            "duration": 100.0,
            "annotations": [{"segment": [0, 10], "label": "a"}, {"segment": [50, 60], "label": "b"}],
        },
        "w": {"subset": "test", "duration": 50.0, "annotations": [{"segment": [20, 40], "label": "a"}]},
        "x": {"subset": "training", "duration": 9.0, "annotations": [{"segment": [1, 2], "label": "a"}]},
    }
}
#            label, score, segment; what it is at tIoU 0.5
FOUND = {
    "v": [
        ("a", 0.95, [0, 10]),  # right
        ("a", 0.90, [0.5, 10]),  # double detection
        ("a", 0.85, [50, 60]),  # wrong label
        ("a", 0.80, [8, 30]),  # background: overlap below 0.1
        ("b", 0.75, [57, 80]),  # localization
        ("b", 0.70, [6, 20]),  # confusion: other class, overlap too small
        ("b", 0.65, [90, 95]),  # background
        ("zebra", 0.6, [0, 1]),
    ],
    "w": [],
}


@pytest.fixture
def files(tmp_path):
    results = {v: [{"label": c, "score": p, "segment": s} for c, p, s in rows] for v, rows in FOUND.items()}
    truth, found = tmp_path / "gt.json", tmp_path / "found.json"
    truth.write_text(json.dumps(TRUTH))
    found.write_text(json.dumps({"results": results}))
    return truth, found


def test_eval_prints_rules_and_counts(files):
    done = tal("eval", *files, "--protocol", "wtal-seconds", "--explain", "wtal-snippet", "--recall")
    assert done.returncode == 0, done.stderr
    assert "protocol wtal-seconds, subset test" in done.stdout
    assert "counts: videos 2, instances 3, detections 7, unknown label detections 1" in done.stdout
    assert "exclude=('video_test_0000270'" in done.stdout
    assert "round_s: 0.0 -> 0.64" in done.stdout
    assert "AR@100" in done.stdout
    assert "'zebra'" in done.stderr


def test_eval_json(files):
    done = tal("eval", *files, "--tiou-thresholds", "0.3:0.5:0.1", "--json")
    document = json.loads(done.stdout)
    assert list(document["map"]) == ["0.3", "0.4", "0.5"]
    assert document["subset"] == "test"
    assert document["ap"] == {"a": [0.5, 0.5, 0.5], "b": [0.0, 0.0, 0.0]}
    assert document["average_map"] == 0.25
    assert document["protocol"]["name"] == "activitynet"
    assert document["protocol"]["ties"] == "total"
    assert document["counts"]["unknown_label_detections"] == 1


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0.1:0.1:0.9", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),  # the field's: start, step, stop
        ("0.1:0.9:0.1", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        ("0.5:0.05:0.95", linspace(0.5, 0.95, 10)),
        ("0.5:0.95:0.05", linspace(0.5, 0.95, 10)),
        ("0.3:0.7:0.3", (0.3, 0.6)),  # never past the end
        ("0:0.5:0.5", (0.0, 0.5)),
        ("0.5", (0.5,)),
        ("0.3,0.1", (0.3, 0.1)),
    ],
)
def test_overlaps_as_people_write_them(text, wanted):
    assert parse_tious(text) == wanted


@pytest.mark.parametrize(
    "text", ["0.5:0.5:0.5", "0.7:0.1:0.3", "0.1:0.9", "0.1:0:0.9", "0.1:1.5:0.1", "0.1:nan:0.9", ""]
)
def test_what_is_no_range_of_overlaps(text):
    with pytest.raises(UsageError, match="tiou-thresholds is"):
        parse_tious(text)


def test_two_readings_of_a_range_never_differ():
    grid = [i / 20 for i in range(21)]
    for x, y, z in product(grid, repeat=3):
        both = [_range(x, y, z), _range(x, z, y)]
        assert min(map(len, both)) < 2 or both[0] == both[1], (x, y, z)


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (["--protocol", "thumos"], 2, "unknown protocol 'thumos'; known: activitynet"),
        (["--subset", "nope"], 1, "no videos in subset 'nope'; subsets: test, training"),
        (["--tiou-thresholds", "1.5"], 2, "tiou-thresholds is '1.5'"),
        (["--tiou-thresholds", "a:b:c"], 2, "tiou-thresholds is 'a:b:c'"),
        (["--tiou-thresholds", "0.5:0.5:0.5"], 2, "a range of two or more"),
        (["--compat", "ties=random"], 2, "ties"),
        (["--exclude", "missing.txt"], 5, "missing.txt: no such list"),
    ],
)
def test_eval_usage(files, more, status, message):
    done = tal("eval", *files, *more)
    assert done.returncode == status, done.stderr
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_eval_asks_for_the_subset_where_it_is_not_plain(files):
    truth, found = files
    document = json.loads(found.read_text())
    document["results"]["x"] = [{"label": "a", "score": 1, "segment": [1, 2]}]
    found.write_text(json.dumps(document))
    done = tal("eval", truth, found)
    assert done.returncode == 2
    assert "detections are in test, training; choose one with --subset" in done.stderr
    assert tal("eval", truth, found, "--subset", "training").returncode == 0


def test_eval_excludes_listed_videos(files, tmp_path):
    (tmp_path / "no.txt").write_text("v\n")
    done = tal("eval", *files, "--exclude", tmp_path / "no.txt", "--json")
    assert json.loads(done.stdout)["counts"]["excluded_detections"] == 8


@pytest.fixture
def analysis(files):
    found, d = read_annotations(files[0]), read_detections(files[1])
    e = evaluate_tables(found.table("test"), d, PROTOCOLS["activitynet"])
    return analyse(found, "test", d, e)


def test_kinds_of_mistakes(analysis):
    every = analysis.cuts[-1]
    assert every.detections == 7
    assert every.right == 1
    assert every.wrong == {
        "double detection": 1, "wrong label": 1, "localization": 1, "confusion": 1, "background": 2,
    }  # fmt: skip
    assert list(every.wrong) == list(KINDS)
    # 1G: two detections of a, one of b.
    assert (analysis.cuts[0].detections, analysis.cuts[0].right) == (3, 1)
    assert analysis.cuts[0].wrong["double detection"] == 1


def test_gain_and_normalised_map(analysis):
    assert analysis.map == pytest.approx(0.25)
    # Without any mistake of a kind the right detection still comes first: nothing to gain here.
    assert set(analysis.gain.values()) == {0.0}
    # a has 2 instances, the average class 1.5: its one hit counts as 0.75 hits, precision stays 1.
    assert analysis.normalised_map == pytest.approx(0.25)


def test_characteristics(analysis):
    length = {b.name: b for b in analysis.characteristics["length (s)"]}
    assert sum(b.instances for b in length.values()) == 3
    assert length["6-12"].instances == 2
    assert length["6-12"].missed == 0.5
    assert length["> 18"].missed == 1.0
    coverage = {b.name: b.instances for b in analysis.characteristics["coverage (%)"]}
    assert coverage["> 8"] == 3
    assert {b.name: b.instances for b in analysis.characteristics["instances in the video"] if b.instances} == {
        "1": 1, "2-4": 2,
    }  # fmt: skip


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen += [(tag, dict(attrs))]


def test_report_is_one_page_that_needs_nothing_else(files, tmp_path):
    page = tmp_path / "report.html"
    done = tal("eval", *files, "--report", page)
    assert done.returncode == 0, done.stderr
    tags = Tags()
    tags.feed(page.read_text())
    names = [t for t, _ in tags.seen]
    assert names.count("svg") == 3
    assert names.count("table") == 5
    assert not {"script", "link", "img", "iframe"} & set(names)
    for _, attrs in tags.seen:
        assert not any((v or "").startswith(("http:", "https:")) for k, v in attrs.items() if k in ("src", "href"))


def test_report_escapes_names(files, tmp_path):
    found, d = read_annotations(files[0]), read_detections(files[1])
    e = evaluate_tables(found.table("test"), d, PROTOCOLS["activitynet"])
    a = analyse(found, "test", d, e)
    object.__setattr__(a, "source", "<script>alert(1)</script>")
    assert "<script>" not in evaluation_report.page(a)


def test_real_detections_have_all_kinds_of_mistakes(shared):
    found = read_annotations(shared / "thumos14/official")
    d = read_detections(shared / "detections/pmil_co2net_proposals/detection_result_base_test.json")
    e = evaluate_tables(found.table("test"), d, PROTOCOLS["activitynet"])
    a = analyse(found, "test", d, e)
    assert a.map == pytest.approx(e.at(0.5), abs=1e-9)  # two codes, one number
    assert all(v > 0 for v in a.cuts[-1].wrong.values())
    assert all(g >= 0 for g in a.gain.values())
    assert max(a.gain, key=a.gain.__getitem__) in ("localization", "background")
    assert sum(b.instances for b in a.characteristics["length (s)"]) == 3358
    assert np.isfinite([b.missed for b in a.characteristics["length (s)"]]).all()
