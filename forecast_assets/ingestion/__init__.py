"""What an ingest checks and stores: batches, findings, gaps, and what is held already.

What belongs here: judging batches and recording them. What does not: reading a source's format (sources).
"""
