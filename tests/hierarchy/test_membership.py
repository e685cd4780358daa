import numpy as np
import polars as pl
import pytest

from forecast_assets.core.errors import HierarchyError
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.hierarchy.membership import summing_of
from tests.support.forecast_cases import products, two_by_two

# Columns: S1-A, S1-B, S1-C, S2-A, S2-B.
BY_HAND = {
    ("category", "x", "store", "S1"): [1, 1, 0, 0, 0],
    ("category", "x", "store", "S2"): [0, 0, 0, 1, 1],
    ("category", "x", "total", "total"): [1, 1, 0, 1, 1],
    ("category", "y", "store", "S1"): [0, 0, 1, 0, 0],
    ("category", "y", "total", "total"): [0, 0, 1, 0, 0],
    ("sku", "A", "total", "total"): [1, 0, 0, 1, 0],
    ("sku", "B", "total", "total"): [0, 1, 0, 0, 1],
    ("sku", "C", "total", "total"): [0, 0, 1, 0, 0],
    ("total", "total", "store", "S1"): [1, 1, 1, 0, 0],
    ("total", "total", "store", "S2"): [0, 0, 0, 1, 1],
    ("total", "total", "total", "total"): [1, 1, 1, 1, 1],
}


def test_summing_matrix_is_the_one_written_by_hand() -> None:
    hierarchy = two_by_two()
    columns = hierarchy.aggregate(np.eye(5, dtype=np.int64))
    nodes = hierarchy.nodes
    assert dict(zip(nodes.drop("series_count").rows(), columns.tolist(), strict=True)) == BY_HAND
    assert nodes.drop("series_count").rows() == sorted(BY_HAND)
    assert nodes["series_count"].to_list() == [sum(BY_HAND[row]) for row in sorted(BY_HAND)]


def test_sums_are_exact_where_floats_are_not() -> None:
    millionths = np.full((5, 1), 2**53 + 1, dtype=np.int64)
    assert two_by_two().aggregate(millionths)[-1, 0] == 5 * (2**53 + 1)


def test_information_levels_are_the_wide_ones() -> None:
    hierarchy = two_by_two()
    assert [level.name for level in hierarchy.information_levels(max_share=0.4)] == [
        ("total", "total"),
        ("total", "store"),
        ("category", "total"),
    ]
    assert [level.name for level in hierarchy.information_levels(max_share=0.0)] == [("total", "total")]


def test_a_dimension_without_levels_is_total_and_member() -> None:
    hierarchy = Hierarchy.build(two_by_two().series, None, None)
    assert [level.name for level in hierarchy.product_levels] == ["total", "sku"]
    assert hierarchy.product_groups().tolist() == ["total"] * 5


def test_product_groups_are_the_narrowest_level_that_is_full_enough() -> None:
    skus = [f"K{i:03d}" for i in range(800)]
    series = pl.DataFrame({"store_id": ["S"] * 800, "sku_id": skus})
    wide = products(*((sku, f"w{i % 2}") for i, sku in enumerate(skus)))
    narrow = products(*((sku, f"n{i % 16}") for i, sku in enumerate(skus)), level="line", depth=2)
    groups = Hierarchy.build(series, pl.concat([wide, narrow]), None).product_groups()
    assert groups[:3].tolist() == ["w0", "w1", "w0"]


def test_memberships_of_members_without_series_are_left_out() -> None:
    more = products(("A", "x"), ("B", "x"), ("C", "y"), ("unsold", "z"))
    assert Hierarchy.build(two_by_two().series, more, None).nodes.equals(two_by_two().nodes)


@pytest.mark.parametrize(
    ("memberships", "message"),
    [
        (products(("A", "x"), ("A", "y"), ("B", "x"), ("C", "y")), "in two nodes of one level: ('A', 'category', 'x')"),
        (products(("A", "x"), ("B", "x"), ("C", "y"), level="sku"), "repeated names sku"),
        (
            pl.concat([products(("A", "x"), ("B", "x")), products(("C", "y"), level="kind")]),
            "found depths (1, 'category'), (1, 'kind')",
        ),
        (
            pl.concat(
                [
                    products(("A", "x"), ("B", "y"), ("C", "y")),
                    products(("A", "n"), ("B", "n"), ("C", "m"), level="line", depth=2),
                ]
            ),
            "Nodes of `line` have several parents in `category`: ('n', 'x'), ('n', 'y')",
        ),
    ],
)
def test_what_is_not_a_tree_is_refused(memberships: pl.DataFrame, message: str) -> None:
    with pytest.raises(HierarchyError) as caught:
        Hierarchy.build(two_by_two().series, memberships, None)
    assert message in str(caught.value)
    assert caught.value.remedy


