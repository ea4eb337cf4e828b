"""Tests, mirroring the tree of the package."""

from pathlib import Path

#: The folder that the package, its tests and its documents lie in.
CHECKOUT = Path(__file__).parents[1]
