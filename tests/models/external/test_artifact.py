"""The external family: quantiles that a file leaves out, and artifacts that are read back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import DEMAND_CLASSES, QUANTILES
from forecast_assets.core.errors import InputError
from forecast_assets.models.calibration import calibrate
from forecast_assets.models.external.artifact import (
    ExternalArtifact,
    calibrate_recent_average,
    complete_quantiles,
    recent_average,
    register_external,
)
from forecast_assets.models.family import families, family
from tests.support.digests import digest
from tests.support.forecast_cases import WEEKDAY, lawful_panel, panel_of


def artifact() -> ExternalArtifact:
    file = {"name": "planners.csv", "sha256": "a" * 64}
    panel = lawful_panel(days=70)
    columns = {"qty": "forecast_units"}
    return register_external(panel, first_file=file, columns=columns, quantile_levels=(0.1, 0.9), history_days=364)


def test_the_artifact_is_read_back_exactly_by_its_family() -> None:
    made = artifact()
    content = made.to_bytes()
    assert family("external").load(content) == made
    assert family("external").load(content).to_bytes() == content
    assert digest(artifact().to_bytes()) == digest(content)
    assert made.horizon_days == 90
    assert set(made.rho) == set(DEMAND_CLASSES)


def test_an_unknown_family_and_bytes_of_another_are_refused() -> None:
    with pytest.raises(InputError, match=r"no model family `oracle`. Known: statistical, .*, external. Read"):
        family("oracle").load(b"{}")
    for name, each in families().items():
        with pytest.raises(InputError, match=rf"not of the family `{name}` in format"):
            each.load(b'{"family": "other", "format": 1}')


def test_the_recent_average_carries_level_and_week_on() -> None:
    sales = np.array([[10.0], [2.0]]) * WEEKDAY[np.arange(35) % 7]
    ahead = recent_average(panel_of(sales, horizon=9))
    assert ahead[:, :7] == pytest.approx(np.array([[10.0], [2.0]]) * WEEKDAY)
    assert ahead[:, 7:] == pytest.approx(ahead[:, :2])


def test_learned_quantiles_cover_what_comes() -> None:
    panel = lawful_panel(count=200, days=140, horizon=14, seed=5)
    learned = calibrate_recent_average(panel.as_of(14))
    mean = recent_average(panel.as_of(14))
    quantiles = learned.quantiles(mean, np.full(len(mean), "smooth"))
    actual = panel.sales[:, -14:]
    inside = (actual >= quantiles[:, :, 3]) & (actual <= quantiles[:, :, 9])
    assert abs(inside.mean() - 0.8) < 0.06


def test_a_record_too_short_to_learn_from_gives_wide_quantiles_not_an_error() -> None:
    learned = calibrate_recent_average(panel_of(np.ones((3, 20)), horizon=14))
    assert learned.quantiles(np.ones((1, 14)), np.array(["new"]))[0, 0].tolist() == [2 * level for level in QUANTILES]


def test_below_the_lowest_given_quantiles_fall_to_nothing_even_where_nothing_was_learned() -> None:
    complete = complete_quantiles(np.zeros((1, 1, 13)), {0.9: np.array([[1.8]])})[0, 0]
    assert complete.tolist() == [pytest.approx(2 * level) for level in QUANTILES[:10]] + [1.8] * 3


def test_without_any_given_the_learned_ones_are_used() -> None:
    learned = np.arange(13.0).reshape(1, 1, 13)
    assert complete_quantiles(learned, {}) is learned


LEVELS = st.sets(st.sampled_from(QUANTILES), min_size=1)
VALUES = st.lists(st.floats(0, 1e6), min_size=13, max_size=13)


@settings(max_examples=200, deadline=None)
@given(levels=LEVELS, values=VALUES, factors=VALUES)
def test_completed_quantiles_rise_and_keep_what_was_given(
    levels: set[float], values: list[float], factors: list[float]
) -> None:
    learned = np.sort(np.array(factors)).reshape(1, 1, 13)
    ranked = np.sort(np.array(values))
    stated = {level: np.array([[ranked[QUANTILES.index(level)]]]) for level in sorted(levels)}
    complete = complete_quantiles(learned, stated)[0, 0]
    assert (complete >= 0).all()
    # To a millionth, to which they are published.
    assert (np.diff(np.rint(complete * 1e6)) >= 0).all()
    for level, value in stated.items():
        assert complete[QUANTILES.index(level)] == value[0, 0]


def test_calibration_of_nothing_is_the_uninformed_one() -> None:
    nothing = calibrate(np.full((1, 7), np.nan), np.full((1, 7), np.nan), np.array(["new"]))
    assert nothing.sources["new|0|0"] == "*|*|*"
