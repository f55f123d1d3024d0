"""Single faults of writing, one call at a time: what tests/integration/test_faults.py found by trying all of them."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tal_engine._util.files import clear_unfinished, whole_file
from tal_engine.errors import SinkError
from tal_engine.outputs.sinks.append_log import AppendedFile
from tal_engine.outputs.sinks.outbox import Pending
from tal_engine.outputs.sinks.rotating import RotatingJsonLines
from tests.events import final
from tests.unit.outputs.test_undelivered import some

ROOT = Path(__file__).parents[2]


class Refusing:
    """Stands for a function of `os` and raises at the calls of these numbers; others are let through."""

    def __init__(self, monkeypatch, name, *at, error=errno.EIO, first=False):
        self._real, self._at, self._error, self._first, self.calls = getattr(os, name), at, error, first, 0
        monkeypatch.setattr(os, name, self)

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls not in self._at:
            return self._real(*arguments)
        if self._first:
            self._real(*arguments)
        raise OSError(self._error, os.strerror(self._error))


def half_a_write(monkeypatch, at):
    """The `at`-th write has room for half of it, and the next for nothing."""
    real, calls = os.write, []

    def write(number, data):
        calls.append(number)
        if len(calls) == at + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(number, data[: len(data) // 2] if len(calls) == at else data)

    monkeypatch.setattr(os, "write", write)


def lines_of(path):
    return path.read_text().splitlines()


def test_a_torn_record_that_cannot_be_cut_off_at_once(tmp_path, monkeypatch):
    """The disk refuses to shorten the file too; it is shortened before the next record, and by the next start."""
    sink = RotatingJsonLines(tmp_path / "e.jsonl")
    sink.write(final("a"))
    half_a_write(monkeypatch, 1)
    Refusing(monkeypatch, "ftruncate", 1)
    with pytest.raises(SinkError, match="No space left on device"):
        sink.write(final("b"))
    assert not (tmp_path / "e.jsonl").read_bytes().endswith(b"\n")
    sink.write(final("b"))
    assert lines_of(tmp_path / "e.jsonl") == [final("a").to_json(), final("b").to_json()]
    sink.close()


def test_a_disk_that_refuses_for_longer_is_an_error_of_the_sink(tmp_path, monkeypatch):
    sink = RotatingJsonLines(tmp_path / "e.jsonl")
    half_a_write(monkeypatch, 1)
    Refusing(monkeypatch, "ftruncate", 1, 2, 3)
    for _ in range(3):
        with pytest.raises(SinkError, match=r"e\.jsonl: cannot be written"):
            sink.write(final("b"))
    sink.write(final("b"))
    sink.close()
    assert lines_of(tmp_path / "e.jsonl") == [final("b").to_json()]


def test_a_record_whose_fsync_failed_is_not_there_twice(tmp_path, monkeypatch):
    sink = RotatingJsonLines(tmp_path / "e.jsonl", fsync=True)
    Refusing(monkeypatch, "fsync", 1)
    with pytest.raises(SinkError, match="Input/output error"):
        sink.write(final("a"))
    sink.write(final("a"))
    sink.close()
    assert lines_of(tmp_path / "e.jsonl") == [final("a").to_json()]


def test_a_close_that_fails_lets_go_of_the_number(tmp_path, monkeypatch):
    """On Linux it is free again, and soon that of another file."""
    file = AppendedFile(tmp_path / "p", Pending(tmp_path / "p")._file.form)
    Refusing(monkeypatch, "close", 1, first=True)
    with pytest.raises(SinkError, match="p: cannot be written"):
        file.close()
    assert file.closed
    file.close()
    with pytest.raises(SinkError, match="already closed"):
        file.append("{}")


def test_rotation_whose_close_fails_goes_on_in_a_new_file(tmp_path, monkeypatch):
    sink = RotatingJsonLines(tmp_path / "e.jsonl", max_bytes=1)
    sink.write(final("a"))
    Refusing(monkeypatch, "close", 1, first=True)
    sink.write(final("b"))
    sink.close()
    assert lines_of(tmp_path / "e.000001.jsonl") == [final("a").to_json()]
    assert lines_of(tmp_path / "e.jsonl") == [final("b").to_json()]


def test_what_waits_is_kept_again_after_its_file_could_not_be_opened(tmp_path, monkeypatch):
    pending = Pending(tmp_path / "p")
    a, b, c = some(3)
    for e in (a, b):
        pending.add(e)
    pending._most = 1
    real, refused = AppendedFile.__init__, []

    def refuse(self, *arguments, **options):
        if not refused:
            refused.append(1)
            raise SinkError("cannot be opened now")
        real(self, *arguments, **options)

    monkeypatch.setattr(AppendedFile, "__init__", refuse)
    with pytest.raises(SinkError, match="opened now"):
        pending.done(a)
    pending.add(c)
    pending.close()
    assert [e.id for e in Pending(tmp_path / "p").events] == [b.id, c.id]


TORN = """
import resource, sys
from tal_engine.errors import SinkError
from tal_engine.outputs.sinks.sink import JsonLines
from tests.events import final
sink = JsonLines(sys.stdout)
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
for k in range(9):
    try:
        sink.write(final(f"{sys.argv[2]}-{k}"))
    except SinkError:
        break
