"""Feature snapshots: what was known of each series at a prediction date."""
