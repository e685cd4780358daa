"""Anomalies among the series of a snapshot: which of them are unlike what they, and others, usually are.

What belongs here: what changed of a series against its own earlier snapshots, detectors trained on that, the report of
a day. What does not: the detectors themselves and their files (``anomalies``), or tables of features from elsewhere.
"""
