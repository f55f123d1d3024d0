"""How heads are trained: one file a method. Methods know heads and `nn`, never each other."""

from .protocol import METHODS, Method, Remembering, load_method, uses_points

__all__ = ["METHODS", "Method", "Remembering", "load_method", "uses_points"]
