"""Files of torch.save, of every version of it, read as data: tensors by handles, all else inert.

torch.load runs what a pickle names; even its weights_only mode stops at the first value that it does not know, and
does not read the oldest form at all. Here the pickle is read by `pickles` and only the storages that are asked for are
read from the file.

Forms: a zip (since 1.6; TorchScript's too), a row of pickles with the storages behind them (0.1.10 to 1.5), a tar
(before).
"""

from __future__ import annotations

import math
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ..._util.pickles import Maker, load

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
#: A tensor that repeats its values (a stride of 0) may be larger than its storage by so many bytes.
_REPEATED = 64 << 20

_STORAGES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128, "UntypedStorage": torch.uint8,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Storage:
    """`count` numbers of a file, from byte `first` of what `read` gives; it is asked once."""

    dtype: torch.dtype
    count: int
    read: Callable[[], bytearray]
    first: int = 0


@dataclass(frozen=True, eq=False)
class Handle:
    """A tensor that was not read yet: a view of a storage."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes that the tensor will take."""
        return math.prod(self.size) * self.dtype.itemsize

    def tensor(self) -> Tensor:
        """Read it.

        Raises:
            ValueError: it reaches beyond its storage, or the storage is cut short.
        """
        size, stride, item = self.size, self.stride, self.dtype.itemsize
        whole = self.storage.count * self.storage.dtype.itemsize
        if self.bytes > max(whole, _REPEATED):
            raise ValueError(f"a tensor of shape {list(size)} repeats {whole} bytes")
        last = self.offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if math.prod(size) else -1
        if (last + 1) * item > whole:
            raise ValueError(f"a tensor of shape {list(size)} reaches beyond its {whole} bytes")
        if last < 0:
            return torch.zeros(size, dtype=self.dtype)
        data = self.storage.read()
        if len(data) < self.storage.first + whole:
            raise ValueError(f"a storage has {len(data)} of {self.storage.first + whole} bytes")
        flat = torch.frombuffer(data, dtype=self.dtype, count=(len(data) - self.storage.first) // item,
                                offset=self.storage.first)  # fmt: skip
        return flat.as_strided(size, stride, self.offset).clone()


def _view(storage: Any, offset: Any, size: Any, stride: Any, dtype: torch.dtype | None = None) -> Handle:
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor has no storage")
    if any(type(n) is not int or not 0 <= n < 2**62 for n in numbers):
        raise pickle.UnpicklingError(f"a tensor is declared as {size} with strides {stride}")
    return Handle(storage, dtype or storage.dtype, offset, tuple(size), tuple(stride))


def _rebuild_v3(storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, kind: Any, *_: Any) -> Handle:
    return _view(storage, offset, size, stride, _dtype(kind))


def _dtype(kind: Any) -> torch.dtype:
    module, _, name = getattr(kind, "origin", "").rpartition(".")
    dtype = getattr(torch, name, None) if module == "torch" else None
    if not isinstance(dtype, torch.dtype):
        raise pickle.UnpicklingError(f"{getattr(kind, 'origin', kind)!r} is no dtype")
    return dtype


def _of_type(function: Any, kind: Any, args: Any, state: Any = None) -> Any:
    """Return a tensor with attributes, or of a subclass, as the plain tensor."""
    return function(*args) if isinstance(function, Maker) else None


