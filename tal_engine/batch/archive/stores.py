"""File systems of stores, and what is told where one is not known, not installed or not reached."""

from __future__ import annotations

from typing import Any

from ..._util.extras import need
from ..._util.opening import scheme_of
from ..._util.redaction import redact
from ...errors import SinkError, UsageError
from ...video.remote import missing_file_system


def open_store(address: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address or a folder, and the path in it.

    Raises:
        MissingExtraError: fsspec, or its file system for this scheme, is not installed.
        UsageError: a scheme that fsspec does not have.
        SinkError: it cannot be reached.
    """
    core, shown, scheme = need("fsspec").core, redact(address), scheme_of(address)
    try:
        fs, path = core.url_to_fs(address)
    except ImportError as e:
        raise missing_file_system(scheme, shown, e) from None
    except ValueError:
        raise UsageError(f"{shown}: {scheme}:// is not known; s3, gs and what else fsspec has are") from None
    except Exception as e:  # each file system has errors of its own
        raise SinkError(f"{shown}: cannot be reached ({redact(str(e))})") from e
    return fs, path
