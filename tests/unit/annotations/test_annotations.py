"""Annotation and detection files: every layout, and what is wrong with a file is named."""

from __future__ import annotations

import json
import pickle
from collections import Counter

import numpy as np
import pytest

from tal_engine.annotations import align_names, read_annotations, read_detections
from tal_engine.errors import FeatureError
from tal_engine.records import Segment

REAL = {
    "thumos14/official": ({"test": 213, "validation": 200}, 6365, 188),
    "thumos14/official/annotation_test": ({"test": 213}, 3358, 99),
    "thumos14/reduced_npy": ({"test": 212, "validation": 200}, 6365, 96),
    "thumos14/points/gt.json": ({"test": 210, "train": 200}, 6318, 0),
    "thumos14/actionformer.json": ({"Test": 212, "Validation": 200}, 6365, 0),
    "thumos14/opentad/thumos_14_anno.json": ({"training": 200, "validation": 211}, 6328, 0),
    "activitynet/v1.2/activity_net.v1-2.min.json": ({"training": 4819, "validation": 2383, "testing": 2480}, 10733, 0),
    "activitynet/v1.2/3cnet_npy": ({"training": 4819, "validation": 2383}, 10733, 0),
    "activitynet/v1.3/anet_anno_action.json": ({"training": 9649, "validation": 4728, "testing": 4851}, 22152, 0),
    "gtea_beoid/gtea_groundtruth.json": ({"training": 21, "validation": 7}, 497, 0),
    "gtea_beoid/beoid_groundtruth.json": ({"training": 46, "validation": 12}, 742, 0),
    "gtea_beoid/GTEA-Annotations": ({"training": 21, "validation": 7}, 497, 0),
    "gtea_beoid/BEOID-Annotations": ({"training": 46, "validation": 12}, 742, 0),
    "features/mmaction2/action_test_anno.json": ({"unknown": 2}, 2, 0),
    "detections/mmaction2_eval_localization/gt.json": ({"validation": 2}, 4, 0),
    "detections/stpn_thumos14/gt.json": ({"test": 210}, 3311, 0),
}


@pytest.mark.parametrize("name", REAL)
def test_public_annotations(shared, name):
    found = read_annotations(shared / name, allow_pickle=True)
    ambiguous = sum(len(v.ambiguous) for v in found)
    assert (dict(Counter(v.subset for v in found)), sum(len(v.instances) for v in found), ambiguous) == REAL[name]


@pytest.mark.parametrize(
    ("name", "videos", "rows"),
    [
        ("stpn_thumos14/results.json", 209, 9151),
        ("stpn_thumos14/results.txt", 209, 9151),
        ("mmaction2_eval_localization/result.json", 2, 14),
        ("pmil_co2net_proposals/detection_result_base_train.json", 200, None),
        ("anet_evaluation/sample_detection_prediction.json", 4926, 7654),
    ],
)
def test_public_detections(shared, name, videos, rows):
    found = read_detections(shared / "detections" / name)
    assert len(found.videos) == videos
    assert rows is None or len(found) == rows


def test_the_same_truth_in_two_layouts(shared):
    a = read_annotations(shared / "activitynet/v1.2/activity_net.v1-2.min.json").subset("validation")
    b = read_annotations(shared / "activitynet/v1.2/3cnet_npy", allow_pickle=True).subset("validation")
    names = {n.removeprefix("v_"): v for n, v in b.items()}
    assert a.keys() == names.keys()
    same = [a[n].labels == names[n].labels and len(a[n].instances) == len(names[n].instances) for n in a]
    assert all(same)


