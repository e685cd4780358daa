"""What a stage gives back: rows, what they were made from, and what people look at.

What belongs here: the form that all stages share. What does not: computing, storing or showing anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from forecast_assets.plots import Markdown

# What people look at, by name: figures, words, tables and pictures.
Summary = Mapping[str, int | float | str | Markdown | pl.DataFrame | Mapping[str, bool]]


def empty_summary() -> Summary:
    """Return a summary that says nothing."""
    return {}


@dataclass(frozen=True)
class StageResult:
    """What a stage made, not yet stored.

    Attributes:
        frames: Rows by product, in the order in which they are stored; the stage's own product is the last.
        inputs: Versions of the products that they were made from, by name.
        facts: Whatever else has to be known to make them again.
        summary: Makes what people look at; asked only where somebody looks, since pictures take time.
    """

    frames: Mapping[str, pl.DataFrame]
    inputs: Mapping[str, Any]
    facts: Mapping[str, Any]
    summary: Callable[[], Summary] = empty_summary

    @property
    def product(self) -> str:
        """Name of the stage's own product."""
        return [*self.frames][-1]

    @property
    def rows(self) -> pl.DataFrame:
        """Rows of the stage's own product."""
        return self.frames[self.product]