"""


def test_half_a_line_of_stdout_does_not_spoil_the_next_run(tmp_path):
    """`tal stream ... >> FILE` on a full disk, and once more when there is room."""
    path, size = tmp_path / "o.jsonl", len(final("a-0").to_json()) + 1
    for limit, name in ((2 * size + size // 2, "a"), (resource.RLIM_INFINITY, "b")):
        with path.open("ab") as out:
            subprocess.run([sys.executable, "-c", TORN, str(limit), name], stdout=out, cwd=ROOT, check=True)
    wanted = [f"a-{k}" for k in range(2)] + [f"b-{k}" for k in range(9)]
    assert lines_of(path) == [final(i).to_json() for i in wanted]


def test_whole_file_whose_first_close_fails(tmp_path, monkeypatch):
    (tmp_path / "r").write_text("old")
    Refusing(monkeypatch, "close", 1, first=True)
    with pytest.raises(OSError, match=r"Input/output error: '.*/r'$"), whole_file(tmp_path / "r"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["r"]
    assert (tmp_path / "r").read_text() == "old"


@pytest.mark.parametrize("call", ["rename", "replace", "fsync"])
def test_errors_of_a_whole_file_name_it_and_not_the_temporary_one(tmp_path, monkeypatch, call):
    (tmp_path / "r").write_text("old")
    refusing = Refusing(monkeypatch, call, 1, error=errno.EIO)
    if call == "rename":  # pathlib uses one of the two
        Refusing(monkeypatch, "replace", 1, error=errno.EIO)
    with pytest.raises(OSError, match=r"'.*/r'$"), whole_file(tmp_path / "r", durable=True) as temporary:
        temporary.write_text("new")
    assert refusing.calls or call == "rename"
    assert [p.name for p in tmp_path.iterdir()] == ["r"]
    assert (tmp_path / "r").read_text() == "old"


def test_what_a_killed_writer_left_is_cleared(tmp_path):
    code = "import os, sys; from tal_engine._util.files import whole_file\nwith whole_file(sys.argv[1]): os._exit(9)"
    subprocess.run([sys.executable, "-c", code, tmp_path / "r.npz"], cwd=ROOT, check=False)
    for name in (".keep.tmp", "r.tmp", ".r.npz"):
        (tmp_path / name).touch()
    assert len(list(tmp_path.iterdir())) == 4
    clear_unfinished(tmp_path, 3600)
    assert len(list(tmp_path.iterdir())) == 4
    clear_unfinished(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".keep.tmp", ".r.npz", "r.tmp"]
    clear_unfinished(tmp_path / "none")


@pytest.mark.parametrize("at", range(1, 6))
def test_a_checkpoint_survives_a_save_that_stops(tmp_path, monkeypatch, at):
    """Two files and the JSON: at every rename the old checkpoint or the new one is whole, under whichever names."""
    torch = pytest.importorskip("torch")
    from tal_engine.lab.methods import load_method
    from tal_engine.lab.training import checkpoint
    from tal_engine.lab.training.training_options import TrainOptions
    from tal_engine.lab.training.training_state import Task
    from tal_engine.vocabulary import Vocabulary

    method = load_method("cola")
    task = Task(method, method.Config(rgb=8, flow=8), Vocabulary(["run", "jump"]), TrainOptions(), {"data": "test"})

    def save(step):
        files = {name: {"x": torch.full((3,), float(step))} for name in ("weights", "resume")}
        checkpoint.write(tmp_path / "a", files, task, step=step, history=[], numpy_rng=[], scaler={})

    save(1)
    real, calls = Path.replace, []

    def stop(self, target):
        calls.append(target)
        if len(calls) == at:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", stop)
        with pytest.raises(OSError, match="No space left"):
            save(2)
    found = checkpoint.load(tmp_path / "a")
    assert found.step == (1 if at <= 3 else 2)
    assert all((found.tensors(name)["x"] == found.step).all() for name in ("weights", "resume"))
    save(3)
    found = checkpoint.load(tmp_path / "a")
    assert (found.step, float(found.tensors("resume")["x"][0])) == (3, 3.0)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "checkpoint.json", "resume.safetensors", "weights.safetensors",
    ]  # fmt: skip
