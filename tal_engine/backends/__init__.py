"""Runtimes that execute a graph: one class each, behind one protocol."""

from .dynamic_batching import DynamicBatchingBackend
from .protocol import (
    DEVICES,
    EXPERIMENTAL,
    NOT_LOADED,
    Backend,
    DeviceName,
    LazyBackend,
    LimitedBackend,
    RunOptions,
    parse_device,
)
from .select import Runtime, open_backend, why_not

__all__ = [
    "DEVICES",
    "EXPERIMENTAL",
    "NOT_LOADED",
    "Backend",
    "DeviceName",
    "DynamicBatchingBackend",
    "LazyBackend",
    "LimitedBackend",
    "RunOptions",
    "Runtime",
    "open_backend",
    "parse_device",
    "why_not",
]
