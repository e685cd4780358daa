"""Online features: what a prediction needs of a series, kept as bytes for a while under names that have hashes.

What belongs here: keeping bytes, in this process or in Redis, and giving back exactly what was put under a name. What
does not: what the bytes say, or which are put (`forecast_assets.serving.dataplane`).
"""
