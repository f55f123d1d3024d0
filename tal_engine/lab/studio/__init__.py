"""The trainer of `tal studio`: a process of its own, ``python -m tal_engine.lab.studio PROJECT``."""
