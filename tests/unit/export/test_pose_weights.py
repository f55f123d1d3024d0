"""The converter of the pose networks: a file built here by hand, against slow arithmetic; and what ships."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from tal_engine.backends import open_backend
from tal_engine.errors import ExportError, PlanError, UsageError
from tal_engine.export.pose_weights import SOURCES, read_package
from tal_engine.export.tflite_file import Table, dense, read_network
from tal_engine.export.tflite_graph import picture_graph
from tal_engine.pose import weights

Field = tuple[str, object]


def flat(fields: dict[int, Field], at: int, out: bytearray) -> None:
    """Write a table of a flatbuffer at the end of `out`, and its place at byte `at`."""
    while len(out) % 4:
        out.append(0)
    count = max(fields, default=-1) + 1
    layout, begin = len(out), len(out) + 4 + 2 * count + (4 + 2 * count) % 4
    out += struct.pack("<HH", 4 + 2 * count, 4 + 4 * count)
    out += b"".join(struct.pack("<H", 4 + 4 * i if i in fields else 0) for i in range(count))
    out += b"\0" * (begin - len(out)) + struct.pack("<i", begin - layout) + b"\0" * (4 * count)
    out[at : at + 4] = struct.pack("<I", begin - at)
    for i, (kind, value) in fields.items():
        place = begin + 4 + 4 * i
        if kind == "int":
            out[place : place + 4] = struct.pack("<i", value)
        elif kind == "table":
            flat(value, place, out)  # type: ignore[arg-type]
        else:
            vector(kind, value, place, out)


def vector(kind: str, value, at: int, out: bytearray) -> None:
    while (len(out) + 4) % 8:
        out.append(0)
    out[at : at + 4] = struct.pack("<I", len(out) - at)
    if kind == "tables":
        begin = len(out) + 4
        out += struct.pack("<I", len(value)) + b"\0" * (4 * len(value))
        for k, one in enumerate(value):
            flat(one, begin + 4 * k, out)
    else:
        content = value if isinstance(value, bytes) else np.asarray(value).tobytes()
        out += struct.pack("<I", len(value)) + content


def tflite(tensors, operators, inputs, outputs) -> bytes:
    """A file of tensors (shape, values or None) and operators (code, options, inputs, outputs)."""
    kinds = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.int32): 2}
    buffers: list[dict[int, Field]] = [{}]
    listed: list[dict[int, Field]] = []
    for shape, values in tensors:
        listed.append({0: ("i", np.array(shape, np.int32)), 2: ("int", 0), 3: ("b", b"t")})
        if values is not None:
            listed[-1] |= {1: ("int", kinds[values.dtype]), 2: ("int", len(buffers))}
            buffers.append({0: ("b", values.tobytes())})
    codes = sorted({o[0] for o in operators})
    steps = [
        {0: ("int", codes.index(c)), 1: ("i", np.array(i, np.int32)), 2: ("i", np.array(o, np.int32))}
        | ({4: ("table", options)} if options is not None else {})
        for c, options, i, o in operators
    ]
    graph = {
        0: ("tables", listed), 1: ("i", np.array(inputs, np.int32)), 2: ("i", np.array(outputs, np.int32)),
        3: ("tables", steps),
    }  # fmt: skip
    out = bytearray(b"\0\0\0\0TFL3")
    codes_ = [{0: ("int", min(c, 127)), 3: ("int", c)} for c in codes]
    flat({0: ("int", 3), 1: ("tables", codes_), 2: ("tables", [graph]), 4: ("tables", buffers)}, 0, out)
    return bytes(out)


def convolved(x, w, b, stride, deep):
    """SAME convolution of [H, W, C] by filters, one number at a time."""
    high, wide = -(-x.shape[0] // stride), -(-x.shape[1] // stride)
    k, out = w.shape[1], np.zeros((high, wide, w.shape[3] if deep else w.shape[0]))
    before = [max((n - 1) * stride + k - size, 0) // 2 for n, size in zip((high, wide), x.shape[:2], strict=True)]
    for row in range(high):
        for column in range(wide):
            for dy in range(k):
                for dx in range(k):
                    y, z = row * stride + dy - before[0], column * stride + dx - before[1]
                    if 0 <= y < x.shape[0] and 0 <= z < x.shape[1]:
                        out[row, column] += x[y, z] * w[0, dy, dx] if deep else w[:, dy, dx] @ x[y, z]
    return out + b


def test_a_network_is_read_and_converted_and_computes_what_it_did(rng):
    deep, wide = (rng.normal(0, 1, s).astype(np.float16) for s in ((1, 3, 3, 3), (4, 1, 1, 3)))
    bias = rng.normal(0, 1, 4).astype(np.float32)
    tensors = [
        ((1, 6, 5, 3), None), ((1, 3, 3, 3), deep), ((1, 3, 3, 3), None), ((3,), np.zeros(3, np.float32)),
        ((1, 3, 3, 3), None), ((4, 1, 1, 3), wide), ((4, 1, 1, 3), None), ((4,), bias), ((1, 3, 3, 4), None),
        ((3,), np.array([1, 36, 1], np.int32)), ((1, 36, 1), None), ((1, 3, 3, 4), None),
    ]  # fmt: skip
    operators = [
        (6, None, [1], [2]), (6, None, [5], [6]),
        (4, {1: ("int", 2), 2: ("int", 2), 3: ("int", 1), 4: ("int", 3)}, [0, 2, 3], [4]),
        (3, {1: ("int", 1), 2: ("int", 1)}, [4, 6, 7], [8]),
        (22, None, [8, 9], [10]), (14, None, [8], [11]),
    ]  # fmt: skip
    network = read_network(tflite(tensors, operators, [0], [10, 11]))
    assert [o.kind for o in network.operators[:3]] == ["DEQUANTIZE", "DEQUANTIZE", "DEPTHWISE_CONV_2D"]
    graph = picture_graph(network, "small", 1 / 64, -1.0, {0: "flat"})
    backend = open_backend(graph, "small", "cpu")
    pictures = rng.integers(0, 256, (3, 6, 5, 3), dtype=np.uint8)
    out = backend.run({"pictures": pictures})
    assert list(out) == ["flat"]  # what no output needs is left out
    for picture, found in zip(pictures, out["flat"], strict=True):
        middle = convolved(picture / 64 - 1, deep.astype(float), 0, 2, True).clip(0, 6)
        wanted = convolved(middle, wide.astype(float), bias, 1, False)
        np.testing.assert_allclose(found.ravel(), wanted.ravel(), atol=1e-4)


def test_a_sparse_tensor_is_unpacked(rng):
    """Rows dense, columns of blocks of two, listed by segments: what BlazePose's detector holds."""
    whole = rng.normal(0, 1, (4, 6)).astype(np.float32)
    blocks = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]], bool)
    whole *= np.repeat(blocks, 2, 1)
    rows, columns = np.nonzero(blocks)
    values = np.concatenate([whole[r, 2 * c : 2 * c + 2] for r, c in zip(rows, columns, strict=True)])
    begins = np.concatenate([[0], np.cumsum(blocks.sum(1))]).astype(np.int32)
    levels = [
        {0: ("int", 0), 1: ("int", 4)},
        {0: ("int", 1), 2: ("int", 1), 3: ("table", {0: ("i", begins)}), 4: ("int", 1),
         5: ("table", {0: ("i", columns.astype(np.int32))})},
        {0: ("int", 0), 1: ("int", 2)},
    ]  # fmt: skip
    out = bytearray(b"\0\0\0\0TFL3")
    flat({0: ("i", np.arange(3, dtype=np.int32)), 1: ("i", np.array([1], np.int32)), 2: ("tables", levels)}, 0, out)
    np.testing.assert_array_equal(dense(values, (4, 6), Table.root(bytes(out))), whole)


