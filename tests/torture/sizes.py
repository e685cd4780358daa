"""How much is tried: a sample in every test run, everything in `make torture`."""

import os


def size(sample: int, full: int) -> int:
    """Return how many cases to try."""
    return full if os.environ.get("TORTURE") == "full" else sample
