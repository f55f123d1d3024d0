"""Helpers that know nothing of the field: files, names, threads, optional packages, untrusted input."""
