"""The two kits of THUMOS14: ties, AP, and which class a number means."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations import read_annotations, read_detections
from tal_engine.annotations.class_numbers import ALPHABETICAL, THUMOS14, class_list_of, class_numbers
from tal_engine.annotations.tables import Table
from tal_engine.errors import FeatureError, UsageError
from tal_engine.metrics import PROTOCOLS, evaluate_tables
from tal_engine.metrics.explain import tie_span
from tests.integration.test_cli import tal
from tests.reference import thumos14_kits as slow

KITS = {"later": PROTOCOLS["thumos14-official"], "first": PROTOCOLS["thumos14-evalkit"]}


def truth_of(rows, videos=()):
    return Table.of(((v, "a", s, e, 1.0) for v, s, e in rows), source="truth", videos=videos)


def found_of(rows):
    return Table.of(((v, "a", s, e, p) for v, s, e, p in rows), source="found")


def ap(kit, truth, found, threshold=0.5, ambiguous=None):
    rules = KITS[kit].with_tious((threshold,))
    return evaluate_tables(truth_of(truth), found_of(found), rules, ambiguous=ambiguous or {}).average


def test_one_right_detection_among_a_hundred_equal_scores():
    found = [("v", 100.0 + i, 100.5 + i, 1.0) for i in range(99)] + [("v", 0.0, 10.0, 1.0)]
    assert ap("later", [("v", 0, 10)], found) == pytest.approx(0.01)
    assert ap("first", [("v", 0, 10)], found) == 1.0
    assert ap("later", [("v", 0, 10)], found[::-1]) == 1.0  # as listed


def test_equal_scores_of_several_videos_go_by_the_names_of_the_videos():
    found = [("b", 0.0, 10.0, 0.5), ("a", 50.0, 60.0, 0.5)]  # "a" comes first, though it is listed last
    assert ap("later", [("b", 0, 10)], found) == 0.5
    found = [("b", 50.0, 60.0, 0.5), ("a", 0.0, 10.0, 0.5)]
    assert ap("later", [("a", 0, 10)], found) == 1.0


def test_eleven_points_are_compared_exactly():
    """Three of ten instances are a recall of 0.3, which 3 * 0.1 exceeds in floating point."""
    truth = [("v", 20.0 * i, 20.0 * i + 10) for i in range(10)]
    found = [(*row, 1.0 - 0.01 * i) for i, row in enumerate(truth[:3])]
    assert ap("first", truth, found) == pytest.approx(4 / 11)  # recalls 0, 0.1, 0.2, 0.3


SPAN = st.tuples(st.sampled_from("uvw"), st.integers(0, 6).map(float), st.integers(1, 4).map(float))
INTERVAL = SPAN.map(lambda r: (r[0], r[1], r[1] + r[2]))
FOUND = st.tuples(INTERVAL, st.sampled_from([0.25, 0.5, 0.75])).map(lambda r: (*r[0], r[1]))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(KITS)),
    st.lists(INTERVAL, min_size=1, max_size=8),
    st.lists(FOUND, max_size=12),
    st.lists(INTERVAL, max_size=2),
    st.sampled_from([0.1, 0.3, 0.5, 0.7]),
)
def test_kits_equal_their_twins(kit, truth, found, doubtful, threshold):
    ambiguous: dict[str, list[tuple[float, float]]] = {}
    for video, start, end in doubtful:
        ambiguous.setdefault(video, []).append((start, end))
    wanted = slow.average_precision(kit, truth, found, doubtful, threshold)
    assert ap(kit, truth, found, threshold, ambiguous) == pytest.approx(wanted, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.lists(INTERVAL, min_size=1, max_size=8), st.lists(FOUND, max_size=12), st.permutations(range(12)))
def test_no_order_of_listing_leaves_the_span_of_ties(truth, found, order):
    t, rules = truth_of(truth), KITS["later"].with_tious((0.5,))
    least, most = tie_span(t, found_of(found), rules)
    assert least <= most
    assert least - 1e-12 <= evaluate_tables(t, found_of(found), rules).average <= most + 1e-12
    # Scores without ties leave nothing to decide.
    distinct = [(*row[:3], row[3] + 1e-6 * order[i]) for i, row in enumerate(found)]
    least, most = tie_span(t, found_of(distinct), rules)
    assert least == most


@pytest.mark.parametrize(
    "name", ["pmil_co2net_proposals/detection_result_base_test.json", "stpn_thumos14/results.json"]
)
def test_ties_decide_nothing_in_published_detections_until_their_scores_are_cut(shared, name):
    found = read_annotations(shared / "thumos14/official")
    detections = read_detections(shared / "detections" / name)
    ambiguous = {v.name: v.ambiguous for v in found.subset("test").values() if v.ambiguous}
    table = found.table("test")
    least, most = tie_span(table, detections, KITS["later"], ambiguous=ambiguous)
    assert most - least < 1e-4
    coarse = replace(detections, score=np.round(detections.score, 1))
    least, most = tie_span(table, coarse, KITS["later"], ambiguous=ambiguous)
    assert least < evaluate_tables(table, coarse, KITS["later"], ambiguous=ambiguous).average < most
    assert most - least > 0.001


# -- class numbers -----------------------------------------------------------------------------


def write_truth(folder, class_list):
    folder.mkdir()
    for name in ("CricketShot", "BaseballPitch", "FrisbeeCatch"):
        (folder / f"{name}_test.txt").write_text("video_test_1  1.0 9.0\n")
    if class_list is not None:
        (folder / "detclasslist.txt").write_text("".join(f"{n} {name}\n" for n, name in class_list.names.items()))
    return folder


def write_found(path, *numbers):
    path.write_text("".join(f"video_test_1.mp4 1.0 9.0 {n} 0.9\n" for n in numbers))
    return path


@pytest.mark.parametrize(("numbers", "wanted"), [(ALPHABETICAL, "CricketShot"), (THUMOS14, "BaseballPitch")])
def test_the_list_of_the_annotations_decides(tmp_path, numbers, wanted):
    truth = write_truth(tmp_path / "gt", numbers)
    found = write_found(tmp_path / "d.txt", 7)
    assert read_detections(found, classes=read_annotations(truth).numbers).labels == (wanted,)
    done = tal("eval", truth, found, "--json")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["ap"]
    assert {name for name, row in scores.items() if max(row) > 0} == {wanted}


def test_numbers_that_fit_both_lists_are_refused(tmp_path):
    truth = write_truth(tmp_path / "gt", None)
    done = tal("eval", truth, write_found(tmp_path / "d.txt", 7, 12))
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    for part in ("THUMOS14's own numbers", "alphabetical numbers", "7 is BaseballPitch or CricketShot", "--class-list"):
        assert part in said
    done = tal("eval", truth, tmp_path / "d.txt", "--class-list", "alphabetical", "--json")
    assert max(json.loads(done.stdout)["ap"]["CricketShot"]) > 0


@pytest.mark.parametrize(("numbers", "label"), [((7, 21), "BaseballPitch"), ((7, 1), "CricketShot")])
def test_one_number_may_settle_it(tmp_path, numbers, label):
    assert read_detections(write_found(tmp_path / "d.txt", *numbers)).labels[0] == label


@pytest.mark.parametrize(
    ("classes", "numbers", "message"),
    [
        (
            ALPHABETICAL,
            (1, 45),
            r"line 2: class number 45 is not in alphabetical numbers \(1 to 20\); choose one with --class-list",
        ),
        (ALPHABETICAL, (45, 7), r"all of the file's numbers are in THUMOS14's own numbers \(7 to 97\)"),
        (None, (7, 200), "class number 200 is neither in THUMOS14's own numbers"),
        (None, (1, 97), "class number 1 is neither .* or the file mixes both"),
    ],
)
def test_numbers_that_no_list_has(tmp_path, classes, numbers, message):
    with pytest.raises(FeatureError, match=message):
        read_detections(write_found(tmp_path / "d.txt", *numbers), classes=classes)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "lists no classes"), ("1\n", "line 1: '1' is not a number"), ("1 a\n1 b\n", "line 2: '1 b' gives a number"),
     ("1 a\n2 a\n", "line 2: '2 a'"), ("x a\n", "line 1: 'x a' is not")],
)  # fmt: skip
def test_broken_class_lists(tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(FeatureError, match=message):
        class_numbers(str(tmp_path / "list.txt"))


def test_lists_that_disagree_and_unknown_names(tmp_path):
    for subset, numbers in (("test", THUMOS14), ("val", ALPHABETICAL)):
        write_truth(tmp_path / f"annotation_{subset}", numbers)
    with pytest.raises(FeatureError, match=r"annotation_test.*annotation_val.*differently"):
        class_list_of(tmp_path)
    with pytest.raises(UsageError, match="class-list is 'nope', must be a file"):
        class_numbers("nope")


@pytest.mark.parametrize("form", [".json", ".csv", ".jsonl"])
def test_scores_under_another_key(tmp_path, form):
    row = {"label": "a", "segment": [1, 2], "score300": 0.5, "score100": 0.25}
    flat = {"source": "v.mp4", "label": "a", "start_time": 1, "end_time": 2, "score300": 0.5, "score100": 0.25}
    text = {
        ".json": json.dumps({"results": {"v": [row]}}),
        ".csv": "video,label,start,end,score300,score100\nv,a,1,2,0.5,0.25\n",
        ".jsonl": json.dumps(flat),
    }[form]
    path = tmp_path / f"d{form}"
    path.write_text(text)
    with pytest.raises(
        FeatureError, match=r"has no 'score', only .*'score300', 'score100'; choose one with --score-key"
    ):
        read_detections(path)
    assert read_detections(path, score_key="score100").score.tolist() == [0.25]


def test_real_folder_and_real_detections(shared):
    found = read_annotations(shared / "thumos14/official")
    assert found.numbers is not None
    assert found.numbers.names == ALPHABETICAL.names
    with pytest.raises(FeatureError, match="THUMOS14's own numbers"):
        read_detections(shared / "detections/stpn_thumos14/results.txt", classes=found.numbers)
    assert len(read_detections(shared / "detections/stpn_thumos14/results.txt").labels) == 20
