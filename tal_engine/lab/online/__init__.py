"""Causal heads for streams, taught by any teacher: see docs/online.md."""
