"""Every metric, once: training reports, backtests and gates use the same.

What belongs here: errors, biases and scores of arrays. What does not: what they are taken of, or reading anything.
"""
