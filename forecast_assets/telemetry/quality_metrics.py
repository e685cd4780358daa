"""Figures of how good published forecasts were: error, bias, coverage, calibration, value of overrides.

What belongs here: ratios of the exact sums that measurements have, by segments of which there are few. What does not:
measuring (`accuracy`), or figures by store or SKU, which are in the products themselves.
"""

from collections.abc import Iterator
from datetime import timedelta
from threading import Lock
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import AT_MOST_COLUMNS, FORECAST_ACCURACY, QUANTILES
from forecast_assets.core.errors import NotReadyError
from forecast_assets.core.keys import CADENCES
from forecast_assets.core.operational_metrics import OperationalMetric, Reading
from forecast_assets.hierarchy.membership import PRODUCT, STORE
from forecast_assets.operations.value_added import value_added
from forecast_assets.telemetry.home_metrics import Home
from resources.ledger.entries.measure import Measurements

# Days back from the newest measured one.
WINDOW_DAYS: Final = 28
_SEGMENTS: Final = ("all", "demand_class", "risk_band")
_BY: Final = ("cadence", "model_version", "segment_kind", "segment")
_WINDOW: Final = f"over the newest {WINDOW_DAYS} measured days"

WAPE: Final = OperationalMetric(
    "accuracy_wape_share", "gauge", "share", f"Absolute errors of expected sales by units sold, {_WINDOW}.", _BY
)
SKILL: Final = OperationalMetric(
    "accuracy_relative_to_naive_share",
    "gauge",
    "share",
    f"Absolute errors by those of seasonal naive on the same rows, {_WINDOW}; below 1: better.",
    _BY,
)
BIAS: Final = OperationalMetric(
    "accuracy_bias_share", "gauge", "share", f"Expected sales less sales, by units sold, {_WINDOW}.", _BY
)
COVERAGE: Final = OperationalMetric(
    "accuracy_coverage_share",
    "gauge",
    "share",
    f"Rows inside the central interval of so many percent, {_WINDOW}; calibrated where it is the interval's share.",
    (*_BY, "interval_percent"),
)
AT_MOST: Final = OperationalMetric(
    "calibration_at_most_share",
    "gauge",
    "share",
    f"Rows at or below each quantile, of all series, {_WINDOW}; calibrated where it is the quantile's level.",
    ("cadence", "model_version", "quantile"),
)
RISK: Final = OperationalMetric(
    "calibration_stockouts_observed_by_expected",
    "gauge",
    "ratio",
    f"Rows with a stock-out by the sum of their published probabilities, {_WINDOW}; calibrated at 1.",
    _BY,
)
JUDGED: Final = OperationalMetric("accuracy_rows", "gauge", "rows", f"Forecasts that could be judged, {_WINDOW}.", _BY)
VALUE: Final = OperationalMetric(
    "override_value_added_points",
    "gauge",
    "percent of sales",
    "By how much of sales planners' overrides made forecasts better, of the newest 91 days; below 0: worse.",
    ("cadence",),
)
VALUE_ROWS: Final = OperationalMetric(
    "override_rows", "gauge", "rows", "Overridden forecasts that this was judged on.", ("cadence",)
)
QUALITY_METRICS: Final = (WAPE, SKILL, BIAS, COVERAGE, AT_MOST, RISK, JUDGED, VALUE, VALUE_ROWS)
_SUMS: Final = (
    "rows", "sales_units", "error_units", "absolute_error_units", "naive_absolute_error_units", "quantile_rows",
    "inside_50_rows", "inside_80_rows", "inside_95_rows", "stockout_rows", "expected_stockout_rows", *AT_MOST_COLUMNS,
)  # fmt: skip


class QualityReadings:
    """Reads the figures, and again only when the ledger has grown: files are read for them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sequence, self._read = -1, tuple[Reading, ...]()

    def __call__(self, home: Home) -> tuple[Reading, ...]:
        """Return the figures.

        Raises:
            ForecastAssetsError: If the ledger or a measurement cannot be read.
        """
        sequence = home.stores.ledger.state().sequence
        with self._lock:
            if sequence != self._sequence:
                self._read = tuple(quality_readings(home))
                self._sequence = sequence
            return self._read


def quality_readings(home: Home) -> Iterator[Reading]:
    """Read how good published forecasts of live versions were.

    Args:
        home: Whose.

    Yields:
        Figures of the versions that are champion or challenger of a cadence, each over its own newest days.
    """
    for cadence in CADENCES:
        yield from _accuracy(home, cadence)
        yield from _value(home, cadence)


def _accuracy(home: Home, cadence: str) -> Iterator[Reading]:
    state = home.stores.ledger.state()
    measurements = state.part(Measurements)
    days = sorted(day for of, day in measurements.by_day if of == cadence)
    days = [day for day in days if days[-1] - day < timedelta(days=WINDOW_DAYS)]
    store = home.stores.predictions
    channels = (CADENCES[cadence].champion, CADENCES[cadence].challenger)
    live = [version for version in map(state.channel, channels) if version is not None]
    frames = [
        store.read(store.version(each.product_version)).filter(
            pl.col("segment_kind").is_in(_SEGMENTS),
            pl.col("model_version").is_in(live),
            pl.col("product_level") == PRODUCT,
            pl.col("store_level") == STORE,
        )
        for each in measurements.newest_of(cadence, days)
    ]
    rows = pl.concat([pl.DataFrame(schema=FORECAST_ACCURACY.schema), *frames], how="diagonal")
    # Sums of decimals, which do not depend on their order.
    sums = rows.group_by("model_version", "segment_kind", "segment").agg(pl.col(*_SUMS).sum())
    for row in sums.sort("model_version", "segment_kind", "segment").iter_rows(named=True):
        yield from _of_segment(row, (cadence, row["model_version"], row["segment_kind"], row["segment"]))


def _of_segment(row: dict[str, Any], labels: tuple[str, ...]) -> Iterator[Reading]:
    def ratio(metric: OperationalMetric, above: str, below: str, *more: str) -> Iterator[Reading]:
        if row[below]:
            yield metric(float(row[above] or 0) / float(row[below]), *labels, *more)

    yield JUDGED(row["rows"], *labels)
    yield from ratio(WAPE, "absolute_error_units", "sales_units")
    yield from ratio(BIAS, "error_units", "sales_units")
    yield from ratio(SKILL, "absolute_error_units", "naive_absolute_error_units")
    for percent in (50, 80, 95):
        yield from ratio(COVERAGE, f"inside_{percent}_rows", "quantile_rows", str(percent))
    yield from ratio(RISK, "stockout_rows", "expected_stockout_rows")
    if row["segment_kind"] == "all" and row["quantile_rows"]:
        for name, level in zip(AT_MOST_COLUMNS, QUANTILES, strict=True):
            share = float(row[name] or 0) / float(row["quantile_rows"])
            yield AT_MOST(share, labels[0], labels[1], f"{level:g}")


def _value(home: Home, cadence: str) -> Iterator[Reading]:
    try:
        overall = value_added(home.stores, cadence=cadence).overall
    except NotReadyError:
        return
    if overall is not None and overall.value_added_points is not None:
        yield VALUE(overall.value_added_points, cadence)
        yield VALUE_ROWS(overall.rows, cadence)
