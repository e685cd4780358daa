"""Sources: what the outside world says, read, checked and made one.

What belongs here: readers of source formats, the simulator, checks before the store, and fusion of overlapping
sources. What does not: storing observations (``resources``) or deriving anything from them (``snapshots``).
"""
