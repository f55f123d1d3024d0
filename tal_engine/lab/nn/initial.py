"""What papers mean by N(0, .01): the one reading of it that all methods share."""

from __future__ import annotations

#: Standard deviation of initial values that a paper writes as N(0, .01). The second number is read as the standard
#: deviation and not as the variance, which would be .1: the public codes of PVLR and of Efficient-Prompt, the earlier
#: work of CBP+VLP's authors, both initialise by a standard deviation of .01. For every method: no paper says more.
SMALL_STD = 0.01
