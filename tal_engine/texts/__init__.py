"""Classes given as text: what a class is called, its tokens, and a plan whose head is made of texts."""
