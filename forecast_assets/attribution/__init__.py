"""Sharing a difference out among its causes: fairly, exactly, and whatever the order in which causes are named.

What belongs here: the arithmetic, on values of coalitions that somebody has computed. What does not: what the causes
are, forecasting, or reading stores.
"""
