"""Procedural videos: a human figure doing exercises, rendered to real mp4 files with exact truth.

Knows how to make videos. Knows nothing of snippets, features, plans or training, and needs no
torch. Everything is drawn from one seed, so the same seed gives the same annotation bytes.
"""
