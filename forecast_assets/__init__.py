"""The Dagster code location: demand and inventory intelligence as data products.

What belongs here: the stages of a run, the pure functions they call, and their assembly.
What does not: anything that lives outside the process (``resources``), judgements about stored products (``checks``)
and partition definitions (``partitions``).
"""

__version__ = "0.1.0"
