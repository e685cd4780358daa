"""The data plane: every question a caller can ask, answered in plain Python behind every protocol.

What belongs here: typed questions and answers, and what answers them. What does not: HTTP, keys of callers, texts.
"""
