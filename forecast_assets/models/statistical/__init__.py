"""The statistical family: demand = level path x weekday x season x price and promotion x event.

What belongs here: all that the family decides and does. What does not: what families share.
"""
