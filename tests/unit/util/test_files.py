"""Files that are whole or not there, and what is written through: devices, pipes, symbolic links, descriptors."""

import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tal_engine._util.files import _umask, check_outputs, check_writable, whole_file, write_text
from tal_engine.errors import UsageError
from tests.waiting import LONG_S, until

POSIX = pytest.mark.skipif(os.name != "posix", reason="devices, pipes and modes of POSIX")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def listed(folder):
    return sorted(p.name for p in folder.iterdir())


def left(folder):
    return [name for name in listed(folder) if name.startswith(".")]


def run(code, *args, **kwargs):
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, timeout=LONG_S, **kwargs)


WRITE = "import sys; from tal_engine._util.files import write_text; print('before'); write_text(sys.argv[1], 'text\\n')"


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("old")

    def half():
        with whole_file(path) as temporary:
            temporary.write_text("new")
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        half()
    assert path.read_text() == "old"
    assert listed(tmp_path) == ["out.json"]


def test_what_is_being_written_has_no_ending_that_a_scan_looks_for(tmp_path):
    with whole_file(tmp_path / "clip.mp4") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix not in (".mp4", ".npz", ".json")
        assert temporary.name.startswith(".")


@POSIX
@pytest.mark.parametrize(("mask", "wanted"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o000, 0o666)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path, mask, wanted):
    code = "import os, sys; os.umask(int(sys.argv[2])); from tal_engine._util.files import write_text, _umask"
    done = run(f"{code}; write_text(sys.argv[1], 'x'); print(_umask())", tmp_path / "f", mask)
    assert mode(tmp_path / "f") == wanted, done.stderr
    assert int(done.stdout) == mask


@POSIX
def test_a_file_keeps_its_mode(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")
    path.chmod(0o640)
    write_text(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o640)


@POSIX
@pytest.mark.parametrize("proc", [True, False])
def test_the_umask_is_read_and_never_set(tmp_path, monkeypatch, proc):
    """Setting it, even for a moment, gives files of other threads any mode, and may stay."""
    before = _umask()
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail(f"umask({mask})"))
    if not proc:
        monkeypatch.setattr(Path, "read_bytes", lambda path: b"")
    assert _umask() == before
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: write_text(tmp_path / f"{i}", "x"), range(40)))
    assert {mode(p) for p in tmp_path.iterdir()} == {0o666 & ~before}


def test_many_writers_of_one_file_leave_one_whole_text(tmp_path):
    texts = [f"{i}" * 50_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(tmp_path / "one", text), texts * 4))
    assert (tmp_path / "one").read_text() in texts
    assert not left(tmp_path)


@POSIX
def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    target, first, second = tmp_path / "real" / "a.json", tmp_path / "first", tmp_path / "second"
    target.write_text("old")
    first.symlink_to("real/a.json")
    second.symlink_to(first)
    write_text(second, "new")
    assert target.read_text() == "new"
    assert first.is_symlink()
    assert second.is_symlink()
    assert not left(tmp_path)


@POSIX
def test_a_dangling_link_gets_the_file_it_names(tmp_path):
    (tmp_path / "link").symlink_to("missing.json")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "missing.json").read_text() == "new"


@POSIX
def test_a_loop_of_links_is_an_error_that_names_it(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=r"a'|a\b"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").is_symlink()


@POSIX
def test_a_device_stays_a_device():
    write_text("/dev/null", "x" * 100_000)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_device_is_named():
    with pytest.raises(OSError, match="No space left") as e:
        write_text("/dev/full", "x")
    assert e.value.filename == "/dev/full"


@POSIX
def test_a_pipe_gets_all_of_it_and_stays_a_pipe(tmp_path):
    pipe, got = tmp_path / "pipe.json", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "x" * 300_000)
    reader.join(LONG_S)
    assert [len(text) for text in got] == [300_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert listed(tmp_path) == ["pipe.json"]


@POSIX
def test_a_reader_that_leaves_is_an_error_that_names_the_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: os.close(os.open(pipe, os.O_RDONLY)))
    reader.start()
    with pytest.raises(BrokenPipeError) as e:
        write_text(pipe, "x" * 3_000_000)
    assert e.value.filename == str(pipe)
    reader.join(LONG_S)


