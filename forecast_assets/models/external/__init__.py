"""The external family: external forecasts, completed to what later stages need.

What belongs here: all that the family decides and does. What does not: reading files, or what families share.
"""
