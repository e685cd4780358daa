"""MLflow as a mirror of the ledger: where it is, and what is written to it and read back.

What belongs here: the client. What does not: what a run of a version says (`lifecycle`), or when it is written.
"""
