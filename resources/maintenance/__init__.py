"""Verifying a store, and removing what no entry names."""
