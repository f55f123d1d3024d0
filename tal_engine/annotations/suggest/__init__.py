"""Predictions as suggestions in tools that know such: CVAT's auto-annotation function, FiftyOne's fields."""
