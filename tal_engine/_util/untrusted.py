"""The one door for text, JSON and CSV from outside: bounded, and every failure is an error of the project.

Arrays come in through `arrays`, pickles through `pickles`; both use what is here.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ..errors import DataError, TALError

#: How a caller wants failures raised: an error class, or `partial(PlanError, fault)`.
MakeError = Callable[[str], TALError]

#: Most bytes of a text or JSON file. All of ActivityNet's detections, 100 a video, take 50 MB.
TEXT_LIMIT = 256 << 20
#: Most levels of lists and objects in JSON. Our own documents have 8; deeper ones overflow the stack of later readers.
DEPTH_LIMIT = 64
#: Most entries that a message lists.
LISTED = 10

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is how this one begins
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@contextmanager
def guarded(name: object, what: str, error: MakeError = DataError) -> Iterator[None]:
    """Turn every failure of a block that parses a file into the project's error with the file's name.

    Readers of damaged files raise far more than they document (MemoryError, zlib.error, NotImplementedError,
    struct.error, ...), so nothing is picked by hand here. Errors of the project pass as they are.

    Args:
        name: of the file, as the user knows it.
        what: the file should be, without an article ("feature file").
        error: makes the exception from its message.
    """
    try:
        yield
    except TALError:
        raise
    except FileNotFoundError as e:
        raise error(f"{name}: no such {what}").missing(e.filename or name) from e
    except PermissionError as e:
        raise error(f"{name}: cannot be read ({reason(e)})").because(e, e.filename or name) from e
    except Exception as e:
        raise error(f"{name}: not {_a(what)} ({reason(e)})") from e


def _a(what: str) -> str:
    return f"{'an' if what[:1].lower() in 'aeiou' else 'a'} {what}"


def reason(e: BaseException) -> str:
    """Return an exception's message, in at most 300 characters, or its class name if it has none."""
    if isinstance(e, MemoryError):
        return "it needs more memory than there is"
    if isinstance(e, RecursionError):
        return "it is nested too deeply"
    text = str(e.strerror if isinstance(e, OSError) and e.strerror else e).strip()
    if isinstance(e, KeyError):
        text = f"{text} is missing"
    return (text if len(text) <= 300 else f"{text[:297]}...") or type(e).__name__


def listed(problems: list[str]) -> str:
    """Join several problems of one file: all of them, or the first `LISTED` and how many more there are."""
    more = len(problems) - LISTED
    return "; ".join(problems[:LISTED]) + (f"; and {more} more" if more > 0 else "")


def read_bytes(path: str | Path, what: str, error: MakeError = DataError, limit: int = TEXT_LIMIT) -> bytes:
    """Read a file of at most `limit` bytes; pipes and devices are read no further than that either.

    Raises:
        TALError: as `error` makes it: missing, unreadable or too large; the message names the file.
    """
    with guarded(path, what, error), Path(path).open("rb") as file:
        data = file.read(limit + 1)
        if len(data) > limit:
            raise error(f"{path}: is larger than {limit >> 20} MiB, the most that is read as {_a(what)}")
        return data


