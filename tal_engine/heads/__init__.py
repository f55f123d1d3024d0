"""Base heads: features to activations, one file each. Heads know `nn` and never each other."""
