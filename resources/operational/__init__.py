"""What this home folder knows for its own working: a SQLite database beside the store.

What belongs here: operational records, which may be lost without losing a data product: `opening` opens the database,
one module for each table. What does not: data products and decisions about them, which are in the ledger.
"""
