"""Features as versioned data, their compiler to Polars, and the panel that models read.

Shared by training, scoring and serving. What does not belong here: stores, orchestration, models.
"""
