"""Which engine a graph gets on a card: one that its plan brings, one of the cache, or one that is built now."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from ..._util.files import cache_folder
from ...errors import BackendError, MissingExtraError
from ...plan.fields import EngineRecord, Graph
from ..cuda import CudaDevice, Device
from ..engine_cache import Engine, EngineCache, cache_key, is_intact, read_blob, write_blob
from ..profile import Profile, describe, profile_of
from ..protocol import Backend
from .builder import build
from .edition import Flavour, load_flavour, this_platform
from .runner import TensorRTBackend

log = logging.getLogger("tal_engine")


def open_tensorrt(content: bytes, graph: Graph, device: str, engines: Sequence[Engine] = ()) -> Backend:
    """Load a graph on TensorRT or TensorRT-RTX.

    Args:
        content: the ONNX file.
        graph: what the manifest says of it.
        device: "tensorrt", "tensorrt-rtx", each with ":N" for another card than the first.
        engines: those that the plan brings.

    Raises:
        BackendError: the library, the driver or the card is not there, or the graph cannot be built for the card.
    """
    name, _, index = device.partition(":")
    try:
        flavour, card = load_flavour(name), CudaDevice(int(index or 0))
    except (BackendError, MissingExtraError) as e:
        raise BackendError(f"{device} was asked for: {e}") from e
    record, engine = fitting(content, graph, flavour, card, engines)
    kept = cache_folder() / "runtime" / f"{record.sha256[:32]}-{card.target}.cache"
    return TensorRTBackend(flavour, engine, record, graph, card, kept)


def fitting(content: bytes, graph: Graph, flavour: Flavour, card: Device, engines: Sequence[Engine]) -> Engine:
    """Return an intact engine of this graph for this GPU: the plan's, else the cache's, else a new one."""
    digest = hashlib.sha256(content).hexdigest()
    for record, engine in engines:
        why = incompatibility(record, digest, flavour, card.target)
        if why is None and is_intact(engine, record):
            return record, engine
        if record.graph == graph.member:
            log.info("%s: not used, %s", record.member, why or "its hash is wrong")
    cache = EngineCache()
    # Any profile will do, and the last one is what somebody asked for: `tal plan build` leaves its engines there.
    cached = cache.newest(lambda record: incompatibility(record, digest, flavour, card.target) is None)
    if cached is not None:
        return cached
    log.warning(
        "%s: there is no engine for %s yet; %s builds one, which can take minutes (tal plan build does it ahead)",
        graph.member, card.target, flavour.title,
    )  # fmt: skip
    return cached_engine(flavour, content, graph, profile_of(graph, {}), [card.target], cache, device=card)


def incompatibility(record: EngineRecord, digest: str, flavour: Flavour, target: str) -> str | None:
    """Explain why an engine cannot run a graph with this hash here; None if it can."""
    if record.graph_sha256 != digest:
        return f"it was built from another graph ({record.graph})"
    if record.flavour != flavour.name:
        return f"it is of {record.flavour}, not {flavour.name}"
    if record.version != flavour.version:
        return f"it was built by version {record.version}, installed is {flavour.version}"
    if target not in record.targets:
        return f"it was built for {', '.join(record.targets)}, the card is {target}"
    if record.platform != this_platform():
        return f"it was built on {record.platform}, this is {this_platform()}"
    return None


def cached_engine(
    flavour: Flavour,
    content: bytes,
    graph: Graph,
    profile: Profile,
    targets: Sequence[str],
    cache: EngineCache,
    *,
    timing_cache: Path | None = None,
    device: Device | None = None,
) -> Engine:
    """Return an engine of the cache, building it if needed; processes that ask at once wait for one build."""

    def make() -> Engine:
        timing = timing_cache or cache_folder() / "timing" / f"{flavour.name}-{flavour.version}-{targets[0]}.cache"
        kept = read_blob(timing) if flavour.has_timing_cache else b""
        built = build(flavour, content, graph, profile, targets, timing=kept, device=device)
        if built.timing:
            write_blob(timing, built.timing)
        seconds = built.record.build_seconds
        log.info("%s: built with %s in %.1f s", built.record.member, describe(profile), seconds)
        return built.record, built.engine

    key = cache_key(content, flavour.name, flavour.version, targets, this_platform(), profile)
    return cache.get(key, make)
