"""Reading reports on drift: which figures are shown of a day, and that there may be none."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from forecast_assets.core.errors import NotReadyError
from forecast_assets.drift.judging import FIGURE_DAYS
from forecast_assets.operations.drift_reports import drift_report, figures_over_days
from forecast_assets.presentation.drift import drift_page
from resources.ledger.entries.judged_days import Signal
from resources.stores.home import Stores, open_stores
from tests.support.drift_cases import LAST, sell
from tests.support.ledger_cases import SIGNAL, judge

FEATURE = Signal("feature/price_ratio/distribution/changed/all", "2025-06-30", 0.4, "unlike in training")
SWAPPED = Signal("feed/sales/store_names/broken/stores", "2025-06-30", 9.0, "names are swapped")
DEAR = Signal("feed/prices/price_level/changed/all", "2025-06-30", 0.3, "dearer")


def judged(stores: Stores, *told: Signal, day: date = LAST) -> None:
    """Judge a day by hand, from a snapshot of all that is known."""
    facts = {"prediction_date": day.isoformat(), "known_until": f"{day}T23:59:59+00:00"}
    batches = [batch.batch_id for batch in stores.observations.batches()]
    snapshot = stores.predictions.write_bytes(
        "feature_snapshots", b"", key=day, path="predictions/feature_snapshots/made", rows=0, schema="",
        inputs={"batches": batches}, facts=facts,
    )  # fmt: skip
    judge(stores, day, told=told, snapshot=snapshot.version)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    made = open_stores(tmp_path_factory.mktemp("drift") / "store")
    sell(made, days=100)
    judged(made, SIGNAL)
    return made


@pytest.mark.parametrize("told", [(FEATURE,), (SWAPPED,), (DEAR,), ()])
def test_where_no_figure_of_a_feed_is_told_units_sold_are_shown(stores: Stores, told: tuple[Signal, ...]) -> None:
    days = figures_over_days(stores, replace(drift_report(stores, LAST), signals=told), days=14)
    assert set(days.select("feed", "figure").rows()) == {("sales", "sales_units")}
    assert days["event_date"].to_list()[-1] == LAST
    assert days.height == 14


def test_a_figure_that_is_told_is_shown_by_itself(stores: Stores) -> None:
    rows = Signal("feed/sales/rows/broken/stores", "2025-06-30", 1.2, "rows are missing")
    days = figures_over_days(stores, replace(drift_report(stores, LAST), signals=(rows, FEATURE)))
    assert set(days["figure"]) == {"rows"}
    assert days.schema == FIGURE_DAYS
    assert days["value"].null_count() < days.height


def test_without_a_feed_there_is_no_row_and_the_page_says_so_without_a_picture(tmp_path: Path) -> None:
    empty = open_stores(tmp_path / "store")
    judged(empty)
    report = drift_report(empty, LAST)
    days = figures_over_days(empty, report)
    assert (days.height, days.schema) == (0, FIGURE_DAYS)
    assert "<img" not in drift_page(report, days)


def test_a_day_that_was_not_judged_is_refused_with_what_to_do(stores: Stores) -> None:
    with pytest.raises(NotReadyError, match="The inputs of 2025-01-01 have not been judged"):
        drift_report(stores, date(2025, 1, 1))
