"""What ONNX Runtime's TensorRT provider is told: where engines are cached, which sizes they serve.

Knows the options; sessions are opened in `ort_gpu`.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

from .._util.files import cache_folder
from ..errors import BackendError
from ..plan.fields import Graph
from .profile import Profile, shapes_of
from .protocol import DeviceName, RunOptions

log = logging.getLogger("tal_engine")

#: Least, best and largest size of each dimension that a plan's graphs leave free: videos in a batch, snippets.
PROFILE: Profile = {"B": (1, 1, 32), "T": (1, 320, 4096)}


class TensorRTSettings:
    """Options of the provider for one graph, and what its engine can take."""

    def __init__(
        self, graph: bytes, name: str, device: DeviceName, options: RunOptions, spec: Graph | None = None
    ) -> None:
        self._name = name
        self._inputs = {t.name: t for t in spec.inputs} if spec is not None else {}
        profile = PROFILE | ({"B": (1, options.rows, options.rows)} if options.rows else {})
        free = {d for t in self._inputs.values() for d in t.shape if isinstance(d, str)}
        #: Empty where the manifest says nothing, or the graph leaves free what no profile names: the provider then
        #: learns sizes as it meets them.
        self._profile = {d: profile[d] for d in sorted(free)} if free <= set(profile) else {}
        self.options = {"device_id": str(device.index)}
        self.options |= self._cache(hashlib.sha256(graph).hexdigest()) | self._shapes()

    def check(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """Refuse sizes that the engine was not built for: ONNX Runtime would build another one at the first of them.

        Raises:
            BackendError: naming the dimension, its size and what is covered.
        """
        for name, array in feeds.items():
            wanted = self._inputs[name].shape if name in self._inputs else []
            for d, size in zip(wanted, array.shape, strict=False):
                if not isinstance(d, str) or d not in self._profile:
                    continue
                least, _, most = self._profile[d]
                if not least <= size <= most:
                    raise BackendError(
                        f"{self._name}: {d} is {size}, the engine's profile covers {d} = {least}..{most}; run it with "
                        f"--device cuda or cpu, which take any length"
                    )

    def _shapes(self) -> dict[str, str]:
        if not self._profile:
            return {}
        each = {n: shapes_of(t, self._profile) for n, t in self._inputs.items()}
        return {
            f"trt_profile_{which}_shapes": ",".join(f"{n}:{'x'.join(map(str, s[i]))}" for n, s in each.items())
            for i, which in enumerate(("min", "opt", "max"))
        }

    def _cache(self, sha256: str) -> dict[str, str]:
        """Return the options of the engine cache, a folder per graph hash.

        ONNX Runtime adds GPU and TensorRT version to the engines' names.
        """
        folder = cache_folder() / "ort-tensorrt" / sha256[:16]
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            log.warning("%s: cannot write to %s, so engines are not kept: each start builds anew", self._name, folder)
            return {}
        return {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder.parent),
        }
