"""Network blocks and encoders (torch). Knows tensors; knows nothing of heads, data or plans."""
