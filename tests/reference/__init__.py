"""Slow textbook versions of every fast algorithm, written to be read."""
