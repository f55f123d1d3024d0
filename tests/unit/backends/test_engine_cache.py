"""The cache of engines, with real processes: built once, whole or not there, discarded when it was changed."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tal_engine._util.files import cache_folder
from tal_engine.backends import engine_cache as module
from tal_engine.backends.engine_cache import EngineCache, cache_key, is_intact, read_blob, write_blob
from tal_engine.plan.fields import EngineRecord
from tests.waiting import LONG_S, stays, until

ROOT = Path(__file__).parents[3]
ENGINE = b"engine" * 1000
KEY = "0123456789abcdef" * 2


def record_of(engine=ENGINE, **change):
    values = {
        "member": "head.tensorrt-rtx.sm89.engine",
        "graph": "head.onnx",
        "graph_sha256": "0" * 64,
        "flavour": "tensorrt-rtx",
        "version": "1.7",
        "targets": ["sm89"],
        "platform": "linux-x86_64",
        "profile": {"T": (1, 2, 3)},
        "layers": {"fp32": 3},
        "bytes": len(engine),
        "sha256": hashlib.sha256(engine).hexdigest(),
        "build_seconds": 1.0,
    }
    return EngineRecord(**{**values, **change})


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def never():
    pytest.fail("was built again")


def kept(cache):
    cache.get(KEY, lambda: (record_of(), ENGINE))
    return cache.folder / f"{KEY}.engine", cache.folder / f"{KEY}.json"


#: A process that builds slowly, says so, and keeps what it built. Arguments: folder, log, seconds.
CHILD = """
import sys, time
from pathlib import Path
from tests.unit.backends.test_engine_cache import ENGINE, KEY, record_of
from tal_engine.backends.engine_cache import EngineCache
folder, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
def build():
    with log.open("a") as f:
        f.write("building\\n")
    time.sleep(seconds)
    return record_of(), ENGINE
record, engine = EngineCache(folder).get(KEY, build)
assert engine == ENGINE
"""


def child(cache, log, seconds, code=CHILD):
    return subprocess.Popen(
        [sys.executable, "-c", code, str(cache.folder), str(log), str(seconds)], cwd=ROOT, stderr=subprocess.PIPE
    )


class TestCache:
    def test_built_once(self, cache):
        kept(cache)
        record, engine = cache.get(KEY, never)
        assert engine == ENGINE
        assert record == record_of()

    def test_three_processes_build_once(self, cache, tmp_path):
        log = tmp_path / "log"
        children = [child(cache, log, 0.5) for _ in range(3)]
        for c in children:
            _, text = c.communicate(timeout=LONG_S)
            assert c.returncode == 0, text.decode()
        assert log.read_text() == "building\n"

    @pytest.mark.parametrize("moment", ["building", "writing the engine", "between engine and record"])
    def test_killed_build_leaves_nothing_broken(self, cache, tmp_path, moment):
        log, code = tmp_path / "log", CHILD
        stop = f"Path({str(log)!r}).touch(); time.sleep(600)"
        if moment == "writing the engine":  # half of it is on disk
            part = f"lambda self, data: (open(self, 'wb', 0).write(data[:3000]), {stop.replace('; ', ', ')})"
            code = code.replace("folder, log", f"Path.write_bytes = {part}\nfolder, log", 1)
        elif moment == "between engine and record":
            code = "import tal_engine.backends.engine_cache as c, time\nfrom pathlib import Path\n" + code
            code = code.replace(
                "folder, log", f"c.write_text = lambda *a: ({stop.replace('; ', ', ')})\nfolder, log", 1
            )
        if moment != "building":
            code = code.replace('with log.open("a") as f:\n        f.write("building\\n")', "pass")
        process = child(cache, log, 600 if moment == "building" else 0, code)
        until(log.exists)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=LONG_S)
        assert process.returncode == -signal.SIGKILL
        if moment == "writing the engine":
            assert list(cache.folder.glob(f".{KEY}.*"))
        assert cache.find(KEY) is None
        assert cache.get(KEY, lambda: (record_of(), ENGINE))[1] == ENGINE
        assert cache.get(KEY, never)[1] == ENGINE
        assert sorted(p.suffix for p in cache.folder.iterdir()) == [".engine", ".json", ".lock"]

    @pytest.mark.parametrize("change", ["flip", "cut", "empty", "record", "json", "missing"])
    def test_what_was_changed_is_discarded_and_built_again(self, cache, change, caplog):
        binary, text = kept(cache)
        if change == "flip":
            binary.write_bytes(ENGINE[:-1] + b"?")
        elif change in ("cut", "empty"):
            binary.write_bytes(ENGINE[:-1] if change == "cut" else b"")
        elif change == "record":
            text.write_text(json.dumps(json.loads(text.read_text()) | {"sha256": "0" * 64}))
        elif change == "json":
            text.write_text("{")
        else:
            binary.unlink()
        with caplog.at_level(logging.WARNING, "tal_engine"):
            assert cache.get(KEY, lambda: (record_of(), ENGINE))[1] == ENGINE
        assert ("discarded" in caplog.text) == (change != "missing")
        assert cache.get(KEY, never)[1] == ENGINE

    def test_folder_that_cannot_be_written(self, tmp_path, caplog):
        (tmp_path / "file").write_text("no folder")
        cache = EngineCache(tmp_path / "file" / "engines")
        with caplog.at_level(logging.WARNING, "tal_engine"):
            assert cache.get(KEY, lambda: (record_of(), ENGINE))[1] == ENGINE
        assert "cannot be written (Not a directory); what is built is not kept" in caplog.text

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that is read-only for root too")
    def test_read_only_file_system(self, caplog):
        with caplog.at_level(logging.WARNING, "tal_engine"):
            assert EngineCache(Path("/proc/tal_engine")).get(KEY, lambda: (record_of(), ENGINE))[1] == ENGINE
        assert "what is built is not kept" in caplog.text

    def test_full_disk(self, cache, monkeypatch, caplog):
        def full(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "write_bytes", full)
        with caplog.at_level(logging.WARNING, "tal_engine"):
            assert cache.get(KEY, lambda: (record_of(), ENGINE))[1] == ENGINE
        assert "not kept (No space left on device)" in caplog.text
        assert [p.name for p in cache.folder.iterdir() if p.suffix != ".lock"] == []

    def test_write_that_ends_half_way(self, cache, tmp_path):
        """The kernel's own refusal: a process may not write files larger than 2000 bytes."""
        code = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n" + CHILD
        process = child(cache, tmp_path / "log", 0, code)
        _, text = process.communicate(timeout=LONG_S)
        assert process.returncode == 0, text.decode()
        assert "not kept (File too large)" in text.decode()
        assert [p.suffix for p in cache.folder.iterdir()] == [".lock"]

    def test_build_that_fails_frees_the_lock(self, cache):
        def fails():
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            cache.get(KEY, fails)
        kept(cache)

    def test_newest(self, cache):
        for i, key in enumerate(("a" * 32, "b" * 32)):
            engine = ENGINE + bytes([i])
            cache.get(key, lambda engine=engine: (record_of(engine), engine))
            stamp = 10**18 + i
            os.utime(cache.folder / f"{key}.json", ns=(stamp, stamp))
        assert cache.newest(lambda r: True)[1] == ENGINE + b"\1"
        assert cache.newest(lambda r: r.flavour == "tensorrt") is None
        (cache.folder / f"{'b' * 32}.engine").write_bytes(b"changed")
        assert cache.newest(lambda r: True)[1] == ENGINE + b"\0"
        assert EngineCache(cache.folder / "none").newest(lambda r: True) is None


