"""Mutations of array files and archives, and which mutation each target has.

A zip stays a zip with sound checksums, an array file keeps a sound header, and the hashes that a plan or a snapshot
holds of its parts are made to fit again, so that a fuzzer gets behind the first door. Now and then bytes are changed
blindly.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from .mutators import BLIND, Mutator, change_json, json_lines, json_text, lines, raw, text

DTYPES = (
    "<f4",
    "<f8",
    ">f8",
    "<i8",
    "|i1",
    "|u1",
    "<U3",
    "|S2",
    "|O",
    "<M8[s]",
    "<c8",
    "|b1",
    "|V4",
    "<f2",
    [("a", "<f4")],
)


def _split_npy(content: bytes) -> tuple[dict[str, Any], bytes] | None:
    try:
        if content[:6] != b"\x93NUMPY" or content[6] not in (1, 2, 3):
            return None
        width = 2 if content[6] == 1 else 4
        size = int.from_bytes(content[8 : 8 + width], "little")
        header = ast.literal_eval(content[8 + width : 8 + width + size].decode("latin1"))
        return header, content[8 + width + size :]
    except (ValueError, SyntaxError, IndexError, MemoryError, RecursionError):
        return None


def _join_npy(header: dict[str, Any], body: bytes) -> bytes:
    text = repr(header).encode("latin1", "replace") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", min(len(text), 65535)) + text + body


def change_npy(content: bytes, rng: random.Random, most: int) -> bytes:
    """An array file with another shape, dtype or content; a text that is JSON is changed as JSON."""
    parts = _split_npy(content)
    if parts is None:
        return raw(content, most)
    header, body = parts
    dtype = str(header.get("descr"))
    match rng.randrange(7):
        case 0:
            shape = list(header.get("shape", ()))
            sizes = [0, 1, -1, 2**31, 2**62, 3, True, 1.5]
            header["shape"] = tuple(rng.choice([shape[::-1], [*shape, 1], shape[1:], [rng.choice(sizes)], []]))
        case 1:
            header["descr"] = rng.choice(DTYPES)
        case 2:
            header["fortran_order"] = rng.choice([True, False, 1, None])
        case 3 if dtype in ("<f4", "<f8") and body:
            width = int(dtype[-1])
            at = rng.randrange(max(len(body) // width, 1)) * width
            value = rng.choice([float("nan"), float("inf"), -1.0, 0.0, 1e30, 1e-40])
            body = body[:at] + struct.pack("<f" if width == 4 else "<d", value) + body[at + width :]
        case 4:
            body = raw(body, most)
        case _:
            return _changed_text(header, body, rng) or _join_npy(header, raw(body, max(len(body), 8)))
    return _join_npy(header, body)


def _changed_text(header: dict[str, Any], body: bytes, rng: random.Random) -> bytes | None:
    """JSON in an array of characters (a feature file's record) or of bytes (a snapshot's state)."""
    dtype = str(header.get("descr"))
    try:
        found = body.decode("utf-32-le").rstrip("\0") if dtype.startswith("<U") else body.decode()
        new = text(change_json(json.loads(found), rng), rng)
        if dtype.startswith("<U"):
            wide = new.decode("utf-8", "surrogatepass")
            return _join_npy({**header, "descr": f"<U{len(wide)}"}, wide.encode("utf-32-le", "surrogatepass"))
        return _join_npy({**header, "shape": (len(new),)}, new)
    except (ValueError, RecursionError):
        return None


def _members(data: bytes) -> dict[str, bytes] | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {i.filename: archive.read(i) for i in archive.infolist()[:40] if i.file_size < 1 << 20}
    except Exception:
        return None


def _zipped(members: dict[str, bytes], rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if rng.random() < 0.03 else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)), content, method)
    return buffer.getvalue()


def _renamed(members: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    """A member left out, doubled under another name, or all of them in another order."""
    name = rng.choice(list(members))
    match rng.randrange(3):
        case 0:
            return {k: v for k, v in members.items() if k != name}
        case 1:
            others = ("x.npy", "../x", "a/b.npy", "", "manifest.json", "state.npy")
            return {**members, rng.choice(others): members[name]}
        case _:
            items = list(members.items())
            rng.shuffle(items)
            return dict(items)


Fit = Callable[[dict[str, bytes]], dict[str, bytes]]
Change = Callable[[str, bytes, random.Random], bytes]


def _archive(
    data: bytes, most: int, seed: int, fit: Fit, change: Callable[[str, bytes, random.Random], bytes]
) -> bytes:
    rng = random.Random(seed)
    members = _members(data)
    if not members or rng.randrange(100) < BLIND:
        return raw(data, most)
    if rng.random() < 0.1:
        members = _renamed(members, rng)
    elif members:
        name = rng.choice(list(members))
        members[name] = change(name, members[name], rng)
    if rng.random() < 0.95:
        members = fit(members)
    out = _zipped(members, rng)
    return out if len(out) <= most else data


def npz(data: bytes, most: int, seed: int) -> bytes:
    """A zip of array files."""
    return _archive(data, most, seed, lambda m: m, lambda _, content, rng: change_npy(content, rng, 2048))


def snapshot(data: bytes, most: int, seed: int) -> bytes:
    """A stream's state: its hashes fit again, so that what is behind them is reached."""
    return _archive(data, most, seed, _fit_snapshot, lambda _, content, rng: change_npy(content, rng, 2048))


def _fit_snapshot(members: dict[str, bytes]) -> dict[str, bytes]:
    try:
        header, body = _split_npy(members["state.npy"]) or ({}, b"")
        document = json.loads(body)
        parts = {n.removesuffix(".npy"): _split_npy(c) for n, c in members.items() if n != "state.npy"}
        document["arrays"] = {n: hashlib.sha256(p[1]).hexdigest() for n, p in parts.items() if p}
        new = json.dumps(document).encode()
        return {**members, "state.npy": _join_npy({**header, "shape": (len(new),)}, new)}
    except (KeyError, ValueError, TypeError, RecursionError):
        return members


def plan(data: bytes, most: int, seed: int) -> bytes:
    """A plan: sizes and hashes in its manifest fit again."""

    def change(name: str, content: bytes, rng: random.Random) -> bytes:
        return json_text(content, most, rng.randrange(1 << 30)) if name == "manifest.json" else raw(content, 4096)

    return _archive(data, most, seed, _fit_plan, change)


def _fit_plan(members: dict[str, bytes]) -> dict[str, bytes]:
    try:
        manifest = json.loads(members["manifest.json"])
        for name in manifest["members"]:
            content = members.get(name, b"")
            manifest["members"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        return {**members, "manifest.json": json.dumps(manifest).encode()}
    except (KeyError, ValueError, TypeError, RecursionError):
        return members


def columns(data: bytes, most: int, seed: int) -> bytes:
    """One byte that picks a file, and an array file."""
    rng = random.Random(seed)
    if not data or rng.random() < 0.1:
        return raw(data, most)
    return (data[:1] + change_npy(data[1:], rng, most - 1))[:most]


#: By target; the others are changed blindly.
MUTATORS: dict[str, Mutator] = {
    "activitynet": json_text, "bmn": json_text, "npy": columns, "thumos": lines, "points": lines,
    "detections_json": json_text, "detections_jsonl": json_lines, "detections_csv": lines, "detections_txt": lines,
    "manifest": json_text, "plan": plan, "features": npz, "snapshot": snapshot, "event": json_text,
    "finals": json_lines,
}  # fmt: skip
