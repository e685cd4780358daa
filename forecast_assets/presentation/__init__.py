"""What the commands print: progress, tables, words.

What belongs here: turning state and frames into text. What does not: changing either.
"""
