"""Runs as of past cutoffs, judged by what came after.

What belongs here: making and judging them, and recording the report. What does not: metrics, or showing anything.
"""