def decode(data: bytes, name: object, what: str = "list", error: MakeError = DataError) -> str:
    """Text of bytes: UTF-8, or what a byte order mark says (UTF-8, UTF-16, UTF-32); the mark is dropped.

    Raises:
        TALError: as `error` makes it: the bytes are no such text.
    """
    encoding = next((e for mark, e in _ENCODINGS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as e:
        raise error(f"{name}: not a text file, so not {_a(what)} ({e})") from e


def read_text(path: str | Path, what: str, error: MakeError = DataError, limit: int = TEXT_LIMIT) -> str:
    """Read a text file, in the encoding that `decode` finds.

    Raises:
        TALError: as `error` makes it: missing, unreadable, too large or not text; the message names the file.
    """
    return decode(read_bytes(path, what, error, limit), path, what, error)


def first_text(path: str | Path, size: int = 1 << 16) -> str:
    """Decode a file's first bytes, to detect its format; undecodable bytes become U+FFFD."""
    with Path(path).open("rb") as file:
        data = file.read(size)
    encoding = next((e for mark, e in _ENCODINGS if data.startswith(mark)), "utf-8")
    return data.decode(encoding, errors="replace")


def read_csv(
    path: str | Path, what: str, error: MakeError = DataError, *, required: Sequence[str] = ()
) -> list[tuple[int, dict[str, str | None]]]:
    """Read a CSV file with a header line, which names the `required` columns at least.

    Returns:
        (line number, values by column) of each row; a column that a row is too short for is None, values beyond the
        last column are dropped.

    Raises:
        TALError: as `error` makes it: missing, not text, not CSV, a required column is not there, or two of one name.
    """
    text = read_text(path, what, error)
    with guarded(path, what, error):
        rows = csv.reader(io.StringIO(text, newline=""))
        header = next(rows, [])
        if len(set(header)) < len(header):
            raise error(f"{path}: column {_repeated(header)!r} is there twice")
        for column in required:
            if column not in header:
                raise error(f"{path}: column {column!r} is missing")
        short = [None] * len(header)
        return [(rows.line_num, dict(zip(header, [*row, *short], strict=False))) for row in rows if row]


def read_json(
    path: str | Path, what: str, error: MakeError = DataError, *, finite: bool = True, limit: int = TEXT_LIMIT
) -> Any:
    """Read a JSON file; see `parse_json`.

    Raises:
        TALError: as `error` makes it: missing, unreadable, too large, or not acceptable JSON.
    """
    return parse_json(read_bytes(path, what, error, limit), str(path), error, finite=finite, limit=limit)


def parse_json(
    data: bytes | str,
    name: str,
    error: MakeError = DataError,
    *,
    finite: bool = True,
    limit: int = TEXT_LIMIT,
    depth: int = DEPTH_LIMIT,
) -> Any:
    """Parse one JSON value from outside.

    A byte order mark is accepted. Refused are objects with two entries of one name (one of them would be lost
    silently), integers beyond 64 bits (they overflow later) and halves of surrogate pairs (no file or terminal
    can hold them).

    Args:
        data: the whole text, or its bytes in UTF-8 or with the mark of another encoding.
        name: of the file, for messages.
        error: makes the exception from its message.
        finite: refuse NaN, Infinity and numbers that overflow to it; callers that name the wrong entry
            themselves let them in.
        limit: most bytes (characters of a str).
        depth: most levels of lists and objects.

    Raises:
        TALError: as `error` makes it; whatever is wrong, the message begins with `name`.
    """
    if len(data) > limit:
        raise error(f"{name}: JSON of {len(data)} bytes, at most {limit} are read")
    text = decode(data, name, "JSON file", error) if isinstance(data, bytes) else data.removeprefix("\ufeff")
    hooks: dict[str, Any] = {"parse_float": _finite, "parse_constant": _constant} if finite else {}
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_integer, **hooks)
        _check_depth(value, depth)
        if isinstance(data, str):
            data.encode()
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as e:
        raise error(f"{name}: not JSON (a text holds half of a surrogate pair)") from e
    except Exception as e:  # ValueError, RecursionError, MemoryError; whatever a later parser may add
        raise error(f"{name}: not JSON ({reason(e)})") from e
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError(f"{_repeated([name for name, _ in pairs])!r} is there twice")
    return mapping


def _repeated(names: list[str]) -> str:
    """Return the first name that occurred before; in linear time, as a file may hold a million names."""
    seen: set[str] = set()
    return next(n for n in names if n in seen or seen.add(n))  # type: ignore[func-returns-value]


def _integer(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**64:
        raise ValueError(f"the integer {text[:20]}{'...' if len(text) > 20 else ''} does not fit into 64 bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:20]} is infinite as a float")
    return value


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _check_depth(value: object, depth: int) -> None:
    """Check the depth level by level: a recursive walk would overflow on what it has to refuse."""
    level = [value]
    for _ in range(depth):
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level = [child for children in inner for child in children if isinstance(child, dict | list)]
        if not level:
            return
    raise ValueError(f"more than {depth} levels of lists and objects")
