from dataclasses import asdict, replace

import numpy as np
import pytest

from forecast_assets.contracts import QUANTILES
from forecast_assets.models.calibration import Calibration, calibrate

MEDIAN = QUANTILES.index(0.5)


def _classes(count: int, name: str = "smooth") -> np.ndarray:
    return np.full(count, name)


def test_quantiles_are_those_of_what_came_over_what_was_forecast() -> None:
    ratios = np.random.default_rng(0).gamma(4.0, 0.25, (3000, 7))
    made = calibrate(np.full((3000, 7), 2.0), 2.0 * ratios, _classes(3000))
    quantiles = made.quantiles(np.array([[2.0]]), _classes(1))[0, 0]
    assert quantiles == pytest.approx(2.0 * np.quantile(ratios, QUANTILES))


def test_the_share_of_days_within_each_quantile_is_its_level() -> None:
    """Learned on one half, counted on the other, with sizes and step buckets that spread differently."""
    random = np.random.default_rng(1)
    mean = np.exp(random.uniform(-2, 3, (6000, 1))) * np.ones(21)
    spread = np.where(np.arange(21) < 7, 0.2, 0.5) / np.sqrt(1 + mean)
    demand = mean * np.exp(random.normal(0, spread))
    half = np.arange(6000) < 3000
    made = calibrate(mean[half], demand[half], _classes(3000))
    within = demand[~half, :, None] <= made.quantiles(mean[~half], _classes(3000))
    for days in (slice(0, 7), slice(7, 14), slice(14, 21)):
        assert within[:, days].mean(axis=(0, 1)) == pytest.approx(QUANTILES, abs=0.015)


def test_a_sparse_segment_learns_from_a_wider_one_and_says_which() -> None:
    mean = np.vstack([np.full((500, 7), 5.0), np.full((40, 7), 0.2)])
    demand = mean * np.vstack([np.full((500, 7), 1.1), np.full((40, 7), 3.0)])
    made = calibrate(mean, demand, _classes(540))
    assert made.sources["smooth|4|0"] == "smooth|4|0"
    assert made.sources["smooth|1|0"] == "smooth|*|*"
    assert made.sources["lumpy|4|0"] == "*|4|*"
    assert made.sources["lumpy|1|0"] == "*|*|*"
    assert made.factors["lumpy|4|0"][MEDIAN] == pytest.approx(1.1)


def test_quantiles_rise_and_a_mean_of_zero_has_none() -> None:
    ratios = np.random.default_rng(2).gamma(0.3, 3.0, (900, 14))
    made = calibrate(np.ones((900, 14)), ratios, _classes(900))
    quantiles = made.quantiles(np.array([[0.0, 0.5, 200.0]]), _classes(1, "dead"))
    assert (np.diff(quantiles, axis=2) >= 0).all()
    assert quantiles[0, 0].tolist() == [0.0] * 13


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
def test_correlation_between_days_is_found(rho: float) -> None:
    random = np.random.default_rng(3)
    normal = np.sqrt(rho) * random.normal(size=(4000, 1)) + np.sqrt(1 - rho) * random.normal(size=(4000, 14))
    made = calibrate(np.full((4000, 14), 5.0), 5.0 * np.exp(0.4 * normal), _classes(4000))
    assert made.rho["smooth"] == pytest.approx(rho, abs=0.05)
    assert made.rho["dead"] == 0.0


def test_unknown_days_teach_nothing() -> None:
    demand = np.full((500, 7), 2.0)
    demand[::2, 3] = np.nan
    made = calibrate(np.full((500, 7), 2.0), demand, _classes(500))
    assert set(made.factors["smooth|3|0"]) == {1.0}
    assert np.isnan(made.scores(np.full((1, 7), 2.0), demand[:1], _classes(1))).sum() == 1


def test_without_any_pair_quantiles_still_hold_the_mean() -> None:
    made = calibrate(np.zeros((3, 7)), np.zeros((3, 7)), _classes(3, "dead"))
    assert made.quantiles(np.array([[3.0]]), _classes(1))[0, 0, MEDIAN] == 3.0


def test_calibration_survives_json() -> None:
    made = calibrate(np.ones((500, 7)), np.ones((500, 7)), _classes(500))
    assert Calibration.from_data(asdict(made)) == made


def test_what_too_few_days_showed_is_taken_from_a_calibration_with_more() -> None:
    random = np.random.default_rng(3)
    many, few = (np.full((rows, 7), 5.0) for rows in (300, 20))
    classes = {len(mean): np.where(np.arange(len(mean)) % 10 == 0, "lumpy", "smooth") for mean in (many, few)}
    came = {len(mean): random.poisson(mean).astype(float) for mean in (many, few)}
    rich, poor = (calibrate(mean, came[len(mean)], classes[len(mean)]) for mean in (many, few))
    both = poor.completed(rich)
    assert set(poor.sources.values()) == {"*|*|*"}
    filled = [name for name, source in rich.sources.items() if source != "*|*|*"]
    assert filled
    assert all(both.factors[name] == rich.factors[name] for name in filled)
    assert all(both.sources[name].startswith("statistical part: ") for name in filled)
    rest = set(poor.factors) - set(filled)
    assert all(both.factors[name] == poor.factors[name] for name in rest)
    assert rich.completed(poor) == rich


def test_a_segment_that_only_the_other_had_enough_of_is_taken_from_it() -> None:
    """Of few large rows the class alone is known, most of which are small and spread more; the other knows both."""
    random = np.random.default_rng(5)
    means = {rows: np.vstack([np.full((rows, 7), 0.5), np.full((rows // 10, 7), 50.0)]) for rows in (100, 3000)}
    few, many = (calibrate(mean, random.poisson(mean).astype(float), _classes(len(mean))) for mean in means.values())
    assert (few.sources["smooth|5|0"], many.sources["smooth|5|0"]) == ("smooth|*|*", "smooth|5|0")
    both = few.completed(many)
    assert both.factors["smooth|5|0"] == many.factors["smooth|5|0"]
    assert both.factors["smooth|2|0"] == few.factors["smooth|2|0"]
    assert both.factors["smooth|5|0"][-1] < 1.5 < few.factors["smooth|5|0"][-1]


def test_quantiles_are_those_of_the_calibration_that_is_asked() -> None:
    """What one has laid out of its factors is not another's, also of one that was made from it."""
    mean = np.full((2, 7), 5.0)
    one = calibrate(np.ones((500, 7)), np.ones((500, 7)), _classes(500))
    before = one.quantiles(mean, _classes(2))
    other = replace(one, factors={name: tuple(3.0 * each for each in values) for name, values in one.factors.items()})
    np.testing.assert_allclose(other.quantiles(mean, _classes(2)), 3.0 * before)
    np.testing.assert_array_equal(one.quantiles(mean, _classes(2)), before)
    assert "_table" not in one.to_data()
