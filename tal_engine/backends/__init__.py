"""Runtimes that execute a graph: one class each, behind one protocol."""

from .base import Backend, open_backend

__all__ = ["Backend", "open_backend"]
