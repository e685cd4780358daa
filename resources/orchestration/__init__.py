"""Translation between Dagster's words and the project's."""
