"""How likely a shelf is empty for part of a day, where only stock status is known: a classifier over all series.

What belongs here: its inputs, its training, and probabilities by it. What does not: positions, words, decimals.
"""
