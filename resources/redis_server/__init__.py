"""A Redis that several processes share, which a service does better with and can always do without.

What belongs here: reaching it. What does not: what anybody keeps in it.
"""