DATABASE = {
    "v": {"subset": "Test", "duration": 9, "annotations": [{"segment": ["1.5", 2], "label": "a"}]},
    "w": {"subset": "train", "annotations": [{"segment": [0, 1], "label": "Ambiguous"}]},
}


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_activitynet_form(tmp_path):
    found = read_annotations(write(tmp_path / "gt.json", {"database": DATABASE}))
    assert found.videos["v"].instances == (Segment(1.5, 2.0, "a", 1.0),)
    assert found.videos["w"].ambiguous == ((0.0, 1.0),)
    assert list(found.subset("test")) == ["v"]  # capitals do not matter
    assert list(found.subset(None)) == ["v", "w"]
    with pytest.raises(FeatureError, match="no videos in subset 'valid'; subsets: Test, train"):
        found.subset("valid")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "is a JSON list"),
        ("{}", "no known layout"),
        ({"database": []}, "non-empty 'database'"),
        ({"database": {"v": 3}}, "entry 'v'"),
        ({"database": {"v": {"subset": "x"}}}, "entry 'v': has no 'annotations' and no 'labels'"),
        ({"database": {"v": {"subset": "x", "annotations": [{"segment": [0, 1]}]}}}, "entry 'v', annotation 0: label"),
        ({"database": {"v": {"subset": "x", "annotations": [{"label": "a", "segment": [2, 1]}]}}}, "0 <= start <= end"),
        ({"database": {"v": {"subset": "x", "annotations": [{"label": "a", "segment": [0, "nan"]}]}}}, "entry 'v'"),
        ({"database": DATABASE, "classes": "a"}, "'classes' must be a list"),
        ('{"database": {"v": {"subset": "x", "duration": NaN, "annotations": []}}}', "entry 'v'.*duration NaN"),
        ({"v": {"annotations": [{"label": "a", "segment": [0]}]}}, "entry 'v'"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_malformed_annotations(tmp_path, text, message):
    with pytest.raises(FeatureError, match=message):
        read_annotations(write(tmp_path / "gt.json", text))


def test_missing_annotations(tmp_path):
    with pytest.raises(FeatureError, match=r"no\.json: no such annotation file"):
        read_annotations(tmp_path / "no.json")
    with pytest.raises(FeatureError, match=r"neither segments\.npy nor"):
        read_annotations(tmp_path)


def test_thumos_text_folder(tmp_path):
    write(tmp_path / "Diving_test.txt", "video_test_1  1.0 2.5\n\nvideo_test_2 0 1\n")
    write(tmp_path / "Ambiguous_test.txt", "video_test_1  5.0 6.0\n")
    found = read_annotations(tmp_path)
    assert found.classes == ("Diving",)
    assert found.videos["video_test_1"].ambiguous == ((5.0, 6.0),)
    assert found.videos["video_test_2"].instances == (Segment(0.0, 1.0, "Diving", 1.0),)
    write(tmp_path / "Shotput_test.txt", "video_test_1 1 2\nvideo_test_1 3 2\n")
    with pytest.raises(FeatureError, match=r"Shotput_test.txt: line 2: 'video_test_1 3 2'"):
        read_annotations(tmp_path)


def npy_folder(folder, **changes):
    columns = {
        "videoname": np.array([b"v", b"w"]),
        "subset": np.array([b"test", b"validation"]),
        "duration": np.array([9.0, 5.0]),
        "segments": np.array([[[0.0, 1.0], [2, 3]], []], object),
        "labels": np.array([["a", "b"], []], object),
        "classlist": np.array([b"a", b"b"]),
    }
    for name, value in {**columns, **changes}.items():
        np.save(folder / f"{name}.npy", value, allow_pickle=True)
    return folder


def test_npy_folder(tmp_path):
    folder = npy_folder(tmp_path)
    with pytest.raises(FeatureError, match="allow_pickle"):
        read_annotations(folder)
    found = read_annotations(folder, allow_pickle=True)
    assert found.classes == ("a", "b")
    assert found.videos["v"].labels == ("a", "b")
    assert found.videos["w"].instances == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.array([["a"], []], object)}, "entry 'v'"),
        ({"duration": np.array([9.0])}, "duration.npy has 1 rows"),
        ({"segments": np.array([[[0.0, -1.0], [2, 3]], []], object)}, "entry 'v'"),
    ],
)
def test_malformed_npy_folder(tmp_path, changes, message):
    with pytest.raises(FeatureError, match=message):
        read_annotations(npy_folder(tmp_path, **changes), allow_pickle=True)


