"""Prediction events: what was answered in real time, from the moment it is said until it is kept for good.

What belongs here: the spool that survives a killed process, the stores that callers are looked up in, the Parquet files
that stay. What does not: what an event says (`forecast_assets.serving.dataplane`), or data products: no event is in the
ledger.
"""
