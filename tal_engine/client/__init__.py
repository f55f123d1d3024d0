"""Clients of a service (`tal serve`): `Client` blocks, `AsyncClient` is for event loops (extra ``client``)."""

from .._util.extras import need

need("httpx")  # a clear error comes before that of the import

from .async_client import AsyncClient  # noqa: E402
from .blocking_client import Client  # noqa: E402
from .calls import JobStatus, ServedEvent  # noqa: E402

__all__ = ["AsyncClient", "Client", "JobStatus", "ServedEvent"]
