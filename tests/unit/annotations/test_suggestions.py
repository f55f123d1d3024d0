"""Predictions as suggestions, driven by cvat-sdk's own driver; FiftyOne's own labels: benchmarks/judge_formats.py."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from tal_engine.annotations.formats import Annotation, AnnotationTable, read, write
from tal_engine.annotations.suggest import fiftyone_field
from tal_engine.errors import DataError, UsageError
from tests.cvat_server import commanded, cvat_server

ROWS = [
    Annotation("v.mp4", "groom", 0.08, 0.2, score=0.9),
    Annotation("v.mp4", "groom", 0.16, 0.24, score=0.4),
    Annotation("v.mp4", "rear", 0.12, 0.16, score=0.2),
]
MODULE = "tal_engine.annotations.suggest.cvat_function"


@pytest.fixture
def results(tmp_path):
    write(AnnotationTable.of(ROWS), tmp_path / "out.csv")
    return str(tmp_path / "out.csv")


def annotated(monkeypatch, function, frames, labels=("groom", "rear"), scored=("groom", "rear"), **options):
    """What cvat-sdk's own driver uploads for a task of images: (frame, label, attributes)."""
    driver = pytest.importorskip("cvat_sdk.auto_annotation.driver")
    task = [
        SimpleNamespace(name=n, id=100 + k, type="any", sublabels=[], attributes=[_attribute(7)] if n in scored else [])
        for k, n in enumerate(labels)
    ]
    samples = [
        SimpleNamespace(frame_name=n, frame_index=k, media=SimpleNamespace(load_image=lambda: None))
        for k, n in enumerate(frames)
    ]
    monkeypatch.setattr(driver, "TaskDataset", lambda *_, **__: SimpleNamespace(labels=task, samples=samples))
    sent = []

    def take(action, task_id, *, patched_labeled_data_request):
        sent.extend(patched_labeled_data_request.tags)

    api = SimpleNamespace(partial_update_annotations=take)
    client = SimpleNamespace(logger=logging.getLogger("cvat"), tasks=SimpleNamespace(api=api))
    driver.annotate_task(client, 1, function, **options)
    return [(t.frame, t.label_id, [(a.spec_id, a.value) for a in t.attributes]) for t in sent]


def _attribute(number):
    from cvat_sdk import models

    return models.AttributeRequest(name="score", id=number, input_type="text", values=[], mutable=False)


def loaded(**parameters):
    loader = pytest.importorskip("cvat_cli._internal.common").FunctionLoader
    return loader(MODULE, None, parameters).load()


def test_cvat_gets_a_tag_for_each_frame_of_a_prediction(monkeypatch, results):
    function = loaded(results=results, fps=25.0)
    found = annotated(monkeypatch, function, [f"v/{k:06d}.jpg" for k in range(8)])
    groom = [(k, 100, [(7, "0.9")]) for k in (2, 3, 4)] + [(5, 100, [(7, "0.4")])]
    assert sorted(found) == sorted([*groom, (3, 101, [(7, "0.2")])])


def test_cvat_s_own_command_annotates_a_task_of_a_server(results, tmp_path):
    pytest.importorskip("cvat_cli", reason="CVAT's command is cvat-cli")
    names = [f"v/{k:06d}.jpg" for k in range(8)]
    with cvat_server(5, names, ("groom", "rear"), ("groom",)) as cvat:
        assert commanded(cvat, tmp_path, f"results=str:{results}", "fps=float:25") == ""
        [sent] = cvat.sent
        assert cvat.asked[-1] == ("PATCH", "/api/tasks/5/annotations")
        told = sorted((t["frame"], t["label_id"], [a["value"] for a in t["attributes"]]) for t in sent["tags"])
        groom = [(k, 100, ["0.9"]) for k in (2, 3, 4)] + [(5, 100, ["0.4"])]
        assert told == sorted([*groom, (3, 101, [])])  # rear has no attribute for its score there
        assert {t["source"] for t in sent["tags"]} == {"auto"}
        assert "give -p fps=float:RATE" in commanded(cvat, tmp_path, f"results=str:{results}")
        assert len(cvat.sent) == 1


