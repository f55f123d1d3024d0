"""A plan as a model repository of Triton Inference Server: ONNX graphs and engines, served without Python.

Models, for a plan called NAME:

- NAME_encoder_STREAM: snippets to features, dynamically batched.
- NAME_head: features of whole videos, [T, D] each, to activations; videos of one length are batched dynamically.
- NAME_evaluator: scores proposals, if the plan has such a graph.
- NAME: an ensemble, the snippets of one video or window to activations. Up to MAX_BATCH snippets a request.
- NAME_window: the head for streams. Triton keeps the last snippets of each sequence (implicit state), so a client sends
  one new feature a stream and gets the activations of the window.
- NAME_live: an ensemble, one new snippet to the activations of the window.

Decoding, optical flow, proposals and suppression are the client's; `tal_engine.ops` and the C library do the last two.
Facts on the server: its documentation of model configuration, implicit state and ensembles, and model_config.proto.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ExportError, UsageError, require
from ..plan.archive import Plan
from ..plan.fields import Graph, Tensor
from ..streaming.window import StreamTiming
from .pbtxt import Word, to_text
from .stateful import START, state_names, windowed

_TYPES = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8", "int32": "TYPE_INT32"}
#: A stream that sends nothing for so long is forgotten.
_IDLE_US = 60_000_000


@dataclass(frozen=True)
class Model:
    """One model of the repository: its configuration, and the files of its only version."""

    name: str
    config: dict[str, Any]
    files: Mapping[str, bytes]


def write_repository(plan: Plan, folder: Path, *, max_batch: int = 64, delay_us: int = 2000) -> list[str]:
    """Write the repository; the folder is whole or not there.

    Args:
        plan: its embedded TensorRT engines are served instead of the ONNX graphs that they were built of.
        folder: must not exist yet.
        max_batch: most snippets, or videos, in one call of a graph.
        delay_us: microseconds that a request waits for others to share a batch.

    Returns:
        Names of the models.

    Raises:
        UsageError: the folder is there already, a number makes no sense, or the plan's head is online.
    """
    online = plan.manifest.online is not None
    require(not online, f"plan {plan.manifest.name}", "of an online head", "of a head that sees windows")
    require(1 <= max_batch <= 4096, "max_batch", max_batch, "in 1..4096")
    require(0 <= delay_us <= 1_000_000, "delay_us", delay_us, "in 0..1000000")
    if folder.exists():
        raise UsageError(f"{folder}: is there already; name a folder that is not")
    folder.parent.mkdir(parents=True, exist_ok=True)
    described = list(models(plan, max_batch, delay_us))
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        whole = Path(temporary) / "repository"
        for model in described:
            _write(model, whole / model.name, plan)
        shutil.move(whole, folder)
    return [m.name for m in described]


def _write(model: Model, folder: Path, plan: Plan) -> None:
    (folder / "1").mkdir(parents=True)
    parameters = [{"key": "plan", "value": {"string_value": plan.sha256}}]
    (folder / "config.pbtxt").write_text(to_text({"name": model.name, **model.config, "parameters": parameters}))
    (folder / "labels.txt").write_text("".join(f"{n}\n" for n in plan.vocabulary))
    for file, content in model.files.items():
        (folder / "1" / file).write_bytes(content)


def models(plan: Plan, max_batch: int, delay_us: int) -> Iterator[Model]:
    """Yield the models of a plan; see the top of this file."""
    m = plan.manifest
    if m.pose_encoder is not None:
        raise ExportError(f"plan {m.name}: encoder {m.pose_encoder.name} reads poses, which no graph alone finds")
    name = re.sub(r"\W+", "_", m.name) or "plan"
    encoders = {f"{name}_encoder_{e.stream}": e.graph for e in m.graph_encoders}
    batching = {"dynamic_batching": {"max_queue_delay_microseconds": delay_us}}
    for one, graph in {**encoders, f"{name}_head": m.head}.items():
        config, files = _served(plan, graph)
        yield Model(one, config | {"max_batch_size": max_batch, **_tensors(graph)} | batching, files)
    if m.evaluator is not None:
        config, files = _served(plan, m.evaluator)
        yield Model(f"{name}_evaluator", config | {"max_batch_size": 0, **_tensors(m.evaluator, skip=0)}, files)
    yield _window(plan, f"{name}_window")
    if encoders:
        config, files = _served(plan, m.head)
        yield Model(f"{name}_whole", config | {"max_batch_size": 0, **_tensors(m.head, whole=True)}, files)
        yield _ensemble(plan, name, encoders, f"{name}_whole", batch=0)
        yield _ensemble(plan, f"{name}_live", encoders, f"{name}_window", batch=1)


def _served(plan: Plan, graph: Graph) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return how a graph is run, and its files: TensorRT engines by compute capability, or the ONNX graph."""
    engines = [e for e in plan.manifest.engines if e.graph == graph.member and e.flavour == "tensorrt"]
    if not engines:
        return {"platform": "onnxruntime_onnx"}, {"model.onnx": plan.files[graph.member]}
    by_target = {target: e for e in engines for target in e.targets}
    files = {_engine_file(target): plan.files[e.member] for target, e in by_target.items()}
    names = [{"key": _capability(target), "value": _engine_file(target)} for target in by_target]
    return {"platform": "tensorrt_plan", "cc_model_filenames": names}, files


