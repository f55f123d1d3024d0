"""Builds an engine from a graph, for TensorRT and TensorRT-RTX alike, and records what came out.

Networks are strongly typed: precision lives in the graph, with its casts, so every version of the library agrees on it.
Knows nothing of where engines are kept and of how they run.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import BackendError
from ...plan.fields import EngineRecord, Graph
from ..cuda import Device
from ..profile import Profile, describe, shapes_of
from .edition import Flavour, check_targets, log, make_logger, this_platform
from .inspector import Io, Listing, check_io, read_builder, read_inspector
from .widen import widen_bytes

#: Types narrower than float32 that a graph can ask for, by the library's names, and our words for them.
_NARROW = {"HALF": "fp16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}


@dataclass(frozen=True)
class Built:
    """An engine, its record, and the timing cache that it leaves (empty where the flavour has none)."""

    engine: bytes
    record: EngineRecord
    timing: bytes = b""


def build(
    flavour: Flavour,
    content: bytes,
    graph: Graph,
    profile: Profile,
    targets: Sequence[str] = (),
    *,
    timing: bytes = b"",
    device: Device | None = None,
) -> Built:
    """Compile a graph.

    Args:
        flavour: the library.
        content: the ONNX file.
        graph: what the manifest says of it: names, types and shapes.
        profile: sizes of each of its free dimensions.
        targets: compute capabilities, such as "sm89"; TensorRT-RTX builds for any without a card, TensorRT only for
            the one at hand, which is also the default.
        timing: the timing cache of an earlier build; one of another card or version is not used.
        device: this machine's card.

    Raises:
        BackendError: the graph cannot be compiled for these targets; parser errors name the nodes. Or the engine is
            not what was asked: other names, shapes or profile, or none of its layers in the precision of the graph.
        UsageError: a target that this flavour does not know.
    """
    targets = check_targets(flavour, targets, device.target if device is not None else None)
    if device is not None:
        device.use()
    began = time.perf_counter()
    logger = make_logger(flavour.module, "VERBOSE")
    builder, network, parser = _network(flavour, content, graph, logger)
    config = _config(flavour, builder, targets)
    _set_profile(builder, config, network, graph, profile)
    cache = _set_timing(flavour, config, timing)
    where = f"{graph.member}: {flavour.title} for {', '.join(targets)}"
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise BackendError(f"{where} cannot build it with {describe(profile)}: {logger.complaints()}")
    engine, seconds = bytes(serialized), time.perf_counter() - began
    listing = _inspect(flavour, engine, logger, targets, device)
    if listing.io:
        check_io(listing.io, graph, profile)
    _check_precision(where, {_NARROW[n] for n in _types(network) if n in _NARROW}, listing.layers)
    record = _record(flavour, content, graph, profile, targets, engine, listing.layers, seconds)
    del parser  # it owns the weights that the network reads while it is built
    return Built(engine, record, bytes(cache.serialize()) if cache is not None else b"")


def _record(
    flavour: Flavour,
    content: bytes,
    graph: Graph,
    profile: Profile,
    targets: list[str],
    engine: bytes,
    layers: dict[str, int],
    seconds: float,
) -> EngineRecord:
    return EngineRecord(
        member=member_of(graph.member, flavour, targets),
        graph=graph.member,
        graph_sha256=hashlib.sha256(content).hexdigest(),
        flavour=flavour.name,
        version=flavour.version,
        targets=targets,
        platform=this_platform(),
        profile=profile,
        layers=layers,
        bytes=len(engine),
        sha256=hashlib.sha256(engine).hexdigest(),
        build_seconds=round(seconds, 3),
    )


def member_of(graph: str, flavour: Flavour, targets: Sequence[str]) -> str:
    """Name of an engine's file: "head.tensorrt-rtx.sm89.engine"."""
    return f"{graph.removesuffix('.onnx')}.{flavour.name}.{'-'.join(targets)}.engine"


