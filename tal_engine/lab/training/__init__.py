"""Training: loops, checkpoints and the recipe of the embedded demonstration model (needs torch)."""
