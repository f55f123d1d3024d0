"""Into a Ray cluster and out of it: the one of an address, one of this machine, or the one that is already joined."""

from __future__ import annotations

import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .._util.extras import need
from ..errors import BackendError, UsageError, require

#: What an address may be besides HOST:PORT.
LOCAL, AUTO = "local", "auto"
#: Bytes of a local cluster's object store: addresses and segments pass through it, no pictures.
_STORE_BYTES = 256 << 20
#: How HTTP/2 begins, which a head speaks (gRPC): the client's first words, and a frame of settings without any.
_FRAME = b"\0\0\0\4\0\0\0\0\0"
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _FRAME
#: Seconds for the answer of a cluster's head.
_PATIENCE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Where Ray is, and what of it a worker takes.

    address: "local" starts a cluster of this machine's cores and ends it again; "auto" finds the one that this machine
    is a node of; HOST:PORT is the head of one. gpus: of each worker, a fraction shares one; None: 1 where the device is
    a GPU, else 0. split: videos longer than this, in seconds, are encoded in parts by several workers; 0: none.

    >>> from tal_engine.distributed import RayOptions
    >>> RayOptions(gpus=-1)
    Traceback (most recent call last):
    tal_engine.errors.UsageError: gpus is -1, must be 0 or more
    """

    address: str = LOCAL
    gpus: float | None = None
    split: float = 0.0

    def __post_init__(self) -> None:
        require(self.gpus is None or 0 <= self.gpus < float("inf"), "gpus", self.gpus, "0 or more")
        require(0 <= self.split < float("inf"), "split", self.split, "0 or more seconds")
        if self.address.startswith("ray://"):
            raise UsageError(
                f"the Ray address {self.address} is of a remote client, which Ray Data does not work through: run the "
                "command on a node of the cluster, by `ray job submit -- tal batch ... --ray auto`"
            )

    def gpus_for(self, device: str) -> float:
        """Return the GPUs of a worker on such a device."""
        if self.gpus is not None:
            return self.gpus
        return 0.0 if device in ("auto", "cpu") else 1.0


@contextmanager
def joined(address: str = LOCAL) -> Iterator[Any]:
    """Join a cluster for the time of a ``with`` block; one that the program has joined before is used, and kept.

    Args:
        address: see `RayOptions`.

    Yields:
        The module ``ray``.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: no cluster answers at the address.
    """
    need("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    with warnings.catch_warnings():  # of Ray's about itself
        warnings.simplefilter("ignore")
        ray = need("ray")
        need("ray.data")
    if ray.is_initialized():
        yield ray
        return
    _check(address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        options |= {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as e:
        raise UsageError(f"Ray at {address!r} cannot be joined ({str(e).splitlines()[0]})") from e
    try:
        yield ray
    finally:
        ray.shutdown()


def _check(address: str) -> None:
    """Refuse an address where no head answers: Ray itself would wait for minutes, or end the process."""
    if address in (LOCAL, AUTO):
        return
    match = re.fullmatch(r"(.+):(\d{1,5})", address)
    if match is None or int(match[2]) > 65535:
        raise UsageError(f"the Ray address is {address!r}, must be local, auto or HOST:PORT of a cluster's head")
    try:
        with socket.create_connection((match[1].strip("[]"), int(match[2])), _PATIENCE_S) as head:
            head.sendall(_HELLO)
            answer = head.recv(len(_FRAME))
    except OSError as e:
        raise UsageError(f"no Ray cluster answers at {address} ({e.strerror or e})") from e
    if answer[3:4] != _FRAME[3:4] and os.environ.get("RAY_USE_TLS", "0") != "1":
        raise UsageError(f"what answers at {address} is no Ray cluster's head: `ray status` on a node says its address")


@contextmanager
def quiet_data() -> Iterator[Any]:
    """Give Ray Data's context without its bars and lines, which are the program's to show."""
    log = logging.getLogger("ray.data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = need("ray.data").DataContext.get_current()
    before = log.level, context.enable_progress_bars
    log.setLevel(logging.ERROR)
    context.enable_progress_bars = False
    try:
        yield context
    finally:
        log.setLevel(before[0])
        context.enable_progress_bars = before[1]


def ended(e: BaseException) -> BackendError:
    """Return the error of a run that Ray ended, with the last line of what Ray said."""
    lines = [line for line in str(e).splitlines() if line.strip()]
    return BackendError(f"Ray ended the run: {lines[-1] if lines else type(e).__name__}")
