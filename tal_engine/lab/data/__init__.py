"""Data sets described by data: who the videos are, where their features lie, what is in them."""
