"""Clips of what was found: cut out of the videos of an archive or of a file of results."""
