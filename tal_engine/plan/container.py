"""The zip around a plan's files, read in the one form that plans are written in.

Zip readers disagree about files that are not quite regular: which of two entries of one name counts, whether the local
or the central header is right, where the archive begins. A plan that two tools read differently could be inspected as
one thing and run as another, so everything beyond the plain form is refused: members stored one after the other from
the first byte, headers that agree, then the central directory and its end record, and nothing else.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence

from .._util.repeats import repeated
from ..errors import PlanError, PlanFault

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL_SIZE = 46
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
#: A field that holds this is continued in the zip64 records, which files beyond 2 GiB have.
_IN_64 = 0xFFFFFFFF
#: General purpose flags: none, or "the name is UTF-8".
_FLAGS = (0, 0x800)


class PlanZip:
    """The members of a plan's zip, in order, structure verified.

    Raises:
        PlanError: `NOT_A_PLAN`, naming the irregularity.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._name = name
        #: Where the content of each member begins, and its size.
        self.places: dict[str, tuple[int, int]] = {}
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as e:
            raise self._irregular(f"the zip structure is broken ({e})") from e
        infos = self._archive.infolist()
        twice = repeated(info.filename for info in infos)
        if twice:
            raise self._irregular(f"member {twice[0]!r} is in the zip more than once")
        try:
            end = self._members_end(data, infos)
            self._check_directory(data, infos, end)
        except (struct.error, UnicodeError) as e:
            raise self._irregular(f"the zip structure is broken ({e})") from e
        self.names = [info.filename for info in infos]

    def read(self, member: str) -> bytes:
        """Read a member, checked against its CRC.

        Raises:
            PlanError: it is damaged.
        """
        try:
            return self._archive.read(member)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError, RuntimeError) as e:
            raise PlanError(PlanFault.WRONG_HASH, f"{self._name}: member {member!r} is damaged ({e})") from e

    def _irregular(self, what: str) -> PlanError:
        return PlanError(PlanFault.NOT_A_PLAN, f"{self._name}: not a plan, {what}")

    def _members_end(self, data: bytes, infos: Sequence[zipfile.ZipInfo]) -> int:
        """Return where the last member ends, checking every member on the way."""
        at = 0
        for info in infos:
            if info.header_offset != at:
                what = "bytes that belong to no member" if info.header_offset > at else "members that overlap"
                raise self._irregular(f"the zip holds {what} at byte {at} (before member {info.filename!r})")
            at = self._checked_member(data, info, at)
            self.places[info.filename] = at - info.file_size, info.file_size
        return at

    def _checked_member(self, data: bytes, info: zipfile.ZipInfo, at: int) -> int:
        """Compare a local header with the central one; where the member ends."""
        signature, version, flags, method, time, date, crc, packed, size, name_size, extra_size = _LOCAL.unpack_from(
            data, at
        )
        begin = at + _LOCAL.size + name_size
        extra = data[begin : begin + extra_size]
        if method != zipfile.ZIP_STORED or info.compress_type != zipfile.ZIP_STORED:
            # A compressed member could grow without bounds before its hash is looked at.
            raise self._irregular(f"member {info.filename!r} is compressed")
        if _is_zip64(extra, 16) and packed == size == _IN_64:
            size, packed = struct.unpack("<2Q", extra[4:])
            extra = b""
        central_extra = b"" if info.extra[:2] == b"\x01\x00" else info.extra
        local = (version, flags, method, time, date, crc, packed, size, data[at + _LOCAL.size : begin])
        encoded = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
        central = (info.extract_version, info.flag_bits, info.compress_type, *_dos_time(info.date_time), info.CRC,
                   info.compress_size, info.file_size, encoded)  # fmt: skip
        if signature != b"PK\x03\x04" or local != central:
            raise self._irregular(f"the two headers of member {info.filename!r} disagree")
        if flags not in _FLAGS or packed != size or extra or central_extra or info.comment:
            raise self._irregular(
                f"member {info.filename!r} has flags, extra fields or a comment that plans do not use"
            )
        return int(begin + extra_size + size)

    def _check_directory(self, data: bytes, infos: Sequence[zipfile.ZipInfo], start: int) -> None:
        """Check that the central directory follows the members and holds them alone, and ends the file."""
        at = len(data) - _END.size
        signature, disk, first, here, total, size, offset, comment = _END.unpack_from(data, at)
        if signature != b"PK\x05\x06" or comment:
            raise self._irregular("there are bytes after the end of the zip, or it has a comment")
        if data[at - _LOCATOR_64.size : at].startswith(b"PK\x06\x07"):
            locator = _LOCATOR_64.unpack_from(data, at - _LOCATOR_64.size)
            at -= _LOCATOR_64.size + _END_64.size
            record = _END_64.unpack_from(data, at)
            same = (min(record[8], _IN_64), min(record[9], _IN_64)) == (size, offset)
            if record[:2] != (b"PK\x06\x06", _END_64.size - 12) or locator[1:] != (0, at, 1) or not same:
                raise self._irregular("its zip64 records are irregular")
            disk, first, here, total, size, offset = record[4:]
        entries = sum(_CENTRAL_SIZE + len(i.orig_filename.encode()) + len(i.extra) for i in infos)
        if (disk, first, here, total, offset, size) != (0, 0, len(infos), len(infos), start, entries):
            raise self._irregular("its zip directory does not cover exactly the members that are in the file")
        if offset + size != at:
            raise self._irregular("there are bytes between the zip directory and its end record")


def _is_zip64(extra: bytes, size: int) -> bool:
    return len(extra) == size + 4 and struct.unpack_from("<2H", extra) == (1, size)


def _dos_time(moment: tuple[int, int, int, int, int, int]) -> tuple[int, int]:
    """Encode a moment as in zip headers: time, date."""
    year, month, day, hour, minute, second = moment
    return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day
