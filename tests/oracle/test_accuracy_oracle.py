"""Sums of errors on random cases, against plain loops over plain numbers."""

from collections import defaultdict
from datetime import date
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest

from forecast_assets.accuracy.measuring import DayActuals, measure_run
from forecast_assets.contracts import DEMAND_CLASSES, QUANTILE_COLUMNS, QUANTILES, RISK_BANDS
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import publish
from forecast_assets.hierarchy import Hierarchy

KEY = RunKey("weekly", date(2025, 6, 1), "v", 90)
TARGET = date(2025, 7, 20)
STORES, SKUS = 5, 12
CATEGORY = {f"k{at:02}": f"c{at % 3}" for at in range(SKUS)}
REGION = {f"s{at}": f"r{at % 2}" for at in range(STORES)}


def case(seed: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, DayActuals, Hierarchy]:
    rng = np.random.default_rng(seed)
    series = pl.DataFrame(
        [(store, sku) for store in REGION for sku in CATEGORY if rng.random() < 0.9],
        schema=["store_id", "sku_id"], orient="row",
    )  # fmt: skip
    n = series.height
    quantiles = np.sort(rng.gamma(2.0, 3.0, (n, len(QUANTILES))).round(1), axis=1)
    said = series.with_columns(
        pl.Series("demand_class", rng.choice(DEMAND_CLASSES, n)),
        *(publish(rng.gamma(2, 3, n), name) for name in ("forecast_units", "expected_sales_units")),
        *(publish(quantiles[:, at], name) for at, name in enumerate(QUANTILE_COLUMNS)),
    )
    risk = series.with_columns(
        pl.Series("risk_band", rng.choice(RISK_BANDS, n)), publish(rng.random(n), "stockout_probability")
    )
    unknown = pl.Series(rng.random(n) < 0.2)
    risk = risk.with_columns(stockout_probability=pl.when(~unknown).then("stockout_probability"))
    naive = series.with_columns(naive_units=pl.Series(rng.poisson(5, n).astype(float))).sample(fraction=0.9, seed=seed)
    sales = series.with_columns(sales_units=pl.Series(rng.poisson(5, n).astype(float))).sample(fraction=0.8, seed=seed)
    out = series.with_columns(is_stockout=pl.Series(rng.random(n) < 0.3)).sample(fraction=0.7, seed=seed)
    return said, risk, naive, DayActuals(sales, out), Hierarchy.build(series, tree(CATEGORY, "sku_id", "category"),
                                                                   tree(REGION, "store_id", "region"))  # fmt: skip


def tree(nodes: dict[str, str], key: str, level: str) -> pl.DataFrame:
    return pl.DataFrame({key: list(nodes), "depth": 1, "level_name": level, "node_id": list(nodes.values())})


def lookup(frame: pl.DataFrame, column: str) -> dict[tuple[str, str], Any]:
    return {(store, sku): value for store, sku, value in frame.select("store_id", "sku_id", column).iter_rows()}


Sums = dict[tuple[str, ...], dict[str, Fraction]]


def expected(case: Any) -> Sums:
    """Sums by product level, store level, kind and segment, in exact fractions."""
    said, risk, naive, came, _ = case
    sales, out = lookup(came.sales, "sales_units"), lookup(came.stockouts, "is_stockout")
    probability, repeated = lookup(risk, "stockout_probability"), lookup(naive, "naive_units")
    bands = lookup(risk, "risk_band")
    sums: Sums = defaultdict(lambda: defaultdict(Fraction))
    nodes: dict[tuple[str, ...], list[Fraction]] = defaultdict(lambda: [Fraction()] * 4)
    for line in said.iter_rows(named=True):
        one = (line["store_id"], line["sku_id"])
        ours, theirs = Fraction(line["expected_sales_units"]), Fraction(repeated.get(one, 0))
        actual = Fraction(sales[one]) if one in sales else None
        kinds = (("all", "all"), ("demand_class", line["demand_class"]), ("store", one[0]),
                 ("product_node", CATEGORY[one[1]]), ("risk_band", bands[one]))  # fmt: skip
        for kind in kinds:
            total = sums["sku", "store", *kind]
            add_errors(total, actual, ours, theirs)
            if actual is not None and not out.get(one, False):
                add_quantiles(total, actual, line)
            if probability[one] is not None and one in out:
                total["risk_rows"] += 1
                total["stockout_rows"] += out[one]
                total["brier_loss"] += (Fraction(probability[one]) - int(out[one])) ** 2
        for sku_node, store in levels_of(one):
            known = (actual, ours, theirs, Fraction(1)) if actual is not None else (Fraction(),) * 4
            node = nodes[sku_node[0], store[0], sku_node[1], store[1]]
            nodes[sku_node[0], store[0], sku_node[1], store[1]] = [a + b for a, b in zip(node, known, strict=True)]
    for (product_level, store_level, *_), (actual, ours, theirs, known) in nodes.items():
        if (product_level, store_level) != ("sku", "store"):
            total = sums[product_level, store_level, "all", "all"]
            add_errors(total, actual if known else None, ours, theirs)
            total["series"] += known
    return sums


def levels_of(one: tuple[str, str]) -> Any:
    products = (("total", "total"), ("category", CATEGORY[one[1]]), ("sku", one[1]))
    return product(products, (("total", "total"), ("region", REGION[one[0]]), ("store", one[0])))


def add_errors(total: dict[str, Fraction], actual: Fraction | None, ours: Fraction, theirs: Fraction) -> None:
    total["rows"] += actual is not None
    total["rows_without_actual"] += actual is None
    if actual is not None:
        total["sales_units"] += actual
        total["error_units"] += ours - actual
        total["absolute_error_units"] += abs(ours - actual)
        total["squared_error_units2"] += (ours - actual) ** 2
        total["naive_absolute_error_units"] += abs(theirs - actual)


def add_quantiles(total: dict[str, Fraction], actual: Fraction, line: dict[str, Any]) -> None:
    total["quantile_rows"] += 1
    for name, level in zip(QUANTILE_COLUMNS, QUANTILES, strict=True):
        missed = actual - Fraction(line[name])
        total["pinball_loss_units"] += max(Fraction(str(level)) * missed, (Fraction(str(level)) - 1) * missed)


@pytest.mark.parametrize("seed", range(4))
def test_sums_are_those_of_plain_loops(seed: int) -> None:
    made = case(seed)
    frame = measure_run(KEY, TARGET, *made)
    found = {
        (row["product_level"], row["store_level"], row["segment_kind"], row["segment"]): row
        for row in frame.iter_rows(named=True)
    }
    wanted = expected(made)
    assert set(found) == set(wanted)
    rounded = {"squared_error_units2", "pinball_loss_units", "brier_loss"}
    for place, sums in wanted.items():
        for name, value in sums.items():
            if name in rounded:
                assert float(found[place][name]) == pytest.approx(float(value), abs=1e-6 * STORES * SKUS), (place, name)
            else:
                assert Fraction(found[place][name]) == value, (place, name)
