"""Sizes of effects are asked for within what can be drawn."""

import pytest

from forecast_assets.core.errors import SourceError
from forecast_assets.simulation.calendar_settings import CalendarSettings


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"payday_share": 1.2}, r"payday_share=1\.2 \(0 to 1\)"),
        ({"noise_all": -0.1, "payday_size": 3.0}, r"payday_size=3\.0 \(0 to 2\), noise_all=-0\.1 \(0 to 2\)"),
        ({"weather_error": float("nan")}, "weather_error=nan"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_range(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        CalendarSettings(**wrong)


def test_an_effect_may_be_switched_off() -> None:
    assert CalendarSettings(payday_size=0.0, shift_every_days=0.0).shift_every_days == 0
