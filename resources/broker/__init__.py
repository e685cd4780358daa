"""A message broker, as the product uses one: topics, keys, groups of consumers, at least once.

What belongs here: the protocol and its implementations. What does not: what messages mean.
"""
