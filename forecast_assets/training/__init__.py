"""Training: a model version's artifact and the report of how it does on days that it has not seen.

What belongs here: fitting, rolling-origin evaluation, the gates a version must pass. What does not: scoring.
"""