def test_what_cvat_exports_of_tagged_images_is_segments_again(monkeypatch, tmp_path):
    rows = [
        *ROWS[:1],
        Annotation("v.mp4", "rear", 0.0, 0.04, score=0.3),
        Annotation("w.mp4", "rear", 0.04, 0.12, score=0.5),
    ]
    write(AnnotationTable.of(rows), tmp_path / "out.csv")
    names = [f"{v}/{k:06d}.jpg" for v in ("v", "w") for k in range(8)]
    tags = annotated(monkeypatch, loaded(results=str(tmp_path / "out.csv"), fps=25.0), names)
    label = {100: "groom", 101: "rear"}
    images = "".join(
        f'<image id="{k}" name="{name}" width="64" height="48">'
        + "".join(
            f'<tag label="{label[x]}" source="auto"><attribute name="score">{a[0][1]}</attribute></tag>'
            for at, x, a in tags if at == k
        )
        + "</image>"
        for k, name in enumerate(names)
    )  # fmt: skip
    (tmp_path / "x.xml").write_text(f"<annotations><version>1.1</version>{images}</annotations>")
    found = read(tmp_path / "x.xml", fps=25)
    assert sorted((r.video, r.label, r.start, r.end, r.score) for r in found) == sorted(
        (r.video.removesuffix(".mp4"), r.label, r.start, r.end, r.score) for r in rows
    )
    (tmp_path / "x.xml").write_text('<annotations><version>1.1</version><image id="one" name="v/0.jpg"/></annotations>')
    with pytest.raises(DataError, match=r"x\.xml"):
        read(tmp_path / "x.xml", fps=25)


def test_cvat_names_may_count_from_1_and_scores_may_be_left_out(monkeypatch, results):
    function = loaded(results=results, fps=25.0, first=1)
    found = annotated(
        monkeypatch, function, [f"v_{k:06d}.png" for k in range(1, 9)], labels=("groom",), scored=(),
        allow_unmatched_labels=True, conf_threshold=0.5,
    )  # fmt: skip
    assert found == [(k, 100, []) for k in (2, 3, 4)]


def test_cvat_images_belong_to_the_video_that_their_folder_names(monkeypatch, tmp_path):
    write(AnnotationTable.of([*ROWS, Annotation("w.mp4", "rear", 0.0, 0.04, score=0.5)]), tmp_path / "out.csv")
    function = loaded(results=str(tmp_path / "out.csv"), fps=25.0)
    assert annotated(monkeypatch, function, ["day/w/0000.jpg", "day/v/0000.jpg"]) == [(0, 101, [(7, "0.5")])]
    with pytest.raises(UsageError, match=r"'other/0000\.jpg': the results have several videos"):
        annotated(monkeypatch, function, ["other/0000.jpg"])
    with pytest.raises(UsageError, match=r"'v/cover\.jpg': its name must end in the number of its frame"):
        annotated(monkeypatch, function, ["v/cover.jpg"])


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "give -p fps=float:RATE or -p video"),
        ({"fps": 25.0, "name": "x"}, "video 'x' has no predictions; those that have: v.mp4"),
    ],
)
def test_cvat_errors_name_what_is_allowed(results, parameters, said):
    with pytest.raises(UsageError, match=said):
        loaded(results=results, **parameters)


def test_nothing_to_suggest_is_an_error(tmp_path):
    write(AnnotationTable.of([Annotation("v", "a")]), tmp_path / "out.csv")
    with pytest.raises(DataError, match="nothing to suggest"):
        loaded(results=str(tmp_path / "out.csv"), fps=25.0)


class Sample(dict):
    """A sample that is in a data set."""

    in_dataset = True

    def __init__(self, filepath, rate):
        super().__init__()
        self.filepath, self.saved = filepath, 0
        self.metadata = SimpleNamespace(frame_rate=rate)

    def save(self):
        self.saved += 1


def test_fiftyone_samples_get_frames_and_confidence(monkeypatch):
    labels = SimpleNamespace(TemporalDetection=lambda **k: k, TemporalDetections=lambda detections: detections)
    monkeypatch.setattr(fiftyone_field, "_labels", lambda: labels)  # the real ones: benchmarks/judge_formats.py
    ours, other = Sample("/data/v.mp4", 25.0), Sample("/data/x.mp4", None)
    table = AnnotationTable.of([*ROWS, Annotation("gone.mp4", "rear", 0.0, 1.0, score=0.5)])
    assert fiftyone_field.add_predictions([ours, other], table, "tal") == ("gone.mp4",)
    assert ours["tal"][0] == {"label": "groom", "support": [3, 5], "confidence": 0.9}
    assert (ours.saved, other.saved, "tal" in other) == (1, 0, False)
    unknown = Sample("/data/gone.mp4", None)
    with pytest.raises(UsageError, match=r"gone.mp4: its rate of frames is not known"):
        fiftyone_field.add_predictions([ours, unknown], table, "again")
    assert "again" not in ours


def test_fiftyone_that_is_not_installed_is_said(capsys):
    from importlib.util import find_spec

    if find_spec("fiftyone") is not None:
        pytest.skip("fiftyone is installed")
    with pytest.raises(SystemExit) as ended:
        fiftyone_field.main(["d", "out.json"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: fiftyone is not installed here")