def _network(flavour: Flavour, content: bytes, graph: Graph, logger: Any) -> tuple[Any, Any, Any]:
    """Create a builder, the graph as its network, and the parser, which has to live as long."""
    trt = flavour.module
    try:
        content = widen_bytes(content)
    except ValueError as e:
        raise BackendError(f"{graph.member}: is not an ONNX graph ({e})") from e
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(content):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        parts = [f"{e.node_name() or 'the graph'} ({e.node_operator() or 'no operator'}): {e.desc()}" for e in errors]
        raise BackendError(f"{graph.member}: the parser refuses {'; '.join(parts) or 'it and does not say why'}")
    return builder, network, parser


def _config(flavour: Flavour, builder: Any, targets: Sequence[str]) -> Any:
    trt, config = flavour.module, builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # precision lives in the graph
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    named = [t for t in targets if t in flavour.targets]
    if named:
        config.num_compute_capabilities = len(named)
        for i, target in enumerate(named):
            config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), i)
    return config


def _set_profile(builder: Any, config: Any, network: Any, graph: Graph, profile: Profile) -> None:
    """Add one profile, by the dimension names of the manifest; those of the ONNX file may be generated."""
    inputs = {network.get_input(i).name: network.get_input(i) for i in range(network.num_inputs)}
    if set(inputs) != {t.name for t in graph.inputs}:
        raise BackendError(f"{graph.member}: reads {sorted(inputs)}, manifest says {[t.name for t in graph.inputs]}")
    shapes = builder.create_optimization_profile()
    for tensor in graph.inputs:
        if len(inputs[tensor.name].shape) != len(tensor.shape):
            raise BackendError(
                f"{graph.member}: {tensor.name} is {list(inputs[tensor.name].shape)}, manifest says {tensor.shape}"
            )
        shapes.set_shape(tensor.name, *shapes_of(tensor, profile))
    config.add_optimization_profile(shapes)


def _set_timing(flavour: Flavour, config: Any, timing: bytes) -> Any:
    """Load the timing cache that the build reads and extends; None where the edition has none."""
    if not flavour.has_timing_cache:
        return None
    with warnings.catch_warnings():  # deprecated in some versions, and without a successor there
        warnings.simplefilter("ignore", DeprecationWarning)
        cache = config.create_timing_cache(timing)
        if not config.set_timing_cache(cache, False):
            log.warning("the timing cache is of another card or version of %s; starting a new one", flavour.title)
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, False)
    return cache


def _inspect(flavour: Flavour, engine: bytes, logger: Any, targets: Sequence[str], device: Device | None) -> Listing:
    """List what the engine contains: loaded where this machine's GPU can, else from the builder's messages."""
    if device is not None and device.target in targets:
        trt = flavour.module
        runtime = trt.Runtime(logger)
        loaded = runtime.deserialize_cuda_engine(engine)
        if loaded is None:
            raise BackendError(f"the engine does not load on the card it was built for: {logger.complaints()}")
        text = loaded.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
        return Listing(read_inspector(text), engine_io(trt, loaded))
    listing = read_builder(message for _, message in logger.lines)
    if listing is None:
        log.warning("%s does not list the layers it built; what precision they have is not known", flavour.title)
    return listing or Listing()


def engine_io(trt: Any, engine: Any) -> list[Io]:
    """List the inputs and outputs of a loaded engine."""
    tensors = []
    for i in range(engine.num_io_tensors):
        name = engine.get_tensor_name(i)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        profile = tuple(tuple(s) for s in engine.get_tensor_profile_shape(name, 0)) if is_input else ()
        dtype = str(trt.nptype(engine.get_tensor_dtype(name)).__name__)
        tensors.append(Io(name, is_input, dtype, tuple(engine.get_tensor_shape(name)), profile))
    return tensors


def _types(network: Any) -> Iterator[str]:
    """Yield the type names of all outputs of the network's layers."""
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        for k in range(layer.num_outputs):
            yield layer.get_output(k).dtype.name


def _check_precision(where: str, wanted: set[str], layers: dict[str, int]) -> None:
    """Check that the precisions of the graph are in the engine."""
    lost = sorted(p for p in wanted if layers and p not in layers)
    if lost:
        raise BackendError(f"{where}: the graph asks for {', '.join(lost)}, no layer of the engine has it: {layers}")
