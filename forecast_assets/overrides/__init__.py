"""Overrides of planners and rules: what they do to forecasts, exactly.

What belongs here: which override moves which rows, sharing out a node's units, and what follows for quantiles. What
does not: recording overrides, storing rows, or showing anything.
"""