class Evil:
    def __reduce__(self):
        return eval, ("1/0",)


def test_a_pickle_runs_nothing(tmp_path):
    folder = npy_folder(tmp_path, segments=np.array([Evil(), []], object))
    with pytest.raises(FeatureError, match=r"refused builtins\.eval"):
        read_annotations(folder, allow_pickle=True)
    (folder / "segments.npy").write_bytes(pickle.dumps(3))
    with pytest.raises(FeatureError, match="of plain data"):
        read_annotations(folder, allow_pickle=True)


FORMS = {
    ".json": json.dumps({"results": {"v": [{"label": "a", "score": 0.5, "segment": [1, 2]}]}}),
    ".txt": "v.mp4 1 2 26 0.5\n",
    ".csv": "video,label,start,end,score\nv.mp4,a,1,2,0.5\n",
    ".jsonl": json.dumps({"source": "x/v.mp4", "label": "a", "start_time": 1, "end_time": 2, "score": 0.5}) + "\n\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_detection_forms(tmp_path, form):
    d = read_detections(write(tmp_path / f"d{form}", FORMS[form]))
    assert d.videos == ("v",)
    assert d.labels == (("Diving",) if form == ".txt" else ("a",))
    assert (d.start.tolist(), d.end.tolist(), d.score.tolist()) == ([1.0], [2.0], [0.5])


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        (".json", "{}", "needs a 'results' object"),
        (".json", {"results": {"v": {}}}, "video 'v': needs a list"),
        (".json", {"results": {"v": [{"label": "a", "score": 1}]}}, "video 'v', detection 0"),
        (".json", {"results": {"v": [{"label": "a", "score": 1, "segment": [2, 1]}]}}, r"v, a: \[2.0, 1.0\]"),
        (".json", '{"results": {"v": [{"label": "a", "score": NaN, "segment": [1, 2]}]}}', "is not finite"),
        (".txt", "v 1 2 26 0.5\nv 1 2 999 0.5\n", "line 2.*999"),
        (".txt", "v 1 2\n", "line 1"),
        (".csv", "video,label,start,end\nv,a,1,2\n", "has no 'score', only 'video', 'label', 'start', 'end'"),
        (".csv", "video,label,start,end,score\nv,a,1,two,1\n", "line 2"),
        (".jsonl", "{}\n", "line 1"),
        (".jsonl", '{"source": "v"\n', "line 1"),
        (".xml", "", "cannot tell the form of a '.xml' file"),
    ],
)
def test_malformed_detections(tmp_path, form, text, message):
    with pytest.raises(FeatureError, match=message):
        read_detections(write(tmp_path / f"d{form}", text))


def test_detections_that_are_not_text(tmp_path):
    for form in FORMS:
        path = tmp_path / f"d{form}"
        path.write_bytes(b"\xff\xfe\x00\x80" * 20)
        with pytest.raises(FeatureError):
            read_detections(path)
    with pytest.raises(FeatureError, match="no such detection file"):
        read_detections(tmp_path / "none.json")


def test_activitynet_names_are_aligned_and_said(tmp_path):
    d = read_detections(write(tmp_path / "d.csv", FORMS[".csv"]))
    renamed, note = align_names(d, ("v_v", "v_w"))
    assert renamed.videos == ("v_v",)
    assert "was put before" in note
    same, note = align_names(d, ("v",))
    assert (same.videos, note) == (("v",), "")


def test_byte_order_marks(tmp_path):
    (tmp_path / "gt.json").write_text(json.dumps({"database": DATABASE}), encoding="utf-8-sig")
    assert list(read_annotations(tmp_path / "gt.json").videos) == ["v", "w"]
    for form, text in FORMS.items():
        (tmp_path / f"d{form}").write_text(text, encoding="utf-8-sig")
        assert read_detections(tmp_path / f"d{form}").videos == ("v",)
    folder = tmp_path / "thumos"
    folder.mkdir()
    (folder / "Diving_test.txt").write_text("video_test_1 1 2\n", encoding="utf-8-sig")
    assert list(read_annotations(folder).videos) == ["video_test_1"]


