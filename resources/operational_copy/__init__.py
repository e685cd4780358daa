"""The operational copy: rows of published runs in a database that programs look up, SQLite or PostgreSQL.

What belongs here: its tables, copying one run in one transaction, reading it back. What does not: which runs are
copied and when (`forecast_assets.operations.copying`). The ledger decides; a copy is never asked what is true.
"""
