"""The one door for NumPy files from outside (.npy, .npz): declared sizes are checked before anything is allocated.

What np.load would unpickle, overrun or inflate without end is refused here by its headers; whatever still goes wrong
becomes the caller's error with the file's name.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from .repeats import repeated
from .untrusted import MakeError, guarded

#: Kinds of dtype that are numbers: floats, signed and unsigned integers. Not bool, complex, text, dates, objects.
NUMBERS = "fiu"
#: Most bytes of arrays that one file is read into. Two I3D streams of a day of video take 1.1 GB.
ARRAY_LIMIT = 4 << 30
#: Most members of an archive.
MEMBERS_LIMIT = 100_000
#: Most bytes that a packed byte may unpack to, in members of this size and more. Features shrink by 10 at most, flow
#: by 50; only zeros shrink by 1,000.
RATIO_LIMIT, RATIO_FROM = 200, 64 << 20

_MAGIC = b"\x93NUMPY"
#: Most bytes of a header that NumPy itself reads without being asked to trust it.
_LONGEST_HEADER = 10_000
#: Packings that NumPy writes.
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def memory_limit() -> int:
    """Return how many bytes a file may be read into if its size follows its video's: half of this machine's memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return ARRAY_LIMIT


class ArrayFile:
    """An ``.npy`` or ``.npz`` file whose headers were checked; arrays are read when they are asked for.

    names: of the archive's arrays; None for an ``.npy``, which is one array without a name.
    Which of the two a file is follows from its first bytes, as for np.load.
    """

    def __init__(
        self,
        path: str | Path,
        what: str = "feature file",
        error: MakeError = FeatureError,
        *,
        limit: int = ARRAY_LIMIT,
        ratio_from: int = RATIO_FROM,
    ) -> None:
        """Open a file and check what it declares.

        Args:
            path: of the file.
            what: it should be, for messages.
            error: makes the exception from its message.
            limit: most bytes of arrays; of an ``.npy`` that is mapped and not read, none are counted.
            ratio_from: the size of members that `RATIO_LIMIT` holds for.

        Raises:
            TALError: as `error` makes it: missing, neither of the two, or it declares more than is allowed.
        """
        self.path, self._what, self._error = Path(path), what, error
        self._limit, self._ratio_from = limit, ratio_from
        self._archive: zipfile.ZipFile | None = None
        with guarded(path, what, error):
            if self.path.exists() and not self.path.is_file():
                raise ValueError("it is no regular file")  # a pipe would be waited for, and cannot be sought in
            self._file = self.path.open("rb")
            try:
                self._open()
            except BaseException:
                self.close()
                raise

    def _open(self) -> None:
        start = self._file.read(len(_MAGIC))
        self._file.seek(0)
        self.names: list[str] | None = None
        if start.startswith(b"PK"):
            self._archive = zipfile.ZipFile(self._file)
            self.names = self._members(self._archive)
        elif start != _MAGIC:
            raise ValueError("it begins neither as .npy nor as .npz; pickles are not read")

    def _members(self, archive: zipfile.ZipFile) -> list[str]:
        members = archive.infolist()
        names = [m.filename.removesuffix(".npy") for m in members]
        if len(members) > MEMBERS_LIMIT:
            raise ValueError(f"it has {len(members)} arrays, at most {MEMBERS_LIMIT} are read")
        if twice := repeated(names):
            raise ValueError(f"the name {twice[0]!r} occurs twice")
        for m in members:
            if m.flag_bits & 1 or m.compress_type not in _PACKINGS:
                raise ValueError(f"{m.filename!r} is encrypted or packed in a way that NumPy does not write")
            if m.file_size >= self._ratio_from and m.file_size > RATIO_LIMIT * m.compress_size:
                raise ValueError(
                    f"{m.filename!r} unpacks to {m.file_size} bytes, over {RATIO_LIMIT} times of what it is packed in; "
                    "save it without compression if these are its values"
                )
        if sum(m.compress_size for m in members) > self.path.stat().st_size:
            raise ValueError("its members overlap, or are larger than the file")
        self._check_total(sum(m.file_size for m in members))
        return names

    def _check_total(self, size: int) -> None:
        if size > self._limit:
            raise ValueError(f"it declares {size} bytes of arrays, at most {self._limit} are read")

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; arrays that were read stay."""
        if self._archive is not None:
            self._archive.close()
        if hasattr(self, "_file"):
            self._file.close()

    def read(self, name: str | None = None, kinds: str = NUMBERS) -> NDArray[Any]:
        """Read one array.

        Args:
            name: in the archive; None for an ``.npy``.
            kinds: of dtype that are taken (`numpy.dtype.kind`); never objects.

        Raises:
            TALError: as the file's `error` makes it: no such array, another kind, cut short or damaged.
        """
        label = self.path if name is None else f"{self.path}: array {name!r}"
        with guarded(label, self._what, self._error):
            if self._archive is None or name is None:
                if name is not None or self._archive is not None:
                    raise ValueError("it is an archive of named arrays" if name is None else "it has no named arrays")
                self._file.seek(0)
                return self._array(self._file, self.path.stat().st_size, kinds)
            member = self._member(self._archive, name)
            with self._archive.open(member) as file:
                array = self._array(file, member.file_size, kinds)
                file.read(1)  # at its end the sum of the member is checked
                return array

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the type that an array of an archive declares, without reading it.

        Raises:
            TALError: as `read`.
        """
        with guarded(f"{self.path}: array {name!r}", self._what, self._error):
            if self._archive is None:
                raise ValueError("it has no named arrays")
            with self._archive.open(self._member(self._archive, name)) as file:
                return read_header(file)[2]

    def _member(self, archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
        names = set(archive.namelist())
        if name not in (self.names or ()):
            raise ValueError(f"there is none; arrays: {', '.join(sorted(self.names or ())[:8]) or 'none'}")
        return archive.getinfo(f"{name}.npy" if f"{name}.npy" in names else name)

    def _array(self, file: IO[bytes], size: int, kinds: str) -> NDArray[Any]:
        shape, _, dtype = read_header(file)
        _check_kind(dtype, kinds)
        _check_size(shape, dtype, size - file.tell())
        self._check_total(size)
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False)
        if array.shape != shape:
            raise ValueError(f"it is {list(array.shape)} where {list(shape)} is declared")
        return array

    def map(self, kinds: str = NUMBERS) -> NDArray[Any]:
        """Map an ``.npy``, read-only: its size is checked, and nothing is read yet.

        Raises:
            TALError: as `read`.
        """
        with guarded(self.path, self._what, self._error):
            if self._archive is not None:
                raise ValueError("it is an archive of named arrays")
            self._file.seek(0)
            shape, fortran, dtype = read_header(self._file)
            _check_kind(dtype, kinds)
            offset = self._file.tell()
            _check_size(shape, dtype, self.path.stat().st_size - offset)
            if math.prod(shape) == 0:
                return np.zeros(shape, dtype)  # nothing can be mapped
            order = "F" if fortran else "C"
            return np.memmap(self._file, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)  # type: ignore[call-overload,no-any-return]


