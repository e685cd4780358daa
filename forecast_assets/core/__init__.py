"""What every room stands on: errors, keys, exact quantities, arrays, progress.

What belongs here: no door and no storage. What does not: anything that one room alone needs.
"""
