"""Predictions as another program has them: a file, or the suggestions of a `tal studio` that runs."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from ...errors import DataError, UsageError

T = TypeVar("T")

#: Where a studio has its suggestions, and how long one may take to answer, seconds.
_PATH, _PATIENCE_S = "/api/suggestions.csv", 60.0
#: The token of a studio, where it shall not stand in a command.
TOKEN = "TAL_STUDIO_TOKEN"  # noqa: S105 - the name of a variable


def read_served(results: str, read: Callable[[Path], T]) -> T:
    """Read predictions from a file, or from the studio that an address is of.

    Args:
        results: a path, or the address that `tal studio` prints; its token is in it, or in $TAL_STUDIO_TOKEN.
        read: given a file.

    Raises:
        UsageError: the studio wants a token, and this is none.
        DataError: it does not answer, or has no suggestions.
    """
    parts = urlsplit(results)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return read(Path(results))
    token = parse_qs(parts.query).get("token", [os.environ.get(TOKEN, "")])[0]
    where = f"{parts.scheme}://{parts.netloc}"
    asked = urllib.request.Request(where + _PATH, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - http alone
    with TemporaryDirectory() as folder:
        path = Path(folder, "suggestions.csv")
        try:
            with urllib.request.urlopen(asked, timeout=_PATIENCE_S) as answer, path.open("wb") as file:  # noqa: S310
                shutil.copyfileobj(answer, file)
        except urllib.error.HTTPError as e:
            if e.code in (401, 403):
                raise UsageError(f"{where}: wants its token: give the whole address that tal studio prints") from e
            raise DataError(f"{where}: has no suggestions to give (status {e.code})") from e
        except OSError as e:
            raise DataError(f"{where}: no studio answers there ({getattr(e, 'reason', None) or e})") from e
        return read(path)
