"""The stores on the ledger: products, observations, model versions."""
