"""Where an archive's tables lie: parts that are whole or not there, in a folder of this machine or behind an address.

``OUT/segments/plan=ID/NAME.parquet`` and ``OUT/videos/plan=ID/NAME.parquet``: the second is the one that counts. A part
of segments without the part of videos of the same name is what a killed run left; it is removed before the next one.
ID stands for the plan and the options, which ``OUT/plans/ID.json`` spells out.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from ..._util.extras import need
from ..._util.files import whole_file
from ..._util.redaction import redact
from ...errors import DataError, SinkError, StateError, UsageError
from .stores import open_store
from .tables import SCHEMA, SEGMENTS, VIDEOS, table

T = TypeVar("T")

#: Tries of a call of a store that fails for a moment, and seconds before the second one; they double.
_TRIES, _WAIT_S = 5, 0.2
#: What is said of tables that somebody removed under a run.
_GONE = "were removed while it was running: run it again, and what is not there is localized anew"


class Store:
    """The output of an archive for one plan and its options.

    Args:
        output: folder, or an fsspec address.
        made_by: what determines a result besides the video; see `batch.files.made_by`.
        identity: short name of it for the paths.

    Raises:
        SinkError: the folder cannot be made, or the store cannot be reached.
        UsageError: it is a file, or an address of an unknown scheme.
        StateError: another run writes to the same folder.
        MissingExtraError: fsspec, its file system, or pyarrow is not installed.
    """

    def __init__(self, output: str, made_by: Mapping[str, Any], identity: str) -> None:
        need("pyarrow.parquet")
        self.name = redact(output)
        self.identity = identity
        self._fs, self._root = open_store(output)
        self._local = isinstance(self._fs, need("fsspec.implementations.local").LocalFileSystem)
        self._lock: int | None = None
        self._put_there: set[str] = set()  # parts of this run
        self._made_by = {"schema": SCHEMA, **made_by}
        try:
            if self._local:
                self._alone()
            self._fs.makedirs(self._root, exist_ok=True)
            self._write(f"plans/{identity}.json", f"{json.dumps(self._made_by, indent=1)}\n".encode())
        except OSError as e:
            self.close()
            raise self._failed(e) from e
        except BaseException:
            self.close()
            raise

    def _alone(self) -> None:
        """Hold a lock that ends with the process, however that ends."""
        if Path(self._root).is_file():
            raise UsageError(f"{self.name}: is a file, must be a folder")
        Path(self._root).mkdir(parents=True, exist_ok=True)
        self._lock = os.open(f"{self._root}/.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"{self.name}: another run is writing to it; wait for its end") from None

    def close(self) -> None:
        """Let other runs in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- what is there -----------------------------------------------------------------------------

    def recover(self) -> dict[str, dict[str, Any]]:
        """Remove what a killed run left half done, and return what is known of each video, by its key.

        Returns:
            Status, size, stamp, exit status and error of its row, and the part that the row is in.
        """
        wanted = ["video", "status", "size", "stamp", "exit_status", "error"]
        read = {name: self._read(VIDEOS, name, wanted) for name in self._parts(VIDEOS)}
        for old in {old for rows in list(read.values()) for old in _replaced_by(rows)} & read.keys():
            self._remove(VIDEOS, old)
            del read[old]
        for name in self._parts(SEGMENTS):
            if name not in read:
                self._remove(SEGMENTS, name)
        return {row["video"]: {**row, "part": name} for name, rows in read.items() for row in rows.to_pylist()}

    def parts(self) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
        """Yield rows of videos and of segments, part after part."""
        for name in self._parts(VIDEOS):
            yield self._rows(VIDEOS, name), self._rows(SEGMENTS, name)

    def files(self, form: str) -> set[str]:
        """Names of the files that videos have beside the tables, of one form."""
        return set(self._names(f"{form}/plan={self.identity}"))

    # -- what is written ---------------------------------------------------------------------------

    def add(self, videos: Sequence[Mapping[str, Any]], segments: Sequence[Mapping[str, Any]]) -> None:
        """Write a part: rows of videos, and of all of their segments.

        Raises:
            SinkError: it cannot be written; then nothing of it is there, or will not be after `recover`.
        """
        if videos:
            self._put(videos, segments, ())

    def forget(self, gone: Mapping[str, Set[str]]) -> None:
        """Remove the rows of videos that will be made anew: parts that hold some are written again without them.

        Args:
            gone: keys of the videos by the part that they are in.
        """
        for name, keys in gone.items():
            rows = [row for row in self._rows(VIDEOS, name) if row["video"] not in keys]
            segments = [row for row in self._rows(SEGMENTS, name) if row["video"] not in keys]
            self._put(rows, segments, (name,))
            self._remove(VIDEOS, name)
            self._remove(SEGMENTS, name)
            self._put_there.discard(name)

    def save(self, form: str, name: str, text: str) -> None:
        """Write a file that a video has beside the tables."""
        try:
            self._write(f"{form}/plan={self.identity}/{name}", text.encode())
        except OSError as e:
            raise self._failed(e) from e

    def _put(
        self, videos: Sequence[Mapping[str, Any]], segments: Sequence[Mapping[str, Any]], old: Sequence[str]
    ) -> None:
        name = f"{time.time_ns():020d}-{uuid4().hex[:12]}"
        try:
            self._check_there()
            # An empty one as well: queries find the columns where nothing was found.
            self._write(self._path(SEGMENTS, name), _bytes(table(SEGMENTS, segments), ()))
            self._write(self._path(VIDEOS, name), _bytes(table(VIDEOS, videos), old))
        except OSError as e:
            raise self._failed(e) from e
        self._put_there.add(name)

    def check(self) -> None:
        """Look whether what this run has written is still there.

        Raises:
            SinkError: it was removed meanwhile, or the store cannot be reached.
        """
        self._check_there()
        gone = len(self._put_there - set(self._parts(VIDEOS)))
        if gone:
            raise SinkError(f"{self.name}: {gone} of the {len(self._put_there)} parts that this run wrote {_GONE}")

    def _check_there(self) -> None:
        """Refuse to go on in a folder that somebody removed: what stood in it is lost, and others may begin there."""
        try:
            if self._lock is not None:
                there = os.path.samestat(Path(self._root, ".lock").stat(), os.fstat(self._lock))
            else:
                self._fs.invalidate_cache()
                # Not `exists`: it takes any error for a no.
                there = bool(self._again(lambda: self._fs.info(f"{self._root}/plans/{self.identity}.json")))
        except FileNotFoundError:
            there = False
        except OSError as e:
            raise self._failed(e) from e
        if not there:
            raise SinkError(f"{self.name}: the tables {_GONE}")

    def _write(self, path: str, content: bytes) -> None:
        """Whole or not at all."""
        target = f"{self._root}/{path}"
        if self._local:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            with whole_file(target, durable=True) as temporary:
                temporary.write_bytes(content)
            return
        self._again(lambda: self._fs.pipe_file(target, content))

    def _again(self, do: Callable[[], T]) -> T:
        """Do something with the store; one that fails for a moment is asked again."""
        for k in range(_TRIES - 1):
            try:
                return do()
            except FileNotFoundError:
                raise
            except OSError:
                time.sleep(_WAIT_S * 2**k if not self._local else 0.0)
        return do()

    # -- parts -------------------------------------------------------------------------------------

    def _path(self, kind: str, name: str) -> str:
        return f"{kind}/plan={self.identity}/{name}.parquet"

    def _parts(self, kind: str) -> list[str]:
        """Names of parts, oldest first."""
        return sorted(Path(n).stem for n in self._names(f"{kind}/plan={self.identity}") if n.endswith(".parquet"))

    def _names(self, folder: str) -> list[str]:
        """Names of the files in a folder of the output; none where it is not there."""
        self._fs.invalidate_cache()
        try:
            return [Path(p).name for p in self._again(lambda: self._fs.ls(f"{self._root}/{folder}", detail=False))]
        except FileNotFoundError:
            return []
        except OSError as e:
            raise self._failed(e) from e

    def _read(self, kind: str, name: str, columns: Sequence[str] | None = None) -> Any:
        path = self._path(kind, name)
        try:
            content = self._again(lambda: self._fs.cat_file(f"{self._root}/{path}"))
            # From memory, without threads: those that read Python's files let go of them after their last read, and
            # abort the process if that is when it ends (pyarrow 26.0.1: two of twelve runs).
            memory = need("pyarrow").BufferReader(content)
            return need("pyarrow.parquet").read_table(memory, columns=columns, use_threads=False, pre_buffer=False)
        except (need("pyarrow").ArrowInvalid, KeyError) as e:
            raise DataError(f"{self.name}/{path}: not a part of an archive: {e}; remove it") from e
        except FileNotFoundError:
            raise
        except OSError as e:
            raise self._failed(e) from e

    def _rows(self, kind: str, name: str) -> list[dict[str, Any]]:
        """Return the rows of a part; none where it has no segments, and so no file of them."""
        try:
            return list(self._read(kind, name).to_pylist())
        except FileNotFoundError:
            return []

    def _remove(self, kind: str, name: str) -> None:
        with suppress(FileNotFoundError):
            self._again(lambda: self._fs.rm_file(f"{self._root}/{self._path(kind, name)}"))

    def _failed(self, e: OSError) -> SinkError:
        return SinkError(f"{self.name}: cannot be used ({e.strerror or redact(str(e))})")


def _bytes(rows: Any, replaces: Sequence[str]) -> bytes:
    """Make a Parquet file in memory, which says which parts it takes the place of."""
    metadata = {**rows.schema.metadata, b"replaces": json.dumps(list(replaces)).encode()}
    out = io.BytesIO()
    need("pyarrow.parquet").write_table(rows.replace_schema_metadata(metadata), out, compression="zstd")
    return out.getvalue()


def _replaced_by(rows: Any) -> list[str]:
    """Return the parts that a part takes the place of."""
    return list(json.loads((rows.schema.metadata or {}).get(b"replaces", b"[]")))
