"""Sample paths: joint futures of all series and days, of which any sum is a future too.

What belongs here: random numbers, how series and days hang together, drawing, and quantiles of sums. What does not:
the quantiles of a single day (`models.calibration`), or stock.
"""