_MAKERS = {
    ("torch._utils", "_rebuild_tensor"): Maker(_view),
    ("torch._utils", "_rebuild_tensor_v2"): Maker(lambda a, b, c, d, *_: _view(a, b, c, d)),
    ("torch._utils", "_rebuild_tensor_v3"): Maker(_rebuild_v3),
    ("torch._utils", "_rebuild_parameter"): Maker(lambda data, *_: data),
    ("torch._utils", "_rebuild_parameter_with_state"): Maker(lambda data, *_: data),
    ("torch._tensor", "_rebuild_from_type_v2"): Maker(_of_type),
    ("torch.nn.parameter", "Parameter"): Maker(lambda data=None, *_: data),
    ("torch", "Size"): Maker(tuple),
}


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Read a file of torch.save, or a plain pickle: mappings, lists, `Handle` for tensors, `Inert` for objects.

    Handles can be read until the block ends.

    Raises:
        Exception: of any class, as damaged files raise; use it under `untrusted.guarded`.
    """
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                yield _zip(archive)
        elif _is_tar(file):
            with tarfile.open(fileobj=file, mode="r:") as tar:
                yield _tar(file, tar)
        else:
            yield _row(file, path.stat().st_size)


def _is_tar(file: IO[bytes]) -> bool:
    file.seek(257)
    ustar = file.read(5) == b"ustar"
    file.seek(0)
    return ustar


def _once(read: Callable[[], bytes]) -> Callable[[], bytearray]:
    """Read when first asked: many tensors may be views of one storage."""
    return cache(lambda: bytearray(read()))


def _declared(kind: Any, count: Any) -> tuple[torch.dtype, int]:
    dtype = _STORAGES.get(getattr(kind, "origin", "").rpartition(".")[2])
    if dtype is None or type(count) is not int or not 0 <= count < 2**60:
        raise pickle.UnpicklingError(f"a storage of {count} values of {getattr(kind, 'origin', kind)!r}")
    return dtype, count


def _zip(archive: zipfile.ZipFile) -> Any:
    members = {m.filename: m for m in archive.infolist()}
    if any(m.file_size > max(m.compress_size * 10, 1 << 20) for m in members.values()):
        raise ValueError("a member is packed, which torch.save never does")
    first = min((n for n in members if n.rpartition("/")[2] == "data.pkl"), key=len, default=None)
    if first is None:
        raise ValueError("it is a zip without data.pkl, so not of torch.save")
    prefix = first.removesuffix("data.pkl")
    order = members.get(f"{prefix}byteorder")
    if order is not None and archive.read(order)[:16] not in (b"", b"little"):
        raise ValueError("its numbers are big-endian")

    def storage(pid: Any) -> Storage:
        dtype, count = _declared(pid[1], pid[4])
        member = members.get(f"{prefix}data/{pid[2]}")
        if member is None or member.file_size != count * dtype.itemsize:
            raise pickle.UnpicklingError(f"storage {pid[2]!r} is not there, or not of {count} values")
        if member not in storages:
            storages[member] = _once(lambda: archive.read(member))
        return Storage(dtype, count, storages[member])

    storages: dict[zipfile.ZipInfo, Callable[[], bytearray]] = {}
    return load(archive.read(first), _MAKERS, storage)


def _row(file: IO[bytes], size: int) -> Any:
    """Read a row of pickles: magic number, version, system, the object, keys of its storages; then these.

    Or one pickle.
    """
    first = load(file, _MAKERS)
    if first != _MAGIC:
        return first
    if load(file) != _PROTOCOL or not _is_little(load(file)):
        raise ValueError("its version or byte order is another")
    places: dict[Any, tuple[int, int]] = {}
    storages: dict[Any, Callable[[], bytearray]] = {}

    def storage(pid: Any) -> Any:
        if pid[0] == "module":
            return pid[1]
        (dtype, count), key, view = _declared(pid[1], pid[4]), pid[2], pid[5]
        if key not in storages:
            places[key] = (0, count * dtype.itemsize)
            storages[key] = _once(lambda: _part(file, *places[key]))
        first, number = (view[1], view[2]) if view else (0, count)
        if not 0 <= first <= first + number <= count:
            raise pickle.UnpicklingError("a view reaches beyond its storage")
        return Storage(dtype, number, storages[key], first * dtype.itemsize)

    content = load(file, _MAKERS, storage)
    for key in load(file):
        (count,) = struct.unpack("<q", file.read(8))
        start, length = file.tell(), places[key][1]
        if count < 0 or start + length > size:
            raise ValueError(f"storage {key!r} is cut short")
        places[key] = (start, length)
        file.seek(start + length)
    return content


def _is_little(system: Any) -> bool:
    return isinstance(system, dict) and system.get("little_endian") is True


def _part(file: IO[bytes], start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _tar(whole: IO[bytes], archive: tarfile.TarFile) -> Any:
    """Read the members "storages", "tensors" and "pickle"."""
    members = {name: archive.getmember(name) for name in ("storages", "tensors", "pickle")}

    def member(name: str) -> IO[bytes]:
        file = archive.extractfile(members[name])
        if file is None:
            raise ValueError(f"{name} is no file")
        return file

    objects: dict[Any, Any] = {}
    file, base = member("storages"), members["storages"].offset_data
    for _ in range(_count(load(file), members["storages"].size)):
        key, _location, kind = load(file)
        (count,) = struct.unpack("<q", file.read(8))
        dtype, count = _declared(kind, count)
        start, length = base + file.tell(), count * dtype.itemsize
        if file.tell() + length > members["storages"].size:
            raise ValueError("a storage is cut short")
        objects[key] = Storage(dtype, count, _once(partial(_part, whole, start, length)))
        file.seek(file.tell() + length)
    for key, root, first, number in load(file):
        of = objects[root]
        if not 0 <= first <= first + number <= of.count:
            raise ValueError("a view reaches beyond its storage")
        objects[key] = Storage(of.dtype, number, of.read, first * of.dtype.itemsize)
    file = member("tensors")
    for _ in range(_count(load(file), members["tensors"].size)):
        key, storage, _kind = load(file)
        (rank, _pad) = struct.unpack("<ii", file.read(8))
        numbers = struct.unpack(f"<{2 * _count(rank, 64)}q", file.read(16 * rank))
        (offset,) = struct.unpack("<q", file.read(8))
        objects[key] = _view(objects[storage], offset, numbers[:rank], numbers[rank:])
    return load(member("pickle"), _MAKERS, lambda pid: pid[0] if isinstance(pid, tuple) else objects[int(pid)])


def _count(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"it declares {value!r} entries")
    return value
