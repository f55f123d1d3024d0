"""Every committed fuzz input through its Python target, and what fuzzing found once, by name."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tal_engine import _core
from tal_engine.annotations import read_annotations, read_detections
from tal_engine.errors import FeatureError, PlanError, PlanFault
from tal_engine.plan.archive import parse_plan
from tests.fuzz import archives, mutators
from tests.fuzz.bindings import bindings
from tests.fuzz.parsers import TARGETS, npy_files
from tests.fuzz.run import CORE, CORPUS, PYTHON
from tests.fuzz.states import STATES

ALL = TARGETS | STATES | {"bindings": bindings}


def test_every_target_has_a_corpus():
    assert set(ALL) == set(PYTHON)
    assert {p.name for p in CORPUS.iterdir()} == {*CORE, *PYTHON}
    sources = {p.stem for p in (Path(__file__).parents[1] / "fuzz" / "core").glob("*.cpp")}
    assert sources == set(CORE)
    assert sum(p.stat().st_size for p in CORPUS.rglob("*") if p.is_file()) < 400_000


@pytest.mark.parametrize("name", PYTHON)
def test_corpus(name):
    inputs = sorted((CORPUS / name).iterdir())
    assert len(inputs) >= 2
    for path in inputs:
        try:
            ALL[name](path.read_bytes())
        except Exception as e:
            raise AssertionError(f"{name}: {path.name}: {e!r}") from e


@pytest.mark.parametrize("name", sorted(archives.MUTATORS))
def test_mutations_keep_the_structure(name, monkeypatch):
    """They never fail, differ, and get behind what guards the form: checksums, hashes, headers."""
    for module in (mutators, archives):
        monkeypatch.setattr(module, "raw", lambda data, most: data[: most // 2] + b"!")
    seeds = [p.read_bytes() for p in sorted((CORPUS / name).glob("seed-*"))]
    if name in ("plan", "features", "snapshot"):
        seeds = [max(seeds, key=len)]
    made = {archives.MUTATORS[name](data, 8192, k) for data in seeds for k in range(120)}
    assert len(made) > 30
    assert max(map(len, made)) <= 8192
    if name in ("plan", "features", "snapshot"):
        assert sum(zipfile.is_zipfile(io.BytesIO(m)) for m in made) > len(made) / 2
    if name == "plan":
        faults = [_fault(m) for m in made]
        assert faults.count(PlanFault.WRONG_HASH) < len(faults) / 4
        assert len(set(faults)) > 3


def _fault(data):
    try:
        parse_plan(data)
    except PlanError as e:
        return e.fault
    return None


def test_video_info_without_its_columns(tmp_path):
    (tmp_path / "gt.json").write_text('{"v": {"annotations": []}}')
    wrong = {b"video,frames\nv,1\n": "column 'subset' is missing", b"video,subset\n\xff,x\n": "not a text file"}
    for content, words in wrong.items():
        (tmp_path / "video_info_new.csv").write_bytes(content)
        with pytest.raises(FeatureError, match=rf"video_info_new\.csv: {words}"):
            read_annotations(tmp_path / "gt.json")


def test_thumos_text_that_is_no_text(tmp_path):
    (tmp_path / "Jump_test.txt").write_bytes(b"v 1 2\n\xad")
    with pytest.raises(FeatureError, match=r"Jump_test\.txt: not a text file"):
        read_annotations(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("duration", np.array(3.0), r"duration\.npy: .*one value, not an array of rows"),
        ("url", np.array(["x"]), r"url\.npy has 1 rows, videoname\.npy 2"),
        ("duration", np.array([[], [1.0]], dtype=object), r"'video_1': duration \[\] is not a finite number"),
        ("duration", np.array([[10**400], [1.0]], dtype=object), "'video_1': duration 1000+.* is not a finite number"),
    ],
)
def test_npy_columns_of_the_wrong_form(tmp_path, name, value, words):
    for file, content in npy_files().items():
        (tmp_path / file).write_bytes(content)
    np.save(tmp_path / f"{name}.npy", value, allow_pickle=True)
    with pytest.raises(FeatureError, match=words):
        read_annotations(tmp_path, allow_pickle=True)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "[]", '"x"', "null"])
def test_numbers_that_are_none(tmp_path, number):
    truth = tmp_path / "gt.json"
    entry = f'{{"subset": "t", "annotations": [{{"label": "a", "segment": [0, {number}]}}]}}'
    truth.write_text(f'{{"database": {{"v": {entry}}}}}')
    results = tmp_path / "found.json"
    results.write_text(f'{{"results": {{"v": [{{"label": "a", "score": {number}, "segment": [0, 1]}}]}}}}')
    lines = tmp_path / "found.jsonl"
    lines.write_text(f'{{"source": "v", "label": "a", "start_time": 0, "end_time": 1, "score": {number}}}\n')
    for read, path in ((read_annotations, truth), (read_detections, results), (read_detections, lines)):
        with pytest.raises(FeatureError, match=path.name):
            read(path)


def test_a_compressed_plan_is_not_unpacked():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", " " * 10_000_000)
    with pytest.raises(PlanError, match=r"member 'manifest\.json' is compressed"):
        parse_plan(buffer.getvalue())


def test_clusters_that_nobody_computed():
    x = np.zeros((4, 2), np.float32)
    for bounds, medoids in (([0, 9], [0]), ([0, 4], [10**9]), ([-5, 4], [0]), ([0, 1], [0])):
        with pytest.raises(ValueError, match=r"bounds must run from 0 to 4|is outside of its cluster"):
            _core.mine_actions(x, [0], bounds, medoids)
