"""Anomalies: rows of features that are unlike those that a detector was trained on.

What belongs here: detectors, thresholds, the file of a model, tables read and written part by part, scoring them. What
does not: where models are registered (``resources.operational``), a door, or printing.
"""
