"""The life of a version between training and retirement: evidence of which of two is better.

What belongs here: rules about versions and channels. What does not: training, scoring, or the ledger that records it.
"""
