"""Drift: what moved in inputs and in the errors of forecasts, weekday, events and season allowed for.

What belongs here: daily figures, what was to be expected of them, detectors, and the report of a day. What does not:
who has to look at a signal (the backlog, in the ledger), or training anew (operations).
"""
