"""The past as it was known: which of several sources counts, and what was known when.

What belongs here: resolving observations as of a moment. What does not: any model, or storing observations.
"""

from forecast_assets.history.as_known import History

__all__ = ["History"]
