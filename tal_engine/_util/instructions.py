"""Which instructions of the processor matter to 8-bit graphs, and whether their sums can saturate here.

x86 without VNNI multiplies 8-bit numbers in pairs and adds each pair in 16 bits, which is too few for two products of
an unsigned and a signed byte; ONNX Runtime's fast kernels use those instructions. VNNI (AVX-512 or AVX) and ARM add in
32 bits.
"""

from __future__ import annotations

import importlib
import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Instruction sets by the name that is shown, and the names that Linux and NumPy have for them; oldest first.
_X86 = {
    "sse4.1": ("sse4_1", "SSE41"),
    "avx": ("avx", "AVX"),
    "avx2": ("avx2", "AVX2"),
    "avx512": ("avx512bw", "AVX512BW"),
    "avx512_vnni": ("avx512_vnni", "AVX512VNNI"),
    "avx_vnni": ("avx_vnni", "AVX_VNNI"),
}
_ARM = {"neon": ("asimd", "ASIMD"), "dotprod": ("asimddp", "ASIMDDP"), "i8mm": ("i8mm", "ASIMDI8MM")}
_VNNI = {"avx_vnni", "avx512_vnni"}


@dataclass(frozen=True)
class Instructions:
    """What a processor offers to 8-bit graphs.

    processor: "x86_64", "aarch64", or what the system calls another one. found: instruction sets that matter, oldest
    first; empty where the system does not say.
    """

    processor: str
    found: tuple[str, ...]

    @property
    def saturate(self) -> bool:
        """ONNX Runtime's fast 8-bit kernels may saturate: x86 that is not known to have VNNI."""
        return self.processor == "x86_64" and not _VNNI & set(self.found)

    def __str__(self) -> str:
        """Format in one line, such as "x86_64: sse4.1, avx, avx2"; plans record it beside parity figures."""
        return f"{self.processor}: {', '.join(self.found) or 'unknown'}"


@cache
def instructions() -> Instructions:
    """Return the instruction sets of this machine's processor."""
    processor = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return named(processor, _by_linux() or _by_numpy())


def named(processor: str, features: set[str]) -> Instructions:
    """Convert feature names, as Linux or NumPy writes them, to instruction sets of a processor."""
    sets = {"x86_64": _X86, "aarch64": _ARM}.get(processor, {})
    return Instructions(processor, tuple(n for n, names in sets.items() if features & set(names)))


def _by_linux() -> set[str]:
    """Read the first processor's flags; the kernel omits what programs may not use."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(flags[1].split()) if flags else set()


def _by_numpy() -> set[str]:
    """Return what NumPy detected when it was loaded; Windows and macOS have no /proc/cpuinfo."""
    for name in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        try:
            features = importlib.import_module(name).__cpu_features__
        except (ImportError, AttributeError):
            continue
        return {feature for feature, here in features.items() if here}
    return set()
