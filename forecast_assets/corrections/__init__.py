"""Corrections of published runs.

What belongs here: which inputs have changed since. What does not: making a correction, which is a run like any other.
"""