@POSIX
@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_written_in_order(path, tmp_path):
    if not Path(path).exists():
        pytest.skip(f"no {path} here")
    assert run(WRITE, path).stdout == b"before\ntext\n"
    with (tmp_path / "log").open("ab") as log:  # a shell's >> log: what is there stays
        log.write(b"kept\n")
        log.flush()
        subprocess.run([sys.executable, "-c", WRITE, path], stdout=log, check=True, timeout=LONG_S)
    assert (tmp_path / "log").read_bytes() == b"kept\nbefore\ntext\n"
    (tmp_path / "link").symlink_to(path)
    assert run(WRITE, tmp_path / "link").stdout == b"before\ntext\n"
    assert (tmp_path / "link").is_symlink()


@POSIX
def test_a_process_substitution_is_written_through(tmp_path):
    script = f'{sys.executable} -c "$1" >(cat > {tmp_path}/got)'
    subprocess.run(["bash", "-c", script, "bash", WRITE], check=True, timeout=LONG_S, capture_output=True)
    got = tmp_path / "got"
    assert until(lambda: got.exists() and got.read_text()) == "text\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "locked" / "f"
    path.parent.mkdir()
    path.write_text("old")
    path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError) as e:
            write_text(path, "new")
    finally:
        path.parent.chmod(0o700)
    assert e.value.filename == str(path)
    assert path.read_text() == "old"


def test_an_error_of_the_folder_names_the_file_and_not_a_temporary_one(tmp_path, monkeypatch):
    def refused(**_):
        raise PermissionError(13, "Permission denied", str(tmp_path / ".f.abc.tmp"))

    monkeypatch.setattr("tempfile.mkstemp", refused)
    with pytest.raises(PermissionError) as e:
        write_text(tmp_path / "f", "new")
    assert e.value.filename == str(tmp_path / "f")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError) as e:
        write_text(tmp_path, "x")
    assert e.value.filename == str(tmp_path)


def test_the_longest_name_can_be_written(tmp_path):
    name = "é" * 125 + ".json"
    write_text(tmp_path / name, "x")
    assert listed(tmp_path) == [name]


@POSIX
@pytest.mark.parametrize("how", ["same", "link", "hard link", "spelled otherwise"])
def test_an_output_that_is_an_input_is_refused(tmp_path, how):
    source = tmp_path / "video.mp4"
    source.write_bytes(b"video")
    output = {"same": source, "spelled otherwise": tmp_path / "x" / ".." / "video.mp4"}.get(how, tmp_path / "out.mp4")
    (tmp_path / "x").mkdir()
    if how == "link":
        output.symlink_to(source)
    if how == "hard link":
        output.hardlink_to(source)
    with pytest.raises(UsageError, match=r"--save-video .* is the input itself, .*video\.mp4"):
        check_outputs({"--save-video out": output}, [source])


@POSIX
def test_outputs_that_are_one_file_are_refused(tmp_path):
    for a, b in (("o.json", "o.json"), ("o.json", "O.JSON"), ("x/../o.json", "o.json")):
        with pytest.raises(UsageError, match="--report b and --output a are the same file"):
            check_outputs({"--output a": tmp_path / a, "--report b": tmp_path / b, "--plot": None})
    check_outputs({"--output a": "/dev/null", "--report b": "/dev/null"}, ["/dev/null", tmp_path / "missing"])
    check_outputs({"--output": tmp_path / "a", "--report": tmp_path / "b"}, [tmp_path / "c"])
    with pytest.raises(UsageError, match="--output: is a folder"):
        check_outputs({"--output": tmp_path})


def test_a_file_that_cannot_be_written_is_found_before(tmp_path):
    (tmp_path / "file").write_text("x")
    wrong = tmp_path / "file" / "deep" / "r.json"
    with pytest.raises(UsageError, match=r"r\.json: the result cannot be written \(.*deep is no folder\)"):
        check_writable(wrong, "the result")
    check_writable(tmp_path / "new" / "r.json", "the result")
    assert listed(tmp_path / "new") == [], "nothing is made but the folder"
    check_writable(tmp_path / "file", "the result")
    assert (tmp_path / "file").read_text() == "x"