def _engine_file(target: str) -> str:
    return f"model_{target}.plan"


def _capability(target: str) -> str:
    """Convert "sm89" to Triton's notation, 8.9."""
    digits = target.removeprefix("sm")
    return f"{digits[:-1]}.{digits[-1]}"


def _tensors(graph: Graph, *, skip: int = 1, whole: bool = False) -> dict[str, Any]:
    """Describe inputs and outputs; the first `skip` dimensions are the batch.

    whole: tensors have a batch of one that is not shown. Shapes stay [T, D] for the client, and the server adds the
    leading one.
    """
    return {
        "input": [_tensor(t, skip, whole=whole) for t in graph.inputs],
        "output": [_tensor(t, skip, whole=whole) for t in graph.outputs],
    }


def _tensor(tensor: Tensor, skip: int, *, whole: bool) -> dict[str, Any]:
    dims = [-1 if isinstance(d, str) else d for d in tensor.shape[skip:]]
    entry: dict[str, Any] = {"name": tensor.name, "data_type": Word(_TYPES[tensor.dtype]), "dims": dims}
    if whole:
        entry["reshape"] = {"shape": [1, *dims]}
    return entry


def _window(plan: Plan, name: str) -> Model:
    """Describe the head on the last snippets of each sequence, which the server keeps as its state."""
    m = plan.manifest
    longest = StreamTiming.of(m.stream, m.snippet).window
    content = windowed(plan.files[m.head.member], list(m.streams), longest)
    start = {"kind": Word("CONTROL_SEQUENCE_START"), "int32_false_true": [0, 1]}
    states = []
    for stream, dim in m.streams.items():
        before, after = state_names(stream)
        states.append({"input_name": before, "output_name": after, "data_type": Word("TYPE_FP32"), "dims": [-1, dim]})
    config = {
        "platform": "onnxruntime_onnx",
        "max_batch_size": 1,
        **_tensors(m.head),
        # One snippet a request, [D]; the graph reads [B, 1, D].
        "input": [{**_tensor(t, 2, whole=False), "reshape": {"shape": [1, m.streams[t.name]]}} for t in m.head.inputs],
        "sequence_batching": {
            "max_sequence_idle_microseconds": _IDLE_US,
            "direct": {},
            "control_input": [{"name": START, "control": [start]}],
            "state": states,
        },
    }
    return Model(name, config, {"model.onnx": content})


def _ensemble(plan: Plan, name: str, encoders: Mapping[str, Graph], head: str, *, batch: int) -> Model:
    """Describe snippets to activations: the encoders, then a head without a batch of videos or with a sequence.

    The server takes the first dimension of a model without batches for the batch of one with batches, so the snippets
    of a request go through the encoders as one batch.
    """
    m = plan.manifest
    read = {t.name: t for e in m.graph_encoders for t in e.graph.inputs}
    steps = [
        {
            "model_name": one,
            "model_version": -1,
            **_maps({t.name: t.name for t in graph.inputs}, {"feature": f"{stream}_feature"}),
        }
        for (one, graph), stream in zip(encoders.items(), (e.stream for e in m.graph_encoders), strict=True)
    ]
    given = {t.name: t.name for t in m.head.outputs}
    steps.append({"model_name": head, "model_version": -1, **_maps({s: f"{s}_feature" for s in m.streams}, given)})
    skip = 1 if batch else 0
    outputs = [_tensor(t, 1, whole=False) for t in m.head.outputs]
    config = {
        "platform": "ensemble",
        "max_batch_size": batch,
        "input": [_tensor(t, skip, whole=False) for t in read.values()],
        "output": outputs,
        "ensemble_scheduling": {"step": steps},
    }
    return Model(name, config, {})


def _maps(inputs: Mapping[str, str], outputs: Mapping[str, str]) -> dict[str, Any]:
    """Map a step's tensors to their names in the ensemble."""
    return {
        "input_map": [{"key": k, "value": v} for k, v in inputs.items()],
        "output_map": [{"key": k, "value": v} for k, v in outputs.items()],
    }
