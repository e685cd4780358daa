"""PostgreSQL, as those who keep something in it reach it.

What belongs here: opening a connection. What does not: any table, or what a failure means to whoever asked.
"""
