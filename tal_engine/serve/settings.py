"""What an operator decides of a service: where it listens, who may ask, how much it takes."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from .._util.untrusted import read_text
from ..errors import UsageError, require
from ..limits import Limits

#: Variable with the tokens that clients may use, separated by blanks.
TOKENS_VARIABLE = "TAL_SERVE_TOKENS"
#: Shorter tokens can be guessed.
SHORTEST_TOKEN = 16
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Options of a service; every queue, body and duration has a bound.

    Raises:
        UsageError: a value makes no sense, or the service would be open to a network without a token.

    >>> from tal_engine.serve.settings import ServeOptions
    >>> ServeOptions(host="0.0.0.0")
    Traceback (most recent call last):
    tal_engine.errors.UsageError: host is '0.0.0.0', must be a loopback address where there is no token...
    """

    #: A plan, and a folder of plans; without both the plan for people. The first plan is the default.
    plan: Path | None = None
    plan_dir: Path | None = None
    device: str = "auto"
    threads: int = 0
    #: Seconds for each call of a graph; 0 sets no limit.
    timeout: float = 0.0
    #: Public key that must have signed each plan.
    key: str | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    tls_cert: Path | None = None
    tls_key: Path | None = None
    #: Tokens that clients may use; none: everybody who reaches the service may use it.
    tokens: tuple[str, ...] = ()
    #: Serve a network without tokens.
    open_to_all: bool = False
    #: More names by which clients may call the service; without tokens others are refused.
    hosts: tuple[str, ...] = ()
    #: Where accepted jobs and what they need are kept.
    state: Path | None = None
    #: What requests may name as a source: prefixes of addresses, and NAME=SOURCE, which is asked for by its name.
    sources: tuple[str, ...] = ()
    #: Videos at a time. With two or more, one of them is kept free for requests that wait for their result.
    workers: int = 2
    #: Requests and jobs that wait at most.
    queue: int = 64
    #: Uploads that arrive at the same time at most, and bodies that are held in memory.
    uploads: int = 32
    max_body_mib: int = 2048
    max_spool_mib: int = 16384
    max_tensor_mib: int = 64
    #: Longest video, seconds.
    max_duration: float = 6 * 3600.0
    #: Longer videos become jobs unless the request says otherwise, seconds.
    sync_seconds: float = 60.0
    #: Longest and usual deadline of a request that waits for its result, seconds.
    deadline: float = 300.0
    #: Live streams, read and pushed; clients that listen to events; connections.
    streams: int = 16
    listeners: int = 256
    connections: int = 1000
    #: Finished jobs are kept for so long at most, and so many.
    keep_hours: float = 24.0
    keep_jobs: int = 1000
    #: Seconds that running requests and jobs get to finish when the service is told to stop.
    drain_seconds: float = 30.0
    #: Address of a Label Studio whose tasks name their videos without one, the key to fetch them, and a command that
    #: trains a plan anew.
    label_studio: str = ""
    label_studio_key: str = field(default="", repr=False)
    fit_command: str = ""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name in ("workers", "queue", "uploads", "max_body_mib", "max_spool_mib", "max_tensor_mib", "streams",
                     "listeners", "connections", "keep_jobs"):  # fmt: skip
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("max_duration", "deadline", "keep_hours"):
            require(0 < getattr(self, name) < float("inf"), name, getattr(self, name), "positive and finite")
        for name in ("sync_seconds", "drain_seconds"):
            require(0 <= getattr(self, name) < float("inf"), name, getattr(self, name), "0 or more, and finite")
        require(0 <= self.port <= 65535, "port", self.port, "in 0..65535")
        both = (self.tls_cert is None) == (self.tls_key is None)
        require(both, "tls_key", self.tls_key, "given together with tls_cert, and only with it")
        for token in self.tokens:
            ok = len(token) >= SHORTEST_TOKEN and token.isascii() and token.isprintable()
            require(ok, "a token", f"{token[:2]}...", f"at least {SHORTEST_TOKEN} printable ASCII characters")
        allowed = (
            "a loopback address where there is no token; give --token-file or TAL_SERVE_TOKENS, or --open-to-all where "
            "everybody who reaches it may use it"
        )
        require(bool(self.tokens) or self.open_to_all or is_loopback(self.host), "host", self.host, allowed)

    @property
    def host_names(self) -> frozenset[str] | None:
        """Names in the Host header that are answered; None for all. A page of another name could be anybody's."""
        if self.tokens and not self.hosts:
            return None
        if self.open_to_all and not self.hosts and not is_loopback(self.host):
            return None
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset(name.lower() for name in (*_LOOPBACK_NAMES, shown, *self.hosts))

    def state_folder(self) -> Path:
        """Return the folder of jobs: the one that was given, or one of this port in the user's state."""
        if self.state is not None:
            return self.state
        home = os.environ.get("XDG_STATE_HOME")
        return (Path(home) if home else Path.home() / ".local" / "state") / "tal_engine" / f"serve-{self.port}"


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_tokens(path: Path | None) -> tuple[str, ...]:
    """Return the tokens in a file, one a line, and those of `TOKENS_VARIABLE`.

    Args:
        path: the file; empty lines and lines that begin with # do not count.

    Raises:
        UsageError: the file cannot be read, or has no token.
    """
    found = os.environ.get(TOKENS_VARIABLE, "").split()
    if path is not None:
        lines = [line.strip() for line in read_text(path, "file of tokens", UsageError, 1 << 20).splitlines()]
        tokens = [line for line in lines if line and not line.startswith("#")]
        if not tokens:
            raise UsageError(f"{path}: no token, must have one on a line")
        found += tokens
    return tuple(dict.fromkeys(found))
