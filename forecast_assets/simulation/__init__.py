"""A retailer whose true demand is known.

What belongs here: simulating it, and writing it as files. What does not: reading them back (sources).
"""
