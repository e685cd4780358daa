"""Serving: answers about published runs while somebody waits.

What belongs here: what every protocol shares. What does not: a model, a feature or a number of its own: real time calls
what the batch calls.
"""
