"""Published rows in blocks, in files of this machine's disk that may be removed at any time.

What belongs here: one such file, and the folder of them. What does not: what the blocks say, or which product versions
get a file (`forecast_assets.serving.dataplane`).
"""
