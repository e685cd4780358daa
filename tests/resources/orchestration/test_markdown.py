"""Tables of Markdown show values as they are."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.orchestration.markdown import literal, markdown_table


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("FOOD_0001-a", "FOOD_0001-a"),
        ("_x_", r"\_x\_"),
        ("[a](http://b)", r"\[a\](http://b)"),
        ("<script>", r"\<script\>"),
        ("&lt;", r"\&lt;"),
        ("a\nb", "a b"),
        ("a\\|b", r"a\\\|b"),
    ],
)
def test_what_means_something_to_markdown_is_shown_as_it_is(said: str, shown: str) -> None:
    assert literal(said) == shown


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_every_row_is_one_line_with_as_many_cells(names: list[str]) -> None:
    frame = pl.DataFrame({"sku_id": names, "units": [1.5] * len(names)})
    lines = markdown_table(frame).split("\n")
    assert len(lines) == 2 + len(names)
    for line in lines:
        # An escaped backslash is no escape of what follows.
        assert line.replace("\\\\", "").replace("\\|", "").count("|") == 3
