"""Mutations of texts that keep their structure: JSON stays JSON, lines of words stay that. Now and then they do not."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

#: Takes (data, largest size, seed), gives the next input.
Mutator = Callable[[bytes, int, int], bytes]

#: What parsers fall over.
VALUES: tuple[Any, ...] = (
    0, -1, 1, 2, 0.5, -0.0, 1e-300, 1e300, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, float("nan"), float("inf"),
    float("-inf"), True, False, None, "", "0", "nan", "1e5", "a" * 300, "\u0000", "\ud800", "\u00e9", "../x", "T",
    [], [[]], {}, {"": None}, [0, 1], [1, 0], [None], "2026-01-31T12:00:00Z",
)  # fmt: skip
#: Share of changes that are made blindly, in percent.
BLIND = 6


def raw(data: bytes, most: int) -> bytes:
    import atheris

    return bytes(atheris.Mutate(data or b"0", most))


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, child in inner for p in _places(child, (*path, key)))]


def _changed(old: Any, rng: random.Random) -> Any:
    """Another value in place of one."""
    kind = rng.randrange(8)
    if kind == 0 and isinstance(old, (int, float)) and not isinstance(old, bool):
        return rng.choice([old + 1, old - 1, -old, old * 2, old / 2, float(old), old * 1e6])
    if kind == 1 and isinstance(old, str):
        return raw(old.encode("utf-8", "surrogatepass"), 64).decode("utf-8", "replace")
    if kind == 2 and isinstance(old, list):
        return [old, old + old, old[::-1], old[:-1], old * 9][rng.randrange(5)]
    if kind == 3 and isinstance(old, dict) and old:
        key = rng.choice(list(old))
        return {**{k: v for k, v in old.items() if k != key}, f"{key}2": old[key]}
    if kind == 4:
        for _ in range(rng.choice([1, 3, 80])):
            old = [old] if rng.random() < 0.5 else {"x": old}
        return old
    if kind == 5:
        return str(old)
    return rng.choice(VALUES)


def change_json(document: Any, rng: random.Random) -> Any:
    """A document with one to three changes; it is not used again."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        *path, last = ["root", *rng.choice(_places(document))]
        holder: Any = {"root": document}
        inner = holder
        for key in path:
            inner = inner[key]
        if rng.random() < 0.15 and last != "root":
            inner.pop(last)
        elif rng.random() < 0.15 and isinstance(inner, dict) and len(inner) > 1:
            inner[last] = inner[rng.choice(list(inner))]
        else:
            inner[last] = _changed(inner[last], rng)
        document = json.loads(json.dumps(holder["root"]))
    return document


def text(document: Any, rng: random.Random) -> bytes:
    out = json.dumps(document, ensure_ascii=rng.random() < 0.9).encode("utf-8", "surrogatepass")
    if rng.random() < 0.05 and out.startswith(b"{") and len(out) > 2:  # a key twice
        out = b"{" + out[1:].split(b",", 1)[0].rstrip(b"}") + b"," + out[1:]
    return b"\xef\xbb\xbf" + out if rng.random() < 0.03 else out


def json_text(data: bytes, most: int, seed: int) -> bytes:
    """One JSON document."""
    rng = random.Random(seed)
    try:
        document = json.loads(data)
        if rng.randrange(100) < BLIND:
            return raw(data, most)
        return text(change_json(document, rng), rng)[:most]
    except (ValueError, RecursionError):
        return raw(data, most)


def json_lines(data: bytes, most: int, seed: int) -> bytes:
    """One JSON document a line: a line is changed, doubled, moved or left out."""
    rng = random.Random(seed)
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    match rng.randrange(10):
        case 0:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        case 1:
            lines.pop(at)
        case 2:
            rng.shuffle(lines)
        case _:
            lines[at] = json_text(lines[at], most, seed + 1)
    return b"\n".join(lines)[:most]


def lines(data: bytes, most: int, seed: int) -> bytes:
    """Lines of words: one word is replaced by what parsers fall over, or a line is doubled, left out or changed."""
    rng = random.Random(seed)
    rows = data.split(b"\n")
    at = rng.randrange(len(rows))
    comma = b"," if b"," in rows[at] else b" "
    words = rows[at].split(comma)
    match rng.randrange(8):
        case 0:
            rows.insert(at, rows[at])
        case 1:
            rows.pop(at)
        case 2:
            return raw(data, most)
        case 3:
            words.insert(rng.randrange(len(words) + 1), b"1")
        case _:
            words[rng.randrange(len(words))] = str(rng.choice(VALUES)).encode("utf-8", "replace")
    if at < len(rows):
        rows[at] = comma.join(words)
    return b"\n".join(rows)[:most]
