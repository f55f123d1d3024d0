"""Videos behind addresses, read through fsspec: http(s), s3, gs and whatever else it has a file system for.

Bytes are fetched as the decoder asks for them; nothing is stored. Passwords and tokens of an address reach no name, log
or error.
"""

from __future__ import annotations

import errno
import http
from contextlib import suppress
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import av

from .._util.extras import need
from .._util.names import PLAYLIST_SUFFIXES, ending
from .._util.opening import LIVE_SCHEMES, open_stream, scheme_of
from .._util.redaction import redact
from ..errors import MissingExtraError, UsageError, VideoError, VideoFault
from .decode import finite, open_file
from .source import VideoSource

#: Bytes that are fetched at a time.
_BLOCK = 4 << 20
#: Seconds that a connection, and each next piece, is waited for.
_CONNECT_S, _READ_S = 10.0, 30.0
_HTTP = frozenset(["http", "https"])
#: Schemes of files of this machine.
_LOCAL = frozenset(["file", "local"])
#: What fsspec calls file systems that only show another one: an address alone does not say which.
_WRAPPERS = frozenset([
    "async_wrapper", "asynclocal", "asyncwrapper", "blockcache", "cached", "data", "dir", "filecache", "generic",
    "libarchive", "reference", "simplecache", "tar", "zip",
])  # fmt: skip
#: Packages of fsspec's file systems, for a message; others are named by fsspec itself.
_PACKAGES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}


def open_address(address: str) -> VideoSource:
    """Open the video file behind an address.

    Raises:
        UsageError: an address of a live source or a playlist, or of a scheme that is not known.
        MissingExtraError: fsspec, or its file system for this scheme, is not installed.
        VideoError: missing, not to be reached, or not a video.
    """
    check_address(address)
    scheme, shown = scheme_of(address), redact(address)
    if scheme in _LOCAL:
        return open_file(_local_path(address, shown))
    file = _Fetched(_fetch(address, scheme, shown))
    try:
        video = finite(shown, open_stream(file, shown))  # type: ignore[arg-type]
    except BaseException:
        file.close()
        raise
    release = video.release

    def close() -> None:
        release()
        file.close()

    video.release = close
    return video


def check_address(address: str) -> None:
    """Refuse an address whose scheme says that no file can be read from it; nothing is connected.

    Raises:
        UsageError: an address of a live source or a playlist, or of a scheme that is not known.
    """
    scheme, shown = scheme_of(address), redact(address)
    if scheme in _LOCAL:
        return
    if scheme in LIVE_SCHEMES and scheme not in _HTTP:
        raise UsageError(f"{shown}: is a live source; tal stream reads it, or engine.watch([address])")
    if ending(urlsplit(address).path).lower() in PLAYLIST_SUFFIXES:
        raise UsageError(f"{shown}: is a playlist; tal stream reads it, or engine.watch([address])")
    if not is_known(scheme):
        raise UsageError(f"{shown}: {scheme}:// is not read; http, https, s3 and gs are, and what else fsspec has")


def is_known(scheme: str) -> bool:
    """Return whether files of this scheme can be read, given the packages that are installed."""
    if scheme in _LOCAL or scheme in _PACKAGES:
        return True
    try:
        return scheme not in _WRAPPERS and scheme in need("fsspec").available_protocols()
    except MissingExtraError:
        return False


def _local_path(address: str, shown: str) -> str:
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise UsageError(f"{shown}: names the machine {parts.netloc!r}; a file of this one is file:///PATH")
    return unquote(parts.path)


def _fetch(address: str, scheme: str, shown: str) -> IO[bytes]:
    """Open the remote file for reading."""
    fsspec = need("fsspec")
    settings: dict[str, Any] = {}
    try:
        if scheme in _HTTP:
            limits = need("aiohttp").ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S)
            settings = {"client_kwargs": {"timeout": limits}}
        system, path = fsspec.core.url_to_fs(address, **settings)
        opened: IO[bytes] = system.open(path, "rb", block_size=_BLOCK)
    except FileNotFoundError as e:
        cause = e.__cause__ if scheme in _HTTP else None  # fsspec says "not found" of all that goes wrong there
        absent = cause is None or getattr(cause, "status", None) == http.HTTPStatus.NOT_FOUND
        reason = "no such file" if absent or cause is None else f"cannot be reached ({_said(cause)})"
        raise VideoError(VideoFault.MISSING, f"{shown}: {reason}").missing(shown) from None
    except MissingExtraError:
        raise
    except ImportError as e:
        raise missing_file_system(scheme, shown, e) from None
    except Exception as e:  # each file system has errors of its own
        raise VideoError(VideoFault.MISSING, f"{shown}: cannot be reached ({_said(e)})") from None
    return opened


def missing_file_system(scheme: str, shown: str, e: ImportError) -> MissingExtraError:
    """Create the error for a scheme whose file system fsspec knows and nobody installed.

    Args:
        scheme: of the address.
        shown: the address, without passwords.
        e: what fsspec said.
    """
    package = f"pip install {_PACKAGES[scheme]}" if scheme in _PACKAGES else redact(str(e))
    return MissingExtraError(f"{shown}: fsspec's file system for {scheme}:// is not installed: {package}")


class _Fetched:
    """A remote file whose errors are FFmpeg's: what was read before counts, as with a file that breaks off."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except Exception as e:
            raise av.error.FFmpegError(errno.EIO, f"the connection was lost: {_said(e)}") from None

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        with suppress(Exception):
            self._file.close()


def _said(e: BaseException) -> str:
    """Format an error in one line without passwords; errors without text are named by their type."""
    status = getattr(e, "status", None)
    text = f"HTTP status {status}" if status else " ".join(str(e).split())
    return redact(text)[:300] or type(e).__name__
