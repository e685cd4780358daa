"""The ledger: entries, their chain, and what is true after them."""
