"""Weights files of strangers: tensors come out, nothing else comes in."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import io
import pathlib
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from tal_engine.errors import CheckpointError, UsageError
from tal_engine.lab.nn.weights import read_tensors, read_weights


def counter():
    return collections.defaultdict(list, {"a": [1]})


INERT = {
    "epoch": np.int64(3),
    "loss": np.float32(0.5),
    "curve": np.arange(4.0),
    "objects": np.array([1, "a", None], object),
    "when": np.datetime64("2024-01-01"),
    "numpy_rng": np.random.default_rng(0).bit_generator.state,
    "old_numpy_rng": np.random.RandomState(0).get_state(),
    "rng_state": torch.get_rng_state(),
    "default": counter(),
    "count": collections.Counter("aab"),
    "ordered": collections.OrderedDict(a=1),
    "path": pathlib.PurePosixPath("/a/b"),
    "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("x")),
    "made": dt.datetime(2024, 1, 1),
    "size": torch.Size([1, 2]),
    "dtype": torch.float16,
    "device": torch.device("cpu"),
    "complex": 1j,
    "set": {1, 2},
    "slice": slice(1, 2),
    "range": range(3),
    "generator": np.random.default_rng(1),
}


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    return net, {k: v.clone() for k, v in net.state_dict().items()}


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for k, v in wanted.items():
        assert found[k].dtype == v.dtype
        torch.testing.assert_close(found[k], v, rtol=0, atol=0)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "pickles"])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("key", ["model", "model_state_dict", "state_dict", "net", "ema"])
def test_inert_values_do_not_block_the_tensors(zipped, protocol, key, tmp_path):
    net, state = network()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    content = {key: state, "optimizer": optimizer.state_dict(), **INERT}
    torch.save(content, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    found = read_weights(tmp_path / "m.pt")
    assert (found.key, found.others) == (key, ())
    same(found.tensors, state)


@pytest.mark.parametrize("name", INERT)
def test_each_inert_value_beside_the_tensors_themselves(name, tmp_path):
    _, state = network()
    torch.save({**state, "zz": INERT[name]}, tmp_path / "m.pt")
    found = read_weights(tmp_path / "m.pt")
    assert set(state) <= set(found.tensors)
    assert found.skipped == (() if name == "rng_state" else ("zz",))


def test_views_dtypes_and_shared_storages(tmp_path):
    base = torch.arange(24.0)
    state = {
        "t": base.view(4, 6).T, "part": base[3:9:2], "all": base, "scalar": torch.tensor(3), "none": torch.zeros(0, 4),
        "wide": torch.ones(1, 3).expand(5, 3), "half": torch.ones(2).half(), "bf": torch.ones(2).bfloat16(),
        "bool": torch.tensor([True, False]), "int8": torch.tensor([-1], dtype=torch.int8),
        "complex": torch.tensor([1 + 2j]), "u16": torch.tensor([9], dtype=torch.uint16),
        "f8": torch.tensor([1.0]).to(torch.float8_e4m3fn), "parameter": nn.Parameter(torch.ones(2)),
    }  # fmt: skip
    torch.save(state, tmp_path / "m.pt")
    found = read_tensors(tmp_path / "m.pt")
    same({k: v for k, v in found.items() if k != "f8"}, {k: v.detach() for k, v in state.items() if k != "f8"})
    assert found["f8"].float().tolist() == [1.0]
    old = {k: v for k, v in state.items() if k not in ("u16", "f8")}
    torch.save(old, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    same(read_tensors(tmp_path / "old.pt"), {k: v.detach() for k, v in old.items()})


def test_a_whole_module_and_a_script(tmp_path):
    net, state = network()
    torch.save({"net": net, "epoch": 1}, tmp_path / "whole.pt")
    same(read_tensors(tmp_path / "whole.pt"), state)
    torch.save(net, tmp_path / "bare.pt", _use_new_zipfile_serialization=False)
    same(read_tensors(tmp_path / "bare.pt"), state)


def test_a_plain_pickle_of_arrays(tmp_path):
    state = {"w": np.arange(6, dtype=">f4").reshape(2, 3), "b": np.zeros(2)}
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"model": state, "__author__": "someone", "n": np.int64(2)}))
    found = read_tensors(tmp_path / "m.pkl")
    assert found["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["b"].dtype == torch.float64


def old_tar(path, tensors):
    """torch.save of 0.1.9 and before, by what torch's own reader of it expects."""
    storages, views = io.BytesIO(), io.BytesIO()
    pickle.dump(len(tensors), storages, 2)
    pickle.dump(len(tensors), views, 2)
    for i, t in enumerate(tensors.values()):
        pickle.dump((100 + i, "cpu", torch.FloatStorage), storages, 2)
        storages.write(struct.pack("<q", t.numel()) + t.contiguous().numpy().tobytes())
        pickle.dump((i, 100 + i, torch.FloatTensor), views, 2)
        views.write(struct.pack("<iiqqqqq", 2, 0, *t.shape, *t.stride(), 0))
    pickle.dump([], storages, 2)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return str(value[1]) if isinstance(value, tuple) and value[:1] == ("tensor",) else None

    body = io.BytesIO()
    Pickler(body, 2).dump({k: ("tensor", i) for i, k in enumerate(tensors)})
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (("storages", storages), ("tensors", views), ("pickle", body)):
            info = tarfile.TarInfo(name)
            info.size = len(data.getvalue())
            tar.addfile(info, io.BytesIO(data.getvalue()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_oldest_form(tmp_path):
    state = {"a": torch.randn(2, 3), "b": torch.randn(4, 1)}
    old_tar(tmp_path / "m.pt", state)
    same(torch.load(tmp_path / "m.pt", weights_only=False), state)  # the file is what torch means
    same(read_tensors(tmp_path / "m.pt"), state)


def test_the_choice_of_several_is_said_and_can_be_made(tmp_path, caplog):
    _, state = network()
    other = {k: v + 1 for k, v in state.items()}
    torch.save({"ema": {"module": other}, "model": state, "critic": dict(other)}, tmp_path / "m.pt")
    found = read_weights(tmp_path / "m.pt")
    assert found.key == "model"
    assert found.choice == "holds several state dicts; 'model' is taken, others are 'ema.module', 'critic'"
    same(read_weights(tmp_path / "m.pt", "ema.module").tensors, other)
    with pytest.raises(UsageError, match=r"no state dict 'x'; it has 'model', 'ema\.module', 'critic'"):
        read_weights(tmp_path / "m.pt", "x")
    read_tensors(tmp_path / "m.pt")
    assert "several state dicts" in caplog.text


class Calls:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("where", ["beside", "in place"])
@pytest.mark.parametrize("function", [print, eval, exec, __import__, open])
def test_code_is_refused_and_not_run(where, function, tmp_path, capsys):
    evil = Calls(function, "1/0")
    content = {"model": {"w": torch.zeros(1)}, "x": evil} if where == "beside" else {"w": evil}
    for zipped in (True, False):
        torch.save(content, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match=rf"m\.pt: cannot be read as weights \(refused .*{function.__name__}"):
            read_tensors(tmp_path / "m.pt")
    assert capsys.readouterr().out == ""


class Loud:
    """Shouts if anything of it is used."""

    def __init__(self):
        self.a = 1

    def __setstate__(self, state):
        raise AssertionError("was run")

    def __reduce__(self):
        return Loud, (), {"a": 1}


def test_unknown_classes_are_not_looked_up(tmp_path, monkeypatch):
    torch.save({"model": {"w": torch.zeros(1)}, "x": Loud()}, tmp_path / "m.pt")
    monkeypatch.setattr(Loud, "__init__", Loud.__setstate__)
    assert list(read_tensors(tmp_path / "m.pt")) == ["w"]


def dag(depth):
    """A pickle of tuples, each of which holds the one before twice."""
    return b"\x80\x02(t" + b"q\x000h\x00h\x00\x86" * depth


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02Kar\xff\xff\xff\x7f.",  # a memo index of 2**31 takes 32 GiB in C
        b"\x80\x04\x95" + b"\xff" * 8 + b".",  # a frame of 2**64 bytes
        b"\x80\x04\x8e" + b"\x00" * 6 + b"\x00\x01" + b".",  # bytes of 2**56
        b"\x80\x05\x96" + b"\x00" * 5 + b"\x40\x00\x00" + b".",  # a bytearray of 2**46
        b"\x80\x02}" + dag(40)[2:] + b"K\x01s.",  # its key takes 2**40 steps to hash
        b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".",
        b"(" * 100_000,
        b"\x80\x02\x82\x01.",
        b"\x80\x02U\x03abcQ.",
        b"",
        b"PK\x03\x04",
    ],
)
def test_pickles_that_would_take_all_of_the_machine(data, tmp_path):
    (tmp_path / "m.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"m\.pt: (cannot be read as weights|holds no state dict)"):
        read_tensors(tmp_path / "m.pt")


def rezipped(path, change):
    """The file with members changed by name."""
    with zipfile.ZipFile(path) as a:
        members = {m.filename: a.read(m) for m in a.infolist()}
    with zipfile.ZipFile(path, "w") as b:
        for name, data in members.items():
            new = change(name.rpartition("/")[2], data)
            if new is not None:
                b.writestr(name, new)


@pytest.mark.parametrize(
    "change",
    [
        lambda name, data: None if name == "0" else data,
        lambda name, data: data[:-4] if name == "0" else data,
        lambda name, data: b"big" if name == "byteorder" else data,
        lambda name, data: data.replace(b"K\x02\x85", b"K\xff\x85") if name == "data.pkl" else data,
        lambda name, data: None if name == "data.pkl" else data,
    ],
)
def test_damaged_zips(change, tmp_path):
    torch.save({"w": torch.zeros(2)}, tmp_path / "m.pt")
    rezipped(tmp_path / "m.pt", change)
    with pytest.raises(CheckpointError, match=r"m\.pt: cannot be read as weights"):
        read_tensors(tmp_path / "m.pt")


@pytest.mark.parametrize("form", ["zip", "pickles", "npz", "safetensors"])
def test_mutated_files_raise_the_projects_error(form, tmp_path):
    import safetensors.torch

    path = tmp_path / {"zip": "m.pt", "pickles": "m.pt", "npz": "m.npz", "safetensors": "m.safetensors"}[form]
    state = {"a.weight": torch.randn(3, 4), "a.bias": torch.randn(3)}
    if form == "npz":
        np.savez(path, **{k: v.numpy() for k, v in state.items()})
    elif form == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save({"model": state, **INERT}, path, _use_new_zipfile_serialization=form == "zip")
    good, rng = path.read_bytes(), np.random.default_rng(0)
    failed = 0
    for _ in range(150):
        data = bytearray(good)
        for at in rng.integers(0, len(data), rng.integers(1, 6)):
            data[at] = rng.integers(256)
        path.write_bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else data)
        try:
            read_tensors(path)
        except CheckpointError as e:
            failed += str(path) in str(e) or pytest.fail(f"does not name the file: {e}")
    assert failed > 20


def test_arrays_of_text_beside_arrays_of_an_npz(tmp_path):
    np.savez(tmp_path / "m.npz", w=np.zeros((2, 3)), names=np.array(["a"]))
    found = read_weights(tmp_path / "m.npz")
    assert (list(found.tensors), found.skipped) == (["w"], ("names",))