BAD = [
    {"label": "a", "segment": [2, 1]}, {"label": None, "segment": [0, 1]}, {"label": 7, "segment": [0, 1]},
    {"label": " ", "segment": [0, 1]}, {"label": "a", "segment": "ab"}, {"label": "a", "segment": [0, "x"]},
    {"label": "a", "segment": [0, float("nan")]}, {"label": "a", "segment": [0, 10**400]}, {"segment": [0, 1]},
    {"label": "a", "segment": [False, True]}, {"label": "a", "segment": {"0": 1, "1": 2}}, 3, None, [],
    {"label": "a", "segment": [-1, 1]}, {"label": "a", "segment": [0, 1, 2]},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_each_bad_annotation_is_named(tmp_path, bad):
    for document in ({"database": {"v": {"subset": "x", "annotations": [bad]}}}, {"v": {"annotations": [bad]}}):
        write(tmp_path / "gt.json", document)
        with pytest.raises(FeatureError, match=r"entry 'v', annotation 0|64 bits|not JSON"):
            read_annotations(tmp_path / "gt.json")


def test_all_bad_entries_are_named_in_one_error(tmp_path):
    good = {"subset": "x", "annotations": [{"label": "a", "segment": [0, 1]}]}
    entries = {
        "p": {"subset": "x", "annotations": [{"label": "a", "segment": [2, 1]}, {"label": None, "segment": [0, 1]}]},
        "q": {"subset": None, "annotations": []},
        "r": {"subset": "x"},
        "s": 4,
        "t": {"subset": "x", "annotations": {}},
        "u": {"subset": "x", "annotations": [], "duration": -1},
        "w": {"subset": "x", "annotations": [], "labels": [None]},
    }
    with pytest.raises(FeatureError) as e:
        read_annotations(write(tmp_path / "gt.json", {"database": {"ok": good, **entries}}))
    assert all(f"entry {name!r}" in str(e.value) for name in entries)
    assert "8 things are wrong" in str(e.value)
    assert "entry 'ok'" not in str(e.value)
    many = {f"v{i}": {"subset": "x", "annotations": [BAD[0]]} for i in range(20_000)}
    with pytest.raises(FeatureError, match=r"20000 things are wrong.*and 19990 more") as e:
        read_annotations(write(tmp_path / "gt.json", {"database": many}))
    assert len(str(e.value)) < 2000


def test_entries_that_are_still_useful(tmp_path, caplog):
    database = {
        "v": {"subset": "x", "annotations": [{"label": "a", "segment": [0, 1]}, {"label": "b"}]},
        "w": {"subset": "x", "labels": ["c"]},
        "u": {"subset": "x", "duration": None, "annotations": [{"label": "a", "segment": None}]},
    }
    found = read_annotations(write(tmp_path / "gt.json", {"database": database}))
    assert found.videos["v"].labels == ("a", "b")
    assert [s.label for s in found.videos["v"].instances] == ["a"]
    assert (found.videos["w"].labels, found.videos["w"].instances) == (("c",), ())
    assert (found.videos["u"].labels, found.videos["u"].duration) == (("a",), 0.0)
    assert "2: entry 'v', annotation 1; entry 'u', annotation 0" in found.notes[0]
    assert "without 'annotations'" in found.notes[1]
    assert [r.getMessage() for r in caplog.records] == [f"{tmp_path / 'gt.json'}: {n}" for n in found.notes]


@pytest.mark.parametrize("label", [None, 3, "", ["a"]])
def test_labels_of_detections_are_texts(tmp_path, label):
    result = {"results": {"v": [{"label": label, "score": 1, "segment": [0, 1]}] * 2}}
    with pytest.raises(FeatureError, match=r"detection 0: '?label.*detection 1"):
        read_detections(write(tmp_path / "d.json", result))
    line = {"source": "v", "label": label, "start_time": 0, "end_time": 1, "score": 1}
    with pytest.raises(FeatureError, match=r"line 1: '?label"):
        read_detections(write(tmp_path / "d.jsonl", line))
