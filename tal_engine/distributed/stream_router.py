"""Which replica of a service gets a request: for all that is about one stream, the one that has it.

Loaded by Ray Serve's proxies, so unlike its neighbours it imports Ray. Names are hashed onto the replicas, so that
every proxy finds the same one without asking; when replicas come or go, only names of theirs move.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

_STREAM = re.compile(r"/v1/streams/([^/]+)")


class StreamRouter(ConsistentHashRouter):
    """Sends a request to the replica of its ``X-Session-Id``, else of the stream in its path, else to any."""

    def initialize_state(self, **kwargs: Any) -> None:
        """Never fall back to another replica, which would not know the stream."""
        super().initialize_state(num_fallback_replicas=0, **kwargs)

    def _routing_key(self, pending_request: Any) -> str | None:
        if pending_request is not None:
            about = pending_request.metadata
            if about.is_http_request and not about.session_id and isinstance(pending_request.args[0], bytes):
                # The proxy's own request, which it has pickled a moment ago, in this process.
                name = stream_in(pickle.loads(pending_request.args[0]).asgi_scope)  # noqa: S301
                if name:
                    return name
        key: str | None = super()._routing_key(pending_request)
        return key


def stream_in(scope: Mapping[str, Any]) -> str:
    """Return the name of the stream that an ASGI request is about; "" if it says none."""
    path = str(scope.get("path", ""))
    match = _STREAM.search(path)
    if match is not None:
        return match[1]
    if not path.endswith("/v1/push"):
        return ""
    return parse_qs(bytes(scope.get("query_string", b"")).decode("latin-1")).get("name", [""])[0]
