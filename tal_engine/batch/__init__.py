"""Many videos in one run: their results are kept as they come, and a later run leaves out what is there."""
