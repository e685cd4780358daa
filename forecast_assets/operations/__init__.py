"""What the commands do: running jobs, backfills, corrections, reading what is published, comparing it.

What belongs here: whole operations on a home folder. What does not: parsing, printing, or computing a number.
"""
