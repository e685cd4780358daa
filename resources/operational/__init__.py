"""Operational records of a home: what has an age and ends, and is no data product."""
