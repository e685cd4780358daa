"""Who may ask what: roles, keys, limits of how often.

What belongs here: the rules, the same for every protocol. What does not: where a request carries its key.
"""
