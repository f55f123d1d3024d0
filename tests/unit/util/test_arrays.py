"""Feature, flow and snapshot files of strangers: bounded before anything is allocated, and the file is named."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tal_engine._util.arrays import ArrayFile, as_float32, read_arrays
from tal_engine.annotations import read_annotations, read_detections
from tal_engine.annotations.npy import read_column, read_rows
from tal_engine.annotations.points import read_points
from tal_engine.errors import FeatureError, FlowError, TALError
from tal_engine.features import load_features, save_features
from tal_engine.features.compare import read_for_comparison
from tal_engine.lab.data.description import FeatureSpec, read_description
from tal_engine.lab.data.feature_store import StoredFeatures
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tal_engine.video.stored_flow import open_flow

TAL = Path(sys.executable).with_name("tal")


def npy(shape, dtype="<f4", data=b"", version=(1, 0), extra=""):
    """An .npy file that declares what it likes."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, {extra}}}"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(header) + 1)
    return b"\x93NUMPY" + bytes(version) + size + header.encode() + b"\n" + data


def npz(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as out:
        for name, data in members.items():
            out.writestr(f"{name}.npy", data)
    return path


def saved(**changes):
    """A record, as JSON text inside an array of text."""
    record = {"timeline": [0.0, 0.64, 0.64], "duration": 3.0, "contract": {}} | changes
    out = io.BytesIO()
    np.save(out, np.array(json.dumps(record)))
    return out.getvalue()


RGB = npy((2, 3), data=bytes(24))
DATES = {"dates": "<M8[s]", "spans": "<m8[s]", "complex": "<c8", "text": "<U1", "bytes": "|S4", "bool": "|b1"}

ARRAYS = {
    "huge": npy((2**40, 2048)),
    "huge product": npy((2**31, 2**31, 2**31)),
    "beyond any integer": npy((10**30,)),
    "negative": npy((-1, 3)),
    "negative twice": npy((-1, -6), data=bytes(24)),
    "many axes": npy((1,) * 70, data=bytes(4)),
    "empty and endless": npy((0, 10**18)),
    "endless and empty": npy((10**9, 0)),
    "cut short": npy((2, 3), data=bytes(20)),
    "longer": npy((2, 3), data=bytes(28)),
    "no shape": npy("a"),
    "objects": npy((1,), "|O", b"\x80\x02]."),
    "structured": npy((2,), [("a", "<f4"), ("b", "<f4")], bytes(16)),
    "subarray": npy((2,), ("<f4", (3,)), bytes(24)),
    "unknown dtype": npy((2, 3), "<q99", bytes(24)),
    "odd dtype": npy((2, 3), "i" * 9000, bytes(24)),
    "nested header": npy("(" * 900),
    "version": b"\x93NUMPY\x09\x00" + RGB[8:],
    "long header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + RGB[10:],
    "cut header": RGB[:20],
    "pickle": b"\x80\x02]q\x00.",
    "empty": b"",
    **{name: npy((2, 3), kind, bytes(6 * np.dtype(kind).itemsize)) for name, kind in DATES.items()},
}


@pytest.mark.parametrize("what", ARRAYS)
def test_hostile_arrays(what, tmp_path):
    """In each form that features come in; the peak shows that nothing was allocated for what is declared."""
    plain, own, other = tmp_path / "v.npy", tmp_path / "v.npz", tmp_path / "w.npz"
    plain.write_bytes(ARRAYS[what])
    npz(own, {"record": saved(), "rgb": ARRAYS[what]})
    npz(other, {"features": ARRAYS[what]})
    tracemalloc.start()
    for path, read in ((plain, read_for_comparison_), (other, read_for_comparison_), (own, load_features)):
        with pytest.raises(FeatureError) as e:
            read(path)
        assert str(e.value).startswith(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def read_for_comparison_(path):
    return read_for_comparison(path, "rgb")


def test_what_is_fine(tmp_path):
    for kind in ("<f2", ">f4", "<f8", "<i8", "|u1"):
        array = np.arange(6).reshape(2, 3).astype(kind)
        np.save(tmp_path / "a.npy", np.asfortranarray(array))
        with ArrayFile(tmp_path / "a.npy") as file:
            np.testing.assert_array_equal(file.read(), array)
            np.testing.assert_array_equal(file.map(), array)
        np.savez_compressed(tmp_path / "a.npz", x=array)
        np.testing.assert_array_equal(read_arrays(tmp_path / "a.npz")["x"], array)
    assert np.isinf(as_float32(np.array([1e300]))).all()


def test_archives_that_unpack_without_end(tmp_path):
    bomb = npz(tmp_path / "b.npz", {"record": saved(), "rgb": npy((20_000, 2048), data=bytes(20_000 * 8192))},
               compression=zipfile.ZIP_DEFLATED)  # fmt: skip
    assert bomb.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(FeatureError, match=r"b\.npz: .*unpacks to 163840\d+ bytes, over 200 times"):
        load_features(bomb)
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()
    for limit in (1000, 10):
        with pytest.raises(FeatureError, match=f"at most {limit} are read"):
            read_arrays(npz(tmp_path / "c.npz", {"x": npy((1000,), data=bytes(4000))}), limit=limit)


def patched(path, at, value):
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + at] = value
    data[at - 2] = value
    path.write_bytes(data)


@pytest.mark.parametrize(("at", "value"), [(8, 1), (10, 99), (10, 12), (10, 14)])
def test_encrypted_and_unknown_packings(at, value, tmp_path):
    patched(npz(tmp_path / "a.npz", {"record": saved(), "rgb": RGB}), at, value)
    with pytest.raises(FeatureError, match=r"a\.npz: .*encrypted or packed"):
        load_features(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as out:
        for _ in range(2):
            out.writestr("rgb.npy", RGB)
    with pytest.raises(FeatureError, match=r"the name .* occurs twice"):
        load_features(tmp_path / "a.npz")


RECORDS = {
    "negative duration": {"duration": -1},
    "endless": {"duration": 1e300},
    "duration of text": {"duration": "3"},
    "no duration": {"duration": None},
    "true": {"duration": True},
    "step of 0": {"timeline": [0, 0, 1]},
    "negative step": {"timeline": [0, -1, 1]},
    "two times": {"timeline": [0, 1]},
    "times of text": {"timeline": ["0", "1", "1"]},
    "timeline": {"timeline": {"start": 0}},
    "contract": {"contract": [1]},
    "encoders": {"contract": {"encoders": 5}},
    "an encoder": {"contract": {"encoders": {"rgb": "i3d"}}},
    "snippet": {"contract": {"snippet": "fps"}},
    "libraries": {"contract": {"libraries": {"av": [1]}}},
}


@pytest.mark.parametrize("what", RECORDS)
def test_records_that_make_no_sense(what, tmp_path):
    path = npz(tmp_path / "a.npz", {"record": saved(**RECORDS[what]), "rgb": RGB})
    with pytest.raises(FeatureError, match=r"a\.npz: its record is broken"):
        load_features(path)


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"duration": NaN}', '{"a": 1, "a": 2}', "[" * 100_000, "9" * 5000])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_records_that_are_no_json(text, value, tmp_path):
    for broken in (text, json.dumps({"timeline": [0, 1, 1], "contract": {}})[:-1] + f', "duration": {value}}}'):
        out = io.BytesIO()
        np.save(out, np.array(broken))
        with pytest.raises(FeatureError, match=r"a\.npz: its record"):
            load_features(npz(tmp_path / "a.npz", {"record": out.getvalue(), "rgb": RGB}))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_name_the_file(value, tmp_path):
    npz(tmp_path / "a.npz", {"record": saved(), "rgb": npy((1, 1), "<f8", struct.pack("<d", value))})
    with pytest.raises(FeatureError, match=r"a\.npz: stream 'rgb': feature 0 is NaN or infinite"):
        load_features(tmp_path / "a.npz")


def good(path):
    rng = np.random.default_rng(0)
    save_features(path, Features({"rgb": rng.normal(size=(6, 4)).astype("f4")}, Timeline(0, 0.64, 0.64), 4.0, {}))
    return path


def seeds(folder):
    """Small good files of each kind, and what reads them."""
    np.save(folder / "f.npy", np.arange(12.0).reshape(3, 4))
    np.savez_compressed(folder / "flow.npz", flow=np.ones((2, 4, 4, 2), np.float16))
    (folder / "gt.json").write_text(json.dumps({"classes": ["a"], "database": {"v": {
        "subset": "x", "duration": 9, "annotations": [{"label": "a", "segment": [1, 2.5]}]}}}))  # fmt: skip
    (folder / "bmn.json").write_text(json.dumps({"v": {"duration_second": 9, "annotations": [
        {"label": "a", "segment": [1, 2.5]}]}}))  # fmt: skip
    (folder / "d.json").write_text(json.dumps({"results": {"v": [{"label": "a", "score": 0.5, "segment": [1, 2]}]}}))
    (folder / "d.csv").write_text("video,label,start,end,score\nv.mp4,a,1,2,0.5\n")
    (folder / "d.jsonl").write_text('{"source": "v", "label": "a", "start_time": 1, "end_time": 2, "score": 0.5}\n')
    (folder / "p.csv").write_text("class,video_id,point\na,v,30\n")
    (folder / "data.yaml").write_text(
        "name: x\nannotations: gt.json\nsubsets: {train: x}\nfeatures:\n- {path: '{name}.npy', stream: rgb}\n"
    )
    np.save(folder / "rows.npy", np.array([[1, "a", b"b"], [np.ones(2)]], object), allow_pickle=True)
    spec = FeatureSpec(path="{name}.npy", stream="rgb")
    stored = StoredFeatures(folder, (spec,), Timeline(0, 0.64, 0.64), {})
    video = read_annotations(folder / "gt.json").videos["v"]
    return {
        good(folder / "own.npz"): load_features,
        folder / "f.npy": read_for_comparison_,
        folder / "v.npy": lambda p: stored.load(video, ["rgb"]) if p.write_bytes(p.read_bytes()) else None,
        folder / "flow.npz": lambda p: open_flow(p.parent, p.stem),
        folder / "gt.json": read_annotations,
        folder / "bmn.json": read_annotations,
        folder / "d.json": read_detections,
        folder / "d.csv": read_detections,
        folder / "d.jsonl": read_detections,
        folder / "p.csv": lambda p: read_points(p, {"v": 30.0}),
        folder / "data.yaml": read_description,
        folder / "rows.npy": read_column,
    }


#: What is put into files: signs that parsers act on, and values that later steps stumble over.
PIECES = [
    b"NaN", b"null", b"1e999", b"-1", b"[", b"]", b"{", b"}", b'"', b",", b"\x00", b"\xff", b"9" * 400, b"\\ud800",
    b"\xef\xbb\xbf", b"PK\x05\x06", b"true", b"\n", b":", b"|O", b"<c8", b"(1000000000000,)", b"&a *a",
]  # fmt: skip


def mutated(data, rng):
    """Bytes changed, pieces put in, parts repeated, moved or cut away."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at, end = sorted(rng.integers(0, len(data) + 1, 2).tolist())
        match rng.integers(6):
            case 0 | 1:
                for i in rng.integers(0, max(len(data), 1), 3).tolist():
                    data[i : i + 1] = bytes([rng.integers(256)])
            case 2 | 3:
                data[at:at] = PIECES[int(rng.integers(len(PIECES)))]
            case 4:
                data[end:end] = data[at : min(end, at + 64)]
            case _:
                del data[at : min(end, at + 16)]
    return bytes(data)


def test_mutated_files_raise_nothing_but_the_projects_errors(tmp_path):
    np.save(tmp_path / "v.npy", np.ones((20, 4), np.float32))
    readers = seeds(tmp_path)
    rng, refused = np.random.default_rng(0), 0
    for path, read in readers.items():
        data = path.read_bytes()
        read(path)
        for _ in range(60):
            path.write_bytes(mutated(data, rng))
            try:
                read(path)
            except TALError as e:
                refused += path.name in str(e) or pytest.fail(f"{path.name} is not named: {e}")
        path.write_bytes(data)
    assert refused > 200


def test_one_bad_file_does_not_stop_a_batch(tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    bad = ["huge", "pickle", "objects", "cut short", "dates"]
    for i, name in enumerate(bad):
        npz(folder / f"{i}.npz", {"record": saved(), "rgb": ARRAYS[name]})
    good(folder / "9.npz")
    command = [TAL, "localize", folder, "-o", tmp_path / "r.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    text = done.stderr.replace("\n", "")
    assert all(f"{i}.npz" in text for i in range(len(bad)))
    assert "6 failed" in done.stderr or "5 failed" in done.stderr
    for command in (["info", folder / "0.npz"], ["check", folder / "9.npz", folder / "1.npz"]):
        done = subprocess.run([TAL, "features", *command], capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert str(command[-1].name) in done.stderr.replace("\n", "")


def test_flow_files(tmp_path):
    for name, array in ARRAYS.items():
        npz(tmp_path / "v.npz", {"flow": array})
        with pytest.raises(FlowError, match=r"v\.npz"):
            open_flow(tmp_path, "v")
        assert name


def test_shared_lists_do_not_unfold(tmp_path, monkeypatch):
    monkeypatch.setattr("tal_engine.annotations.npy._MOST_VALUES", 100_000)
    inner = np.empty(2, object)
    inner[:] = [[1], [2]]
    for _ in range(30):
        outer = np.empty(2, object)
        outer[0] = outer[1] = inner
        inner = outer
    np.save(tmp_path / "a.npy", inner, allow_pickle=True)
    assert (tmp_path / "a.npy").stat().st_size < 20_000
    with pytest.raises(FeatureError, match="unfolds to more than"):
        read_column(tmp_path / "a.npy")
    assert len(read_rows(tmp_path / "a.npy")) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_no_feature_file(tmp_path):
    """It would be waited for, and with it every other file of a batch."""
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(FeatureError, match=r"a\.npz: .*no regular file"):
        load_features(tmp_path / "a.npz")
