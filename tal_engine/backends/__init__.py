"""Runtimes that execute a graph: one class each, behind one protocol."""

from .base import (
    DEVICES,
    NOT_LOADED,
    Backend,
    DeviceName,
    LazyBackend,
    RunOptions,
    Runtime,
    open_backend,
    parse_device,
    why_not,
)
from .together import TogetherBackend

__all__ = [
    "DEVICES",
    "NOT_LOADED",
    "Backend",
    "DeviceName",
    "LazyBackend",
    "RunOptions",
    "Runtime",
    "TogetherBackend",
    "open_backend",
    "parse_device",
    "why_not",
]
