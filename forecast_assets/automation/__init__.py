"""When runs start and when something is late: schedules, sensors, freshness.

What belongs here: deciding that something is due, and saying so. What does not: running anything.
"""
