"""Base forecasts: each series and each informative upper node by itself.

What belongs here: scoring a snapshot with a trained version, and the frames of the result. What does not: making them
coherent, or training.
"""
