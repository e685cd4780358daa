"""The families with boosted trees, which learn from all series at once.

What belongs here: all that these families decide and do. What does not: what families share.
"""
