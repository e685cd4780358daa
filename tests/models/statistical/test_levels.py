from typing import Any

import numpy as np
import polars as pl
import pytest

from forecast_assets.models.statistical import levels
from forecast_assets.models.statistical.levels import MODELS, SUBSTITUTE, ZERO, forecast_levels

STEADY = np.full((3, 40), 6.0)


def _names(name: str, count: int = 3) -> np.ndarray[Any, np.dtype[np.str_]]:
    return np.full(count, name)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in (ZERO, levels.ONE)])
def test_every_model_keeps_a_steady_level(name: str) -> None:
    made = forecast_levels(STEADY, _names(name), 5)
    assert made.path == pytest.approx(6.0, rel=0.06)
    assert set(made.model_used) == {name}
    assert not made.is_fallback.any()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_copes_with_nothing_sold_and_with_a_single_day(name: str) -> None:
    cleaned = np.full((2, 40), np.nan)
    cleaned[0] = 0.0
    cleaned[1, -1] = 3.0
    made = forecast_levels(cleaned, _names(name, 2), 5)
    assert np.isfinite(made.path).all()
    assert (made.path >= 0).all()


def test_a_series_without_a_known_day_is_zero_and_says_so() -> None:
    cleaned = np.vstack([STEADY[:1], np.full((1, 40), np.nan)])
    made = forecast_levels(cleaned, _names("SimpleExponentialSmoothing(0.1)", 2), 5)
    assert made.path[1].tolist() == [0.0] * 5
    assert made.model_used.tolist() == ["SimpleExponentialSmoothing(0.1)", ZERO]


@pytest.mark.parametrize("name", MODELS)
def test_a_path_has_the_bits_that_statsforecast_gives(name: str) -> None:
    from statsforecast import StatsForecast

    cleaned = np.random.default_rng(3).gamma(2.0, 3.0, (6, 40))
    cleaned[:3][cleaned[:3] < 5.0] = 0.0
    cleaned[1:4, :9] = np.nan
    row, day = np.nonzero(~np.isnan(cleaned))
    long = pl.DataFrame({"unique_id": row, "ds": day, "y": cleaned[row, day]})
    made = StatsForecast([levels.build_model(name)], freq=1, n_jobs=1).forecast(h=5, df=long)
    expected = made.sort("unique_id", "ds")[made.columns[-1]].to_numpy().reshape(-1, 5)
    np.testing.assert_array_equal(levels.forecast_chunk(name, cleaned, 5), expected)


class _Stub:
    """A statsforecast model that does as it is told when it meets the value 7."""

    def __init__(self, does: Any) -> None:
        self.does = does

    def forecast(self, *, y: Any, h: int) -> dict[str, Any]:
        if 7.0 in y:
            return {"mean": np.full(h, self.does())}
        return {"mean": np.full(h, y[-1])}


def _raise(error: Exception) -> Any:
    def fail() -> float:
        raise error

    return fail


@pytest.mark.parametrize(
    "does",
    [
        _raise(ValueError("too few")),
        _raise(Exception("no model able to be fitted")),
        lambda: np.nan,
        lambda: -1.0,
        lambda: 71.0,
    ],
    ids=["raises", "raises a bare exception", "not a number", "negative", "diverges"],
)
def test_a_failing_series_falls_back_visibly_and_alone(monkeypatch: pytest.MonkeyPatch, does: Any) -> None:
    monkeypatch.setattr(levels, "build_model", lambda _name: _Stub(does))
    cleaned = STEADY.copy()
    cleaned[1, -28:] = np.tile([1.0, 7.0], 14)
    made = forecast_levels(cleaned, _names("CrostonSBA"), 5)
    assert made.is_fallback.tolist() == [False, True, False]
    assert made.model_used.tolist() == ["CrostonSBA", SUBSTITUTE, "CrostonSBA"]
    assert made.path[:, 0].tolist() == [6.0, 4.0, 6.0]


def test_a_bug_is_not_taken_for_a_failing_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "build_model", lambda _name: _Stub(_raise(KeyError("typo"))))
    with pytest.raises(KeyError):
        forecast_levels(np.full((2, 40), 7.0), _names("CrostonSBA", 2), 5)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(ValueError, match=r"Unknown level models: Oracle\."):
        forecast_levels(STEADY, _names("Oracle"), 5)


def test_processes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "_CHUNK", 4)
    monkeypatch.setattr(levels, "_WORTH_PROCESSES", 1)
    cleaned = np.random.default_rng(3).gamma(2.0, 3.0, (10, 40))
    names = np.where(np.arange(10) % 2 == 0, levels.THETA, "CrostonSBA")
    seen: list[tuple[int, int]] = []
    several = forecast_levels(cleaned, names, 5, workers=2, progress=lambda _, done, total: seen.append((done, total)))
    alone = forecast_levels(cleaned, names, 5, workers=1)
    assert several.path.tobytes() == alone.path.tobytes()
    assert seen == [(4, 10), (5, 10), (9, 10), (10, 10)]


def test_a_path_far_above_the_best_week_on_average_has_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    """No single day is ten times what was seen, yet ninety of them add up to what no quarter ever sold."""
    monkeypatch.setattr(levels, "build_model", lambda _name: _Stub(lambda: 25.0))
    cleaned = np.vstack([np.full(60, 6.0), np.full(60, 7.0)])
    made = forecast_levels(cleaned, _names("CrostonSBA", 2), 90)
    assert made.is_fallback.tolist() == [False, True]
    assert made.path[1] == pytest.approx(7.0)


def test_one_burst_long_ago_does_not_hide_a_diverged_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "build_model", lambda _name: _Stub(lambda: 200.0))
    cleaned = np.full((1, 60), 7.0)
    cleaned[0, 5] = 300.0
    made = forecast_levels(cleaned, _names("CrostonSBA", 1), 30)
    assert made.is_fallback.tolist() == [True]


def test_a_young_series_with_one_sale_is_not_taken_for_a_diverged_one() -> None:
    cleaned = np.full((1, 40), np.nan)
    cleaned[0, -3:] = [0.0, 0.0, 9.0]
    assert not forecast_levels(cleaned, _names("SimpleExponentialSmoothing(0.3)", 1), 28).is_fallback.any()


def test_a_trend_fades() -> None:
    rising = np.linspace(10.0, 30.0, 120)[None]
    path = forecast_levels(rising, _names(levels.THETA, 1), 90).path[0]
    steps = np.diff(path)
    assert steps[0] > 0
    assert steps[-1] == pytest.approx(steps[0] * levels.DAMPING**88, rel=0.01)
    assert path[-1] < 40.0
