"""Runs without what takes more than half of their time and has tests of its own.

What belongs here: what most runs of the tests leave out. What does not: anything that shapes a published number.
"""

from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from checks import expectations
from forecast_assets.plots import canvas

# One white pixel.
PICTURE: Final = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="
)
_IN_FULL: Final = (expectations.expectations, canvas._few_colours)


def make_brief(patch: pytest.MonkeyPatch) -> None:
    """Judge tables as a whole instead of column by column, and lay pictures out without drawing them."""
    patch.setattr(expectations, "expectations", expectations._of_table)
    patch.setattr(canvas, "_few_colours", lambda _figure: PICTURE)


@contextmanager
def in_full() -> Iterator[None]:
    """Judge every column and draw every picture, within a module whose other runs do not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expectations, "expectations", _IN_FULL[0])
        patch.setattr(canvas, "_few_colours", _IN_FULL[1])
        yield
