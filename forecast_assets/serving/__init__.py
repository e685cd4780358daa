"""Answering callers in real time, beside the batch.

What belongs here: one data plane and the protocols in front of it. What does not: any logic of a forecast or a risk,
which is the batch's own.
"""