def read_arrays(
    path: str | Path,
    what: str = "feature file",
    error: MakeError = FeatureError,
    *,
    names: Collection[str] | None = None,
    texts: Collection[str] = (),
    limit: int = ARRAY_LIMIT,
    ratio_from: int = RATIO_FROM,
) -> dict[str, NDArray[Any]]:
    """Read arrays of an ``.npz`` by name.

    Args:
        path: of the file.
        what: kind of file, for messages.
        error: makes the exception from its message.
        names: the required arrays, which are read; None for all.
        texts: names of arrays that hold text; the others are numbers.
        limit: see `ArrayFile`.
        ratio_from: see `ArrayFile`.

    Raises:
        TALError: of the kind `error`: not an archive, or one of the arrays is malformed.
    """
    with ArrayFile(path, what, error, limit=limit, ratio_from=ratio_from) as file:
        if file.names is None:
            raise error(f"{path}: not a {what} (it is one array, not an archive of named ones)")
        wanted = file.names if names is None else names
        return {n: file.read(n, "U" if n in texts else NUMBERS) for n in wanted}


def as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    """Convert numbers to float32; too large ones become infinite without a warning, for the caller to find."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(array, np.float32)


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an ``.npy``; `file` is then where the data begins.

    Returns:
        Shape, whether columns come first, and dtype, as declared.

    Raises:
        ValueError: it is none, or longer than those of arrays of numbers are.
    """
    start = file.read(len(_MAGIC) + 2)
    old = start == _MAGIC + b"\x01\x00"
    if not old and start not in (_MAGIC + b"\x02\x00", _MAGIC + b"\x03\x00"):
        raise ValueError("it does not begin as .npy")
    size = file.read(2 if old else 4)
    length = int.from_bytes(size, "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"it declares a header of {length} bytes")
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    return read(io.BytesIO(size + file.read(length)))


def _check_kind(dtype: np.dtype[Any], kinds: str) -> None:
    if dtype.hasobject:
        raise ValueError("it is an array of objects, which are pickled")
    if dtype.kind not in kinds or dtype.subdtype is not None:
        names = {"f": "floats", "i": "integers", "u": "unsigned integers", "U": "text"}
        raise ValueError(f"it holds {dtype}, must be {' or '.join(names[k] for k in kinds)}")


def _check_size(shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> None:
    """Check the header against the bytes that follow it, also where a dimension of 0 makes the size 0."""
    if any(n < 0 for n in shape) or math.prod(max(n, 1) for n in shape) * max(dtype.itemsize, 1) > 2**62:
        raise ValueError(f"it declares a shape of {list(shape)}")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != size:
        raise ValueError(f"it declares {list(shape)} of {dtype}, {wanted} bytes, and has {size}")
    if wanted == 0 and max(shape, default=0) > 1 << 20:
        raise ValueError(f"it declares an empty shape of {list(shape)}")
