"""Model families: fit, predict, save, load.

What belongs here: how demand is estimated and forecast. What does not: stores, orchestration, or any product's frame.
"""
