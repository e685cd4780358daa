"""Traces, metrics, logs: what goes on, told to those who operate it.

What belongs here: listening, and writing what was heard in standard forms. What does not: anything that a number
follows from; the rest of the project tells what it does (`core.spans`) and is read, and imports none of this but where
a process starts.
"""
