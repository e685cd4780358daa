"""The stream door: requests from a topic, answers on another.

What belongs here: reading requests, answering them by the data plane, and noting what is done. What does not: any
answer, or what a broker is (`resources.broker`).
"""
