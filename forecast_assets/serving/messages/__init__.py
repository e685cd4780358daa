"""What the doors of every protocol have in common: questions as requests carry them, ids, and what is wrong.

What belongs here: names, types and bounds of requests, and problems, the same for every protocol. What does not: how a
protocol carries them, or any answer.
"""
