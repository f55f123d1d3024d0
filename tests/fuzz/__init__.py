"""Fuzzing: what reads files or arrays of strangers may refuse them, and nothing else."""
