"""Compiled things under the user's cache folder: built once, whole or not there, never trusted without their hash.

Knows files, locks and hashes; what is built, and how, its caller says.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pydantic

from .._util.extras import need
from .._util.files import cache_folder, whole_file, write_text
from ..plan.fields import EngineRecord

log = logging.getLogger("tal_engine")

#: How engines are built: another number for each change of it. 2: without TF32.
_RULES = 2
#: What is on record of an engine, and the engine.
Engine = tuple[EngineRecord, bytes]


def cache_key(
    graph: bytes,
    flavour: str,
    version: str,
    targets: Sequence[str],
    platform: str,
    profile: Mapping[str, Sequence[int]],
) -> str:
    """Name of an engine in the cache: anything that would make another engine makes another name."""
    parts = {
        "rules": _RULES,
        "graph": hashlib.sha256(graph).hexdigest(),
        "flavour": flavour,
        "version": version,
        "targets": sorted(targets),
        "platform": platform,
        "profile": {n: list(r) for n, r in sorted(profile.items())},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def is_intact(engine: bytes, record: EngineRecord) -> bool:
    """Return whether the engine is the one that the record was written for."""
    return len(engine) == record.bytes and hashlib.sha256(engine).hexdigest() == record.sha256


class EngineCache:
    """Engines on disk: `KEY.engine`, beside it `KEY.json` with its record, which is written last."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder() / "engines" if folder is None else folder

    def find(self, key: str) -> Engine | None:
        """Return an intact engine; discard a damaged one."""
        paths = self._paths(key)
        try:
            text, engine = paths[1].read_bytes(), paths[0].read_bytes()
        except OSError:
            return None
        try:
            record = EngineRecord.model_validate_json(text)
            why = "" if is_intact(engine, record) else "its hash is wrong"
        except pydantic.ValidationError as e:
            why = f"its record cannot be read: {e.errors()[0]['msg']}"
        if not why:
            return record, engine
        log.warning("%s: discarded, %s; it is built again", paths[0], why)
        for path in paths:
            _remove(path)
        return None

    def newest(self, fits: Callable[[EngineRecord], bool]) -> Engine | None:
        """Return the newest intact engine whose record fits."""
        try:
            paths = sorted(self.folder.glob("*.json"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        except OSError:  # another process discards one
            return None
        for path in paths:
            engine = self.find(path.stem) if _fits(path, fits) else None
            if engine is not None:
                return engine
        return None

    def get(self, key: str, build: Callable[[], Engine]) -> Engine:
        """Return the engine of this key, building it if needed. Of many processes that ask at once, one builds.

        If the cache cannot be written, a warning is logged and the engine is built for this process alone.
        """
        engine = self.find(key)
        if engine is not None:
            return engine
        with self._alone(key):
            engine = self.find(key)
            if engine is None:
                engine = build()
                self._keep(key, *engine)
        return engine

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Hold the lock on this key's build. The operating system releases it if the process dies."""
        lock = need("filelock").FileLock(self.folder / f"{key}.lock")
        held = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            held = True
        except OSError as e:
            log.warning("%s: cannot be written (%s); what is built is not kept", self.folder, e.strerror)
        try:
            if held:  # what a killed build left behind
                for path in self.folder.glob(f".{key}.*"):
                    _remove(path)
            yield
        finally:
            if held:
                lock.release()

    def _keep(self, key: str, record: EngineRecord, engine: bytes) -> None:
        binary, text = self._paths(key)
        try:
            with whole_file(binary) as temporary:
                temporary.write_bytes(engine)
            write_text(text, record.model_dump_json(indent=1) + "\n")
        except OSError as e:
            log.warning("%s: not kept (%s)", binary, e.strerror)

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self.folder / f"{key}.engine", self.folder / f"{key}.json"


def _fits(path: Path, fits: Callable[[EngineRecord], bool]) -> bool:
    """Check the record alone, before the engine is read."""
    try:
        return fits(EngineRecord.model_validate_json(path.read_bytes()))
    except (OSError, pydantic.ValidationError):
        return False


def read_blob(path: Path) -> bytes:
    """Read a file of the cache that its library checks itself; empty if it does not exist."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def write_blob(path: Path, content: bytes) -> None:
    """Keep such a file; a cache that cannot be written costs a warning."""
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
    except OSError as e:
        log.warning("%s: not kept (%s)", path, e.strerror)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as e:
        log.warning("%s: cannot be removed (%s)", path, e.strerror)
