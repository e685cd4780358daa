"""The DuckDB catalogue for BI tools: views over what the ledger names."""
