"""The zip around a plan: whatever two zip readers could read differently is refused."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from tal_engine.errors import PlanError, PlanFault
from tal_engine.plan.archive import parse_plan, plan_bytes, read_plan
from tal_engine.plan.container import PlanZip
from tal_engine.plan.manifest import MANIFEST
from tests.makers import tiny_plan

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


@pytest.fixture(scope="module")
def data():
    return plan_bytes(tiny_plan())


def refused(data, words):
    with pytest.raises(PlanError, match=words) as e:
        parse_plan(bytes(data), "x.plan")
    assert e.value.fault is PlanFault.NOT_A_PLAN
    assert str(e.value).startswith("x.plan: ")


def end_of(data):
    """Offset of the end record, size and offset of the central directory."""
    at = data.rindex(END)
    return at, *struct.unpack_from("<2L", data, at + 12)


def inserted(data, at, extra):
    """Bytes put in at an offset, with every offset behind them corrected as a careful writer would."""
    end, size, start = end_of(data)
    made = bytearray(data)
    if start >= at:
        struct.pack_into("<L", made, end + 16, start + len(extra))
    entry = start
    while entry < start + size:
        name, more, comment = struct.unpack_from("<3H", data, entry + 28)
        (header,) = struct.unpack_from("<L", data, entry + 42)
        if header >= at:
            struct.pack_into("<L", made, entry + 42, header + len(extra))
        entry += 46 + name + more + comment
    made[at:at] = extra
    return bytes(made)


def test_what_we_write_is_read(data):
    archive = PlanZip(data, "x.plan")
    assert archive.names[0] == MANIFEST
    assert parse_plan(data).document == archive.read(MANIFEST)


@pytest.mark.parametrize("extra", [b"\0", b"junk", LOCAL + b"\0" * 40, b"PK\x05\x06" + b"\0" * 18, b"x" * 70_000])
def test_bytes_after_the_end(data, extra):
    refused(data + extra, "not a plan")


@pytest.mark.parametrize("extra", [b"\0", b"#!/bin/sh\n", b"x" * 70_000])
def test_bytes_before_the_beginning(data, extra):
    refused(extra + data, "not a plan")  # as self-extracting archives have them
    refused(inserted(data, 0, extra), "not a plan")


def test_bytes_between_members_and_directory(data):
    _, size, start = end_of(data)
    second = data.index(LOCAL, 4)
    refused(inserted(data, second, b"hidden"), "belong to no member at byte")
    refused(inserted(data, start, b"hidden"), "does not cover exactly")
    made = bytearray(inserted(data, start + size, b"hidden"))
    refused(made, "not a plan")


def test_archive_comment(data):
    made = bytearray(data)
    struct.pack_into("<H", made, end_of(data)[0] + 20, 5)
    refused(bytes(made) + b"hello", "comment|after the end")


def zipped(change=None, members=None):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        for name, content in members or [("manifest.json", b"{}"), ("head.onnx", b"graph")]:
            info = zipfile.ZipInfo(name)
            if change is not None:
                change(info)
            z.writestr(info, content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda i: setattr(i, "comment", b"note"), "comment"),
        (lambda i: setattr(i, "extra", b"UT\x05\x00\x03abcd"), "extra"),
        (lambda i: setattr(i, "compress_type", zipfile.ZIP_DEFLATED), "compressed"),
    ],
)
def test_members_of_other_forms(change, words):
    refused(zipped(change), words)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice():
    refused(zipped(members=[("manifest.json", b"{}"), ("a", b"1"), ("a", b"2")]), "'a' is in the zip more than once")
    refused(zipped(members=[("manifest.json", b"{}"), ("manifest.json", b"{ }")]), "more than once")


def test_members_of_unknown_size_are_refused():
    """Written to a pipe: sizes follow the content, so readers that walk the file see another one than the directory."""

    class Pipe(io.RawIOBase):
        def __init__(self):
            self.written = b""

        def writable(self):
            return True

        def write(self, data):
            self.written += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as z:
        z.writestr("manifest.json", b"{}")
    refused(pipe.written, "disagree|flags")


#: Field of the local header: offset, size.
FIELDS = {
    "version": (4, 2),
    "flags": (6, 2),
    "method": (8, 2),
    "time": (10, 2),
    "date": (12, 2),
    "crc": (14, 4),
    "packed size": (18, 4),
    "size": (22, 4),
    "name size": (26, 2),
    "extra size": (28, 2),
    "name": (30, 1),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("member", [0, 1])
def test_local_headers_that_disagree_with_the_directory(data, field, member):
    at = [i for i in range(len(data)) if data.startswith(LOCAL, i)][member]
    offset, size = FIELDS[field]
    for bit in range(8 * size):
        made = bytearray(data)
        made[at + offset + bit // 8] ^= 1 << bit % 8
        with pytest.raises(PlanError):
            parse_plan(bytes(made))


def test_overlapping_members(data):
    """Two entries of the directory that point into the same bytes."""
    _, _, start = end_of(data)
    first = struct.unpack_from("<L", data, start + 42)[0]
    name = struct.unpack_from("<H", data, start + 28)[0]
    second = start + 46 + name
    assert data[second : second + 4] == CENTRAL
    made = bytearray(data)
    struct.pack_into("<L", made, second + 42, first)
    refused(made, "overlap|disagree")


@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_counts_of_entries_that_are_wrong(data, change):
    end, _, _ = end_of(data)
    for offset in (8, 10):
        made = bytearray(data)
        (count,) = struct.unpack_from("<H", made, end + offset)
        struct.pack_into("<H", made, end + offset, count + change)
        refused(made, "not a plan")


def test_an_entry_that_the_directory_leaves_out(data):
    """The file still holds the member; a reader that walks the local headers would find it."""
    end, size, start = end_of(data)
    last = data.rindex(CENTRAL, start, end)
    made = bytearray(data[:last] + data[end:])
    at = len(made) - 22
    count = struct.unpack_from("<H", made, at + 8)[0] - 1
    struct.pack_into("<2HL", made, at + 8, count, count, size - (end - last))
    refused(made, "does not cover exactly")


def test_large_plans_have_zip64_records(monkeypatch):
    """The form of a plan beyond 2 GiB, with the limit moved down so that the test needs no such file."""
    plan = tiny_plan()
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 300)
    made = plan_bytes(plan)
    assert b"PK\x06\x06" in made
    assert dict(parse_plan(made).files) == dict(plan.files)
    refused(made + b"\0", "not a plan")
    refused(b"\0" + made, "not a plan")
    locator = made.rindex(b"PK\x06\x07")
    for at in range(locator, locator + 20):
        hurt = bytearray(made)
        hurt[at] ^= 1
        refused(hurt, "not a plan")


def test_a_device_without_an_end_is_not_read_to_its_end():
    with pytest.raises(PlanError) as e:
        read_plan("/dev/zero")
    assert e.value.fault is PlanFault.NOT_A_PLAN
