"""A student of a plan: what the teacher says of whole videos is all that it learns from; no labels are needed."""
