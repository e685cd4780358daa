"""Quality flags: each is raised by its cause and by nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.base_forecasts.quality import deciding_inputs, quality_flags
from forecast_assets.contracts import QUALITY_FLAGS
from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.features.panel import Panel
from forecast_assets.models.distribution import learn_reference
from tests.support.forecast_cases import lawful_panel, panel_of

HORIZON = 3
NONE = np.zeros(2, dtype=np.bool_)


def panel(days: int = 60) -> Panel:
    return panel_of(np.ones((2, days)), horizon=HORIZON)


def flags(
    on: Panel,
    *,
    kind: str = "smooth",
    is_fallback: Bools = NONE,
    score: Floats | None = None,
    is_quarantined: Bools | None = None,
) -> list[list[str]]:
    found = quality_flags(on, np.array([kind, "smooth"]), is_fallback, score, is_quarantined)
    assert found.name == "quality_flags"
    return [found.to_list()[at : at + HORIZON] for at in (0, HORIZON)]


QUIET = [""] * HORIZON


def test_a_usual_series_has_none() -> None:
    assert flags(panel(), score=np.full((2, HORIZON), 0.99)) == [QUIET, QUIET]


def test_a_stand_in_is_flagged() -> None:
    assert flags(panel(), is_fallback=np.array([True, False])) == [["fallback"] * 3, QUIET]


def test_an_unusual_day_is_flagged_by_itself() -> None:
    score = np.array([[0.5, 0.995, 0.9949], [0.0, 0.0, 1.0]])
    assert flags(panel(), score=score) == [["", "out_of_distribution", ""], ["", "", "out_of_distribution"]]


def test_a_new_series_and_a_short_record_are_flagged() -> None:
    assert flags(panel(20), kind="new") == [["new_series;short_history"] * 3, ["short_history"] * 3]
    assert flags(panel(55)) == [["short_history"] * 3] * 2
    assert flags(panel(56)) == [QUIET, QUIET]


@pytest.mark.parametrize(("share", "is_flagged"), [(0.49, False), (0.5, True)])
def test_a_shelf_that_was_mostly_empty_by_the_hour_is_flagged(share: float, is_flagged: bool) -> None:
    empty = np.full((2, 60), 0.0)
    empty[0, -28:] = share
    found = flags(replace(panel(), missed_share=empty, is_censored=empty > 0))
    assert found == [["mostly_out_of_stock"] * 3 if is_flagged else QUIET, QUIET]


@pytest.mark.parametrize(("days", "is_flagged"), [(13, False), (14, True)])
def test_days_that_ended_with_an_empty_shelf_count_whole_where_no_hours_are_known(days: int, is_flagged: bool) -> None:
    is_censored = np.zeros((2, 60), dtype=np.bool_)
    is_censored[0, -days:] = True
    found = flags(replace(panel(), is_censored=is_censored, missed_share=np.full((2, 60), np.nan)))
    assert found == [["mostly_out_of_stock"] * 3 if is_flagged else QUIET, QUIET]


def test_a_day_without_a_plan_is_flagged_only_where_there_are_prices() -> None:
    has_plan = np.array([[True, False, True], [True, True, True]])
    assert flags(replace(panel(), has_plan=has_plan)) == [["", "no_plan", ""], QUIET]
    none = np.zeros((2, HORIZON), dtype=np.bool_)
    assert flags(replace(panel(), has_plan=none)) == [QUIET, QUIET], "there is no price feed"
    price = np.ones((2, 60 + HORIZON))
    price[1, 5] = 0.8
    assert flags(replace(panel(), has_plan=none, price_ratio=price)) == [["no_plan"] * 3] * 2


def test_several_are_joined_in_the_order_of_the_contract() -> None:
    price, empty = np.ones((2, 20 + HORIZON)), np.ones((2, 20))
    price[0, 0] = 0.5
    on = replace(
        panel(20), missed_share=empty, is_censored=empty > 0, price_ratio=price,
        has_plan=np.zeros((2, HORIZON), dtype=np.bool_),
    )  # fmt: skip
    found = flags(
        on, kind="new", is_fallback=np.array([True, True]), score=np.ones((2, HORIZON)),
        is_quarantined=np.array([True, False]),
    )  # fmt: skip
    assert "quarantined_rows" in found[0][0]
    assert "quarantined_rows" not in found[1][0]
    assert found[0][0].split(";") == list(QUALITY_FLAGS)


def test_the_input_that_decided_is_counted() -> None:
    """Prices never seen make their own rows unusual, and no others."""
    usual = lawful_panel(count=300, days=140, horizon=HORIZON, level=8.0, seed=1)
    reference = learn_reference(usual)
    price, has_plan = usual.price_ratio.copy(), usual.has_plan.copy()
    price[:5, usual.history_days :], has_plan[:5] = 0.01, True
    before, after = (
        dict(deciding_inputs(each, reference, reference.score(each)).select("input", "rows").iter_rows())
        for each in (usual, replace(usual, price_ratio=price, has_plan=has_plan))
    )
    assert after["price"] - before.get("price", 0) == 5 * HORIZON
    assert deciding_inputs(usual, reference, reference.score(usual))["share_of_rows"].sum() < 0.02