def test_files_of_another_kind_and_package_are_refused(tmp_path):
    with pytest.raises(ExportError, match="not a TensorFlow Lite file"):
        read_network(b"PK\x03\x04 something else")
    with pytest.raises(ExportError, match="cut off or damaged"):
        read_network(b"\xff\0\0\0TFL3")
    with pytest.raises(ExportError, match="operator 99 of the file is not converted"):
        read_network(tflite([((1,), None)], [(99, None, [0], [0])], [0], [0]))
    (tmp_path / "pose.tgz").write_bytes(b"another package")
    with pytest.raises(ExportError, match="sha256 is"):
        read_package(tmp_path / "pose.tgz")


def test_what_ships_is_what_the_package_gives_and_small_enough():
    sizes = [weights.path_of(name).stat().st_size for name in SOURCES]
    assert sum(sizes) <= 10_000_000
    for variant in weights.VARIANTS:
        for name, graph in zip((weights.DETECTOR, f"landmarks_{variant}"), weights.pose_graphs(variant), strict=True):
            assert hashlib.sha256(graph).hexdigest() == weights.HASHES[name]
    with pytest.raises(UsageError, match="pose"):
        weights.pose_graphs("heavy")


def test_packing_loses_nothing_and_damage_is_told(tmp_path, monkeypatch):
    for name, content in (("detector", b"abcdefg"), ("landmarks_lite", b"abcdefg"), ("landmarks_full", b"")):
        assert weights.unpacked(name, weights.packed(name, content)) == content
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(PlanError, match="cannot be read"):
        weights._read("detector")
    weights.path_of("detector").write_bytes(weights.packed("detector", b"not it"))
    with pytest.raises(PlanError, match="its hash is wrong"):
        weights._read("detector")
