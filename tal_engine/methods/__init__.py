"""How heads are trained: one file a method. Methods know heads and `nn`, never each other."""

from .protocol import METHODS, Method, load_method, uses_points

__all__ = ["METHODS", "Method", "load_method", "uses_points"]
