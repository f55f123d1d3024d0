"""Videos behind allowed addresses, fetched before they are localized: within the limits of uploads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from .._util.redaction import redact
from .problems import ProblemError
from .spool import Spool

_PIECE = 1 << 20
_LIMITS = httpx.Timeout(30.0, connect=10.0)


def fetch(
    url: str,
    spool: Spool,
    limit: int,
    check: Callable[[], None],
    headers: Mapping[str, str] | None = None,
) -> Path:
    """Fetch a file; nothing is left of one that breaks off.

    Redirects are not followed: they would lead to addresses that nobody allowed.

    Args:
        url: http or https.
        spool: where the file goes.
        limit: its most bytes.
        check: called with each piece; what it raises ends the fetching.
        headers: of the request.

    Raises:
        ProblemError: it cannot be fetched, or is too large.
    """
    shown, path = redact(url), spool.new_path(urlsplit(url).path)
    if urlsplit(url).scheme.lower() not in ("http", "https"):
        raise ProblemError("invalid-request", f"{shown}: must be http:// or https://; live sources: POST /v1/streams")
    asked = {"Accept-Encoding": "identity", **(headers or {})}
    written = 0
    try:
        with httpx.stream("GET", url, headers=asked, timeout=_LIMITS, follow_redirects=False) as response:
            if response.status_code != 200:
                said = "a redirect, which is not followed" if response.is_redirect else f"HTTP {response.status_code}"
                raise ProblemError("source-unavailable", f"{shown}: {said}")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise ProblemError("source-unavailable", f"{shown}: its content is compressed, must not be")
            for piece in response.iter_raw(_PIECE):
                check()
                written += len(piece)
                if written > limit:
                    raise ProblemError("too-large", f"{shown}: is larger than {limit >> 20} MiB")
                spool.write_piece(path, piece)
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        spool.remove(path)
        raise ProblemError(
            "source-unavailable", f"{shown}: cannot be fetched ({redact(str(e)) or type(e).__name__})"
        ) from e
    except BaseException:
        spool.remove(path)
        raise
    if not written:
        raise ProblemError("bad-video", f"{shown}: is empty")
    return spool.by_content(path)
