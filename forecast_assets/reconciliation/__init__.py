"""Reconciliation: base forecasts made to add up over the crossed hierarchy.

What belongs here: the reconciled frame and how far the base was from adding up. What does not: summing published rows.
"""
