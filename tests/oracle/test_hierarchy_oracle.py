"""The same sums from SQL, and the same reconciliation from the textbook's formula."""

import duckdb
import numpy as np
import polars as pl
import pytest

from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.demand import trailing_level
from forecast_assets.models.reconciled_means import reconcile
from tests.support.forecast_cases import products, series_of

SERIES = series_of(40, stores=4)
PRODUCTS = products(*((f"K{i:03d}", f"c{i % 3}") for i in range(10)))
HIERARCHY = Hierarchy.build(SERIES, PRODUCTS, None)


def test_sums_are_those_of_a_cube_in_sql() -> None:
    millionths = np.random.default_rng(0).integers(0, 10**12, (40, 1))
    rows = SERIES.join(PRODUCTS, on="sku_id", maintain_order="left").with_columns(units=pl.Series(millionths[:, 0]))
    connection = duckdb.connect()
    connection.register("rows", rows)
    cube = connection.sql(
        """
        SELECT product_level, product_node, store_level, store_node, sum(units)::BIGINT, count(*)
        FROM (
            SELECT units, unnest([('total', 'total'), ('category', node_id), ('sku', sku_id)]) AS p, store_id
            FROM rows
        ) AS by_product, LATERAL (SELECT p[1] AS product_level, p[2] AS product_node) AS a,
        LATERAL (SELECT unnest([('total', 'total'), ('store', store_id)]) AS s) AS b,
        LATERAL (SELECT s[1] AS store_level, s[2] AS store_node) AS c
        WHERE NOT (product_level = 'sku' AND store_level = 'store')
        GROUP BY ALL ORDER BY ALL
        """
    ).fetchall()
    ours = HIERARCHY.aggregate(millionths)[:, 0].tolist()
    nodes = HIERARCHY.nodes
    found = [(*row[:4], units, row[4]) for row, units in zip(nodes.rows(), ours, strict=True)]
    assert found == cube


def test_reconciling_is_weighted_least_squares() -> None:
    """b + (S'W^-1 S)^-1 S'W^-1 (y - S b), with W the units of each node, by dense linear algebra."""
    random = np.random.default_rng(1)
    base = random.gamma(2.0, 5.0, (40, 6))
    upper = HIERARCHY.information.matrix.toarray()
    nodes = (upper @ base) * random.uniform(0.9, 1.1, (len(upper), 6))
    summing = np.vstack([upper, np.eye(40)])
    weight = np.diag(1.0 / (summing @ base.mean(axis=1)))
    gap = np.vstack([nodes, base]) - summing @ base
    expected = base + np.linalg.solve(summing.T @ weight @ summing, summing.T @ weight @ gap)
    assert reconcile(base, nodes, HIERARCHY) == pytest.approx(np.maximum(expected, 0.0), abs=1e-3)


def test_trailing_level_is_that_of_a_loop() -> None:
    random = np.random.default_rng(2)
    units, exposure = random.gamma(1.0, 3.0, (3, 50)), random.uniform(0, 1, (3, 50))
    found = trailing_level(units, exposure, half_life=5.0)
    for row in range(3):
        whole = units[row].sum() / exposure[row].sum()
        for day in (0, 7, 49):
            weights = 0.5 ** (np.arange(day, -1, -1) / 5.0)
            top = (weights * units[row, : day + 1]).sum() + whole
            assert found[row, day] == pytest.approx(top / ((weights * exposure[row, : day + 1]).sum() + 1.0))
