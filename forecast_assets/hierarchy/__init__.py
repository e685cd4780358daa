"""Hierarchies: membership, summing, coherence.

What belongs here: the tree of each dimension, their crossing, and exact sums over it. What does not: forecasts, or how
incoherent ones are reconciled.
"""

from forecast_assets.hierarchy.membership import Hierarchy, Sparse, summing_of

__all__ = ["Hierarchy", "Sparse", "summing_of"]
