"""What an archive holds: files, folders, patterns, lists, columns of tables, fsspec addresses, as a list of videos."""

from __future__ import annotations

import csv
import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._util.extras import need
from ..._util.names import VIDEO_SUFFIXES, exists
from ..._util.opening import scheme_of
from ..._util.redaction import redact
from ..._util.untrusted import read_text
from ...errors import DataError, UsageError, VideoError, VideoFault
from .stores import open_store

#: Endings of files that list videos, a line each; and of tables with a column of videos.
LISTS, TABLES = frozenset([".txt", ".lst"]), frozenset([".csv", ".tsv", ".parquet"])
#: Columns that hold the videos, where none is named.
COLUMNS = ("video", "path", "address", "url", "uri", "file")
_MAGIC = frozenset("*?[")
#: What file systems call the moment or the content of a file, by preference.
_STAMPS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True, slots=True)
class Item:
    """A video of an archive.

    address: what the engine opens. key: the same without passwords, as text, which names the video in tables. size:
    bytes. stamp: what changes when the content does. None and "" where the store does not say.
    """

    address: str
    key: str
    size: int | None = None
    stamp: str = ""


def listed(sources: Sequence[str], column: str | None = None) -> list[Item]:
    """List the videos of all sources, in order, each once.

    Args:
        sources: videos, folders, patterns (``a/**/*.mp4``), lists (.txt, .lst: a line each), tables (.csv, .tsv,
            .parquet), addresses of files, folders or patterns (``s3://bucket/2026/*.mp4``).
        column: of the tables; default: the first of `COLUMNS` that is there.

    Raises:
        UsageError: nothing was given, or a table lacks the column.
        DataError: a list or table that cannot be read.
        VideoError: a folder or pattern without videos, or a file that is missing.
        MissingExtraError: a store whose library is not installed.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from tal_engine.batch.archive.listing import listed
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.mp4", "a.mp4", "notes.pdf"):
    ...         _ = (Path(folder) / name).write_bytes(b"")
    ...     [Path(item.address).name for item in listed([folder, f"{folder}/a.mp4"])]
    ['a.mp4', 'b.mp4']
    """
    if not sources:
        raise UsageError("no input: give at least one video, folder, pattern, list, table or address")
    found: dict[str, Item] = {}
    for source in sources:
        for item in _of(str(source), column):
            found.setdefault(item.key, item)
    return list(found.values())


def _of(source: str, column: str | None) -> Iterator[Item]:
    if "://" in source and not exists(source):
        yield from _remote(source)
        return
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_file() and suffix in LISTS | TABLES:
        for text in _lines(path) if suffix in LISTS else _column(path, column):
            yield from _entry(text, path.parent)
    elif path.is_dir():
        yield from _videos(path, (p for p in sorted(path.rglob("*")) if not _hidden(p.relative_to(path))))
    elif not path.exists() and _MAGIC & set(source):
        yield from _videos(source, (Path(p) for p in sorted(glob.glob(source, recursive=True))))  # noqa: PTH207 - patterns of whole paths
    else:
        yield _local(path)


def _videos(where: object, paths: Iterable[Path]) -> Iterator[Item]:
    found = [p for p in paths if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
    if not found:
        raise VideoError(VideoFault.NO_VIDEOS, f"{where}: no videos")
    yield from map(_local, found)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _local(path: Path) -> Item:
    """List a file of this machine; one that is missing is listed all the same, and fails by itself."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - Path.resolve follows links
    key = whole_text(absolute)
    try:
        found = path.stat()
    except (OSError, ValueError):
        return Item(absolute, key)
    return Item(absolute, key, found.st_size, str(found.st_mtime_ns))


def whole_text(text: str) -> str:
    """Return a text that any table can hold: what is not UTF-8 in a file's name is spelled out.

    >>> from tal_engine.batch.archive.listing import whole_text
    >>> len(whole_text("a" + chr(0xDCFF)))  # a backslash, and udcff
    7
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _entry(text: str, folder: Path) -> Iterator[Item]:
    """Read a line of a list: an address, or a path that is meant from where the list lies."""
    if "://" in text:
        yield from _remote(text)
    else:
        yield _local(folder / text)


def _lines(path: Path) -> list[str]:
    lines = (line.strip() for line in read_text(path, "list of videos").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _column(path: Path, column: str | None) -> list[str]:
    """Read the texts of a column, empty ones left out."""
    rows = _parquet(path, column) if path.suffix.lower() == ".parquet" else _csv(path, column)
    return [text for text in (str(value).strip() for value in rows if value is not None) if text]


def _csv(path: Path, column: str | None) -> list[str]:
    lines = read_text(path, "table of videos").splitlines()
    rows = list(csv.reader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ","))
    if not rows:
        raise DataError(f"{path}: the table is empty")
    at = rows[0].index(_named(path, rows[0], column))
    return [row[at] for row in rows[1:] if len(row) > at]


def _parquet(path: Path, column: str | None) -> list[Any]:
    parquet = need("pyarrow.parquet")
    try:
        name = _named(path, list(parquet.read_schema(path).names), column)
        return list(parquet.read_table(path, columns=[name]).column(name).to_pylist())
    except need("pyarrow").ArrowInvalid as e:
        raise DataError(f"{path}: not a Parquet file: {e}") from e


def _named(path: Path, names: Sequence[str], column: str | None) -> str:
    wanted = COLUMNS if column is None else (column,)
    found = next((name for name in wanted if name in names), None)
    if found is None:
        raise UsageError(f"{path}: no column {' or '.join(wanted)}, it has {', '.join(names)}; name one with --column")
    return found


def _remote(address: str) -> Iterator[Item]:
    """List an address of a file, of a folder (it ends with /), or of a pattern."""
    web = scheme_of(address) in ("http", "https")  # no patterns: ? and [ are parts of addresses, and nothing is listed
    if web or not (_MAGIC & set(address) or address.endswith("/")):
        yield Item(address, redact(address)) if web else _asked(address)
        return
    fs, path = open_store(address)
    pattern = f"{path.rstrip('/')}/**" if address.endswith("/") else path
    found: Mapping[str, Mapping[str, Any]] = fs.glob(pattern, detail=True)
    videos = {p: info for p, info in sorted(found.items()) if Path(p).suffix.lower() in VIDEO_SUFFIXES}
    if not videos:
        raise VideoError(VideoFault.NO_VIDEOS, f"{redact(address)}: no videos")
    for path, info in videos.items():
        yield _described(fs.unstrip_protocol(path), info)


def _asked(address: str) -> Item:
    """Ask a store about a file; what is missing fails by itself later."""
    fs, path = open_store(address)
    try:
        return _described(address, fs.info(path))
    except OSError:
        return _described(address, {})


def _described(address: str, info: Mapping[str, Any]) -> Item:
    stamp = next((str(info[name]) for name in _STAMPS if info.get(name)), "")
    size = info.get("size")
    return Item(address, redact(address), None if size is None else int(size), stamp)
