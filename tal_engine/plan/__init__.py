"""The plan: one file with manifest, graphs and signature. Knows bytes and hashes; runs nothing."""

from .archive import Plan, read_plan, write_plan

__all__ = ["Plan", "read_plan", "write_plan"]