class TestNames:
    def test_all_that_makes_another_engine_makes_another_key(self):
        base = (b"graph", "tensorrt", "10.9", ["sm89"], "linux-x86_64", {"T": (1, 2, 3)})
        other = (b"graph2", "tensorrt-rtx", "10.8", ["sm90"], "linux-aarch64", {"T": (1, 2, 4)})
        keys = {cache_key(*base[:i], other[i], *base[i + 1 :]) for i in range(len(base))}
        assert len(keys | {cache_key(*base)}) == 7

    def test_order_makes_none(self):
        one = cache_key(b"g", "f", "v", ["sm80", "sm89"], "p", {"B": (1, 1, 1), "T": (1, 2, 3)})
        assert one == cache_key(b"g", "f", "v", ["sm89", "sm80"], "p", {"T": [1, 2, 3], "B": [1, 1, 1]})

    def test_folder(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TAL_CACHE", str(tmp_path))
        assert EngineCache().folder == tmp_path / "engines"
        monkeypatch.delenv("TAL_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_folder() == tmp_path / "xdg" / "tal_engine"

    def test_sound(self):
        assert is_intact(ENGINE, record_of())
        assert not is_intact(ENGINE + b"x", record_of())
        assert not is_intact(ENGINE, record_of(sha256="0" * 64))


class TestBlobs:
    def test_round_trip(self, tmp_path):
        write_blob(tmp_path / "a" / "b.cache", b"x")
        assert read_blob(tmp_path / "a" / "b.cache") == b"x"
        assert read_blob(tmp_path / "none") == b""

    def test_not_kept(self, tmp_path, caplog):
        (tmp_path / "file").write_text("")
        with caplog.at_level(logging.WARNING, "tal_engine"):
            write_blob(tmp_path / "file" / "x", b"x")
        assert "not kept (" in caplog.text


def test_the_lock_is_the_processes_own(cache, tmp_path):
    """A waiting process goes on when the building one is killed."""
    log = tmp_path / "log"
    first = child(cache, log, 600)
    until(log.exists)
    second = child(cache, log, 0)
    assert stays(lambda: second.poll() is None, 0.5)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=LONG_S)
    _, text = second.communicate(timeout=LONG_S)
    assert second.returncode == 0, text.decode()
    assert module.EngineCache(cache.folder).find(KEY) is not None
