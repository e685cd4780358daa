"""Distributions of features against training's: another population is told, chance and a season are not."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import AS_USUAL, CHANGED, TOO_LITTLE_HISTORY
from forecast_assets.drift.features import judge_features, stability_index

DAY = date(2025, 6, 30)


def snapshot(seed: int, factor: float = 1.0, products: int = 300, promoted: float = 0.1) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "sku_id": [f"A{number}" for number in range(products)],
            "store_id": "S1",
            "age_days": np.full(products, seed),
            "sales_mean_28d_units": random.lognormal(1.0, 0.8, products) * factor,
            "promotion_28d_share": random.beta(10 * promoted, 10 * (1 - promoted), products),
        }
    )


def verdicts(now: pl.DataFrame, then: pl.DataFrame) -> dict[str, str]:
    return {each.name: each.verdict for each in judge_features(now, then, DAY)}


@pytest.mark.parametrize("seed", range(2, 12))
def test_another_sample_of_the_same_and_a_season_are_no_drift(seed: int) -> None:
    assert set(verdicts(snapshot(seed, factor=1.8), snapshot(1)).values()) == {AS_USUAL}


def test_another_population_is_told_of_the_feature_that_has_it() -> None:
    found = verdicts(snapshot(2, promoted=0.4), snapshot(1))
    assert found == {"sales_mean_28d_units": AS_USUAL, "promotion_28d_share": CHANGED}


def test_of_few_products_nothing_is_told() -> None:
    found = verdicts(snapshot(2, promoted=0.9, products=20), snapshot(1, products=20))
    assert set(found.values()) == {TOO_LITTLE_HISTORY}


def test_a_feature_that_training_knew_and_that_is_null_of_all_today_is_told() -> None:
    empty = snapshot(2).with_columns(promotion_28d_share=pl.lit(None, pl.Float64))
    assert verdicts(empty, snapshot(1)) == {"sales_mean_28d_units": AS_USUAL, "promotion_28d_share": CHANGED}
    few = empty.head(20)
    assert verdicts(few, snapshot(1))["promotion_28d_share"] == TOO_LITTLE_HISTORY
    assert verdicts(snapshot(2), empty)["promotion_28d_share"] == TOO_LITTLE_HISTORY, "training did not know it"


def test_the_index_is_that_of_shares_by_hand() -> None:
    past, present = np.array([0.0, 1.0] * 50), np.array([0.0] * 25 + [1.0] * 75)
    by_hand = (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5)
    assert stability_index(present, past) == pytest.approx(by_hand)
