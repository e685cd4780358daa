"""The run: what it starts from, what must hold before, and its stages in order.

What belongs here: one run as a whole. What does not: what a stage computes, or launching a run.
"""
