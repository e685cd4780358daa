"""Telling people: evaluating alerts, writing notifications, handing them to destinations.

What belongs here: what a notification says, in which format, and sending it. What does not: what is wrong
(`operations.health`), which alerts are open (`resources.operational.alerts`), or when it is looked (`automation`).
"""
