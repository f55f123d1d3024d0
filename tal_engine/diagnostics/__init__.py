"""What this machine can do, how fast a plan runs here, and whether a stream keeps its promise."""