def test_unsorted_series_are_refused() -> None:
    with pytest.raises(HierarchyError, match="not sorted"):
        Hierarchy.build(two_by_two().series.reverse(), None, None)


def test_a_member_without_a_full_place_is_unassigned_at_every_level_and_named() -> None:
    category = products(("A", "x"), ("B", "x"), ("C", "y"))
    line = products(("A", "n"), ("C", "m"), level="line", depth=2)
    hierarchy = Hierarchy.build(two_by_two().series, pl.concat([category, line]), None)
    assert hierarchy.unassigned_products == ["B"]
    assert hierarchy.unassigned_stores == []
    _, first, second, _ = hierarchy.product_levels
    assert first.members.tolist() == ["x", "unassigned", "y", "x", "unassigned"]
    assert second.members.tolist() == ["n", "unassigned", "m", "n", "unassigned"]


def test_sums_over_unassigned_members_still_add_up_to_the_total() -> None:
    hierarchy = Hierarchy.build(two_by_two().series, products(("A", "x")), None)
    sums = hierarchy.nodes.with_columns(units=pl.Series(hierarchy.aggregate(np.arange(5)[:, None])[:, 0]))
    by_category = sums.filter(product_level="category", store_level="total")
    assert dict(by_category.select("product_node", "units").rows()) == {"unassigned": 1 + 2 + 4, "x": 0 + 3}


def test_a_node_of_a_source_that_is_called_unassigned_is_no_hindrance() -> None:
    # Of `line` the source has a node `unassigned` below `x`; B has no place at all.
    category = products(("A", "x"), ("C", "y"))
    line = products(("A", "unassigned"), ("C", "unassigned (2)"), level="line", depth=2)
    hierarchy = Hierarchy.build(two_by_two().series, pl.concat([category, line]), None)
    _, first, second, _ = hierarchy.product_levels
    assert first.members.tolist() == ["x", "unassigned (3)", "y", "x", "unassigned (3)"]
    assert second.members.tolist() == ["unassigned", "unassigned (3)", "unassigned (2)", "unassigned", "unassigned (3)"]
    assert hierarchy.unassigned_products == ["B"]


@pytest.mark.parametrize("level", ["*", "^.*$", "sku_id", "store_id", "unassigned", "1", "-", "a{}b", "it's"])
def test_levels_and_nodes_may_be_called_anything(level: str) -> None:
    named = products(("A", "total"), ("B", "-"), ("C", level), level=level)
    narrow = products(("A", "all"), ("B", "*"), ("C", "total"), level="line", depth=2)
    hierarchy = Hierarchy.build(two_by_two().series, pl.concat([named, narrow]), None)
    assert [each.name for each in hierarchy.product_levels] == ["total", level, "line", "sku"]
    assert hierarchy.product_groups(level).tolist() == ["total", "-", level, "total", "-"]
    assert hierarchy.product_groups("line").tolist() == ["all", "*", "total", "all", "*"]
    sums = hierarchy.nodes.with_columns(units=pl.Series(hierarchy.aggregate(np.arange(5)[:, None])[:, 0]))
    assert sums.filter(product_level=level, product_node="total", store_level="total")["units"].item() == 0 + 3


def test_nobody_is_unassigned_where_there_is_no_hierarchy() -> None:
    nobody = Hierarchy.build(two_by_two().series, products(("Z", "x")), None)
    assert nobody.unassigned_products == []
    assert [level.name for level in nobody.product_levels] == ["total", "sku"]


@pytest.mark.parametrize("members", [1, 5, 64, 65, 200])
def test_sums_of_few_members_are_those_of_many(members: int) -> None:
    """Matrices of few are kept: asked for twice, and by turns, each is of its own code."""
    random = np.random.default_rng(members)
    values = random.random((members, 3))
    for code in (random.permutation(members), np.zeros(members, dtype=np.intp), np.arange(members)) * 2:
        by_hand = np.zeros((code.max() + 1, 3))
        np.add.at(by_hand, code, values)
        np.testing.assert_allclose(summing_of(code) @ values, by_hand)
