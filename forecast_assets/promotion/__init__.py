"""Promotion: what a version has to show before a channel points at it, by the policy in force.

What belongs here: figures of reports and published runs at each gate, the judgement of a version and its record. What
does not: bounds (core.policy), gates of registration (models.gates), or moving a channel (operations).
"""
