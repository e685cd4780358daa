"""Why each published number is what it is: drivers that add up to it exactly, and the same in words.

What belongs here: accounting for numbers that exist. What does not: making or changing a number.
"""
