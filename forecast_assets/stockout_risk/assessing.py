"""The frame of stock-out risks: which method serves a series, exact decimals, bands.

What belongs here: putting the two methods' results into the contract `stockout_risks`. What does not: the methods
(inventory, stock_status) or the words (explanations).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import QUANTILE_COLUMNS, RISK_BANDS, RISK_METHODS, SERIES_STEP_KEY, STOCKOUT_RISKS
from forecast_assets.core.arrays import Bools, Floats, Groups, Rows
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.quantities import SCALE, Millionths, from_units, narrowed, to_millionths, to_units
from forecast_assets.core.rows import are_same_rows
from forecast_assets.features.panel import SERIES_KEY, Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.artifact import RISK_THRESHOLDS, Artifact
from forecast_assets.models.demand import uncensor, usual_lost_share
from forecast_assets.models.sample_paths.marginals import sells_by_the_piece
from forecast_assets.models.stock_status.model import StatusProbabilities
from forecast_assets.stockout_risk.inventory import DEFAULT_PATHS, Demand, Supply, simulate_stock
from forecast_assets.stockout_risk.stock_status import assess_status, by_classifier, spread_over_days

_INVENTORY, _STATUS, _NONE = range(len(RISK_METHODS))
_INVENTORY_PARTS: Final = (
    "demand_probability", "on_hand_probability", "on_order_probability", "replenishment_probability",
)  # fmt: skip
_STATUS_PARTS: Final = ("usual_probability", "series_probability")
_VALUES: Final = (
    "stockout_probability", "expected_lost_units", "days_of_cover", *_INVENTORY_PARTS, *_STATUS_PARTS,
)  # fmt: skip


@dataclass
class RiskValues:
    """The columns of the frame, without bands and methods.

    Attributes:
        millionths: [n, H] by column; 0 where not known.
        known: [n, H] by column, which cells are known.
    """

    millionths: dict[str, Millionths]
    known: dict[str, Bools]

    @classmethod
    def unknown(cls, shape: tuple[int, int]) -> "RiskValues":
        """Return values of which none is known."""
        return cls(
            {name: np.zeros(shape, dtype=np.int64) for name in _VALUES},
            {name: np.zeros(shape, dtype=np.bool_) for name in _VALUES},
        )

    def put(self, name: str, rows: Rows, millionths: Millionths, known: Bools) -> None:
        """Put values of some series."""
        self.millionths[name][rows] = np.where(known, millionths, 0)
        self.known[name][rows] = known

    def column(self, name: str) -> pl.Series:
        """Return a column of the frame."""
        return to_units(self.millionths[name], name, self.known[name])


@dataclass(frozen=True)
class Rated:
    """What series that are rated by their stock status are rated by.

    Attributes:
        lost_share: [n] share of demand that usually meets an empty shelf; None where no status is known.
        status: What the version's classifier says of all n series; None where it has none.
    """

    lost_share: Floats | None = None
    status: StatusProbabilities | None = None


@dataclass(frozen=True)
class StatusDays:
    """What a record of stock status says of the days ahead, for n series over H days.

    Attributes:
        probability: [n, H] probability of any hour without stock, in millionths.
        usual_probability: [n, H] the part of it that follows from the product, the store and the day.
        lost_share: [n, H] share of the day's demand that meets an empty shelf.
    """

    probability: Millionths
    usual_probability: Millionths
    lost_share: Floats

    def take(self, rows: Rows) -> "StatusDays":
        """Return what is said of some series."""
        return StatusDays(self.probability[rows], self.usual_probability[rows], self.lost_share[rows])

    def narrowed(self) -> "StatusDays":
        """Return the same in less memory."""
        return StatusDays(narrowed(self.probability), narrowed(self.usual_probability), self.lost_share)


def status_days(panel: Panel, rated: Rated, forecast_lost_share: Floats | None, rows: Rows, width: int) -> StatusDays:
    """Return what the record of stock status of some series says of the days ahead.

    Args:
        panel: n series with a horizon of at least H days.
        rated: What they are rated by; by `usual_lost_share` and rates from the panel alone where nothing is said.
        forecast_lost_share: [n, H] share of demand that meets an empty shelf, where the model version forecasts it; NaN
            where it does not.
        rows: [k] which series.
        width: H.

    Returns:
        Of these k series.
    """
    share = usual_lost_share(panel, uncensor(panel)) if rated.lost_share is None else rated.lost_share
    risk = assess_status(panel) if rated.status is None else by_classifier(rated.status)
    lost = spread_over_days(share, risk.out_of_stock_share[:, :width])[rows]
    if forecast_lost_share is not None:
        lost = np.where(np.isnan(forecast_lost_share[rows]), lost, forecast_lost_share[rows])
    probability, usual = (to_millionths(each[rows, :width]) for each in (risk.probability, risk.usual_probability))
    return StatusDays(probability, usual, lost)


def rated_by(
    panel: Panel,
    product_groups: Groups,
    hierarchy: Hierarchy | None,
    artifact: Artifact,
    workers: int | None = None,
    factors: Floats | None = None,
) -> Rated:
    """Work out what series are rated by, from the demand that the forecasts rest on and the version's classifier.

    Args:
        panel: n series, T days of history, H ahead.
        product_groups: [n] group of each series.
        hierarchy: Of the same series; None where what they say together is held.
        artifact: Of the model version.
        workers: Threads; all cores if left out.
        factors: [n, T] `artifact.factors` of the panel, where they have been laid out already.
    """
    if not panel.knows_stock_status:
        return Rated()
    known, model = panel.within("risks"), artifact.stock_status
    laid_out = artifact.factors(panel, product_groups) if factors is None else factors
    return Rated(
        usual_lost_share(known, uncensor(known, laid_out)),
        None if model is None else model.assess(panel, product_groups, hierarchy, workers),
    )


def assessed(
    forecasts: pl.DataFrame,
    base: pl.DataFrame,
    panel: Panel,
    supply: Supply,
    rated: Rated,
    rho: Mapping[str, float],
    thresholds: Mapping[str, float],
    paths: int,
) -> pl.DataFrame:
    """Assess every row of a run, or of some of its series.

    Args:
        forecasts: `of_reconciled` of `reconciled_forecasts` as `overridden`, n x H rows sorted by series and step.
        base: `step, demand_class, lost_share` of `base_forecasts`, the same rows.
        panel: The same n series in the same order.
        supply: Positions of the same n series.
        rated: What those are rated by of which only stock status is known.
        rho: Correlation between the days of a series, by demand class.
        thresholds: Lowest probability of each band above the first.
        paths: Sampled futures of a series with a position.

    Returns:
        Contract `stockout_risks`, the same rows.
    """
    forecast_lost = base["lost_share"].to_numpy().reshape(panel.series.height, -1)
    return risk_frame(
        forecasts, panel, supply, correlation_of_days(base, rho), thresholds, paths,
        lost_share=rated.lost_share, forecast_lost_share=forecast_lost, status=rated.status,
    )  # fmt: skip


def correlation_of_days(base: pl.DataFrame, by_class: Mapping[str, float]) -> Floats:
    """[n] Return the correlation between the days of a series, by its demand class in `base_forecasts`."""
    classes = base["demand_class"].filter(base["step"] == 1)
    return np.array([by_class.get(name, 0.0) for name in classes.to_list()], dtype=np.float64)


def of_reconciled(supply: Supply) -> tuple[str, ...]:
    """Return the columns of `reconciled_forecasts` that `risk_frame` reads: quantiles only for a simulation."""
    quantiles = QUANTILE_COLUMNS if supply.has_position.any() else ()
    return (*SERIES_STEP_KEY, "target_date", "reconciled_units", *quantiles)


def risk_frame(
    forecasts: pl.DataFrame,
    panel: Panel,
    supply: Supply,
    rho: Floats,
    thresholds: Mapping[str, float] = RISK_THRESHOLDS,
    paths: int = DEFAULT_PATHS,
    lost_share: Floats | None = None,
    forecast_lost_share: Floats | None = None,
    status: StatusProbabilities | None = None,
) -> pl.DataFrame:
    """Assess every row of a run.

    A series with a position at the cutoff is simulated; one with a record of stock status only is rated by the
    version's classifier, or by rates of the record where it has none; for any other the risk is unknown, not low.

    Args:
        forecasts: `of_reconciled` of `reconciled_forecasts` as `overridden`, n x H rows sorted by store, SKU and step.
        panel: The same n series in the same order, with a horizon of at least H days.
        supply: Positions of the same n series, see `supply_at`.
        rho: [n] correlation between the days of a series, 0..1.
        thresholds: Lowest probability of the bands `moderate`, `high` and `critical`, rising.
        paths: Sampled futures of a series with a position.
        lost_share: [n] share of demand that usually meets an empty shelf, 0..1, for series that are rated by their
            stock status; if left out, by `usual_lost_share` from the panel alone.
        forecast_lost_share: [n, H] the same for each day, where the model version forecasts it; NaN where it does not.
        status: What the version's classifier says of all n series; None where it has none.

    Returns:
        Contract `stockout_risks`, the rows and order of ``forecasts``. Parts add up to the probability exactly.

    Raises:
        InputError: If the series do not line up or the thresholds do not rise within 0..1.
    """
    _require_same_series(forecasts, panel)
    cuts = _cuts(thresholds)
    shape = (panel.series.height, forecasts.height // panel.series.height)
    forecast, record = from_units(forecasts["forecast_units"]).reshape(shape), has_record(panel)
    rated = Rated(lost_share, status)
    values = risk_values(
        forecast, supply, record, paths,
        demand=lambda: _demand(forecasts, panel, rho, shape),
        rated=lambda rows: status_days(panel, rated, forecast_lost_share, rows, shape[1]),
    )  # fmt: skip
    method = np.where(supply.has_position, _INVENTORY, np.where(record, _STATUS, _NONE))
    columns = [
        *(values.column(name) for name in _VALUES),
        _band(values, cuts),
        pl.Series("risk_method", RISK_METHODS)[np.repeat(method, shape[1])],
    ]
    return STOCKOUT_RISKS.conform(forecasts.hstack(columns))


def risk_values(
    forecast: Millionths,
    supply: Supply,
    record: Bools,
    paths: int,
    *,
    demand: Callable[[], Demand],
    rated: Callable[[Rows], StatusDays],
) -> RiskValues:
    """Assess series by the method that serves each: the numbers of `risk_frame`.

    Args:
        forecast: [n, H] reconciled forecasts.
        supply: Positions of the n series.
        record: [n] whether each has a record of stock status.
        paths: Sampled futures of a series with a position.
        demand: Called where any has a position: what is asked for of all n series.
        rated: Called where any is rated by its stock status: what is said of those series.
    """
    values = RiskValues.unknown((forecast.shape[0], forecast.shape[1]))
    if supply.has_position.any():
        _put_simulated(values, np.flatnonzero(supply.has_position), demand(), supply, paths)
    rows = np.flatnonzero(record & ~supply.has_position)
    if len(rows):
        _put_rated(values, rows, forecast, rated(rows))
    values.millionths["expected_lost_units"] = np.minimum(values.millionths["expected_lost_units"], forecast)
    return values


def _require_same_series(reconciled: pl.DataFrame, panel: Panel) -> None:
    steps = reconciled.height / max(panel.series.height, 1)
    rows = np.repeat(np.arange(panel.series.height), int(steps))
    is_whole = steps.is_integer() and steps <= panel.horizon_days
    if is_whole and are_same_rows(reconciled, panel.series[SERIES_KEY][rows], SERIES_KEY):
        return
    found = reconciled.select(SERIES_KEY).unique(maintain_order=True)
    differing = found.join(panel.series, on=SERIES_KEY, how="anti")
    raise InputError(
        f"The forecasts ({found.height} series, {steps:g} steps each) do not line up with the panel "
        f"({panel.series.height} series, {panel.horizon_days} days ahead); only in the forecasts: "
        f"{first_ten(differing.rows()) or 'none'}.",
        remedy="Assess the forecasts with the snapshot they were made from, sorted by store, SKU and step.",
    )


def _cuts(thresholds: Mapping[str, float]) -> list[int]:
    """Lowest millionths of each band above `low`."""
    names = RISK_BANDS[1:4]
    values = [thresholds.get(name, -1.0) for name in names]
    if set(thresholds) != set(names) or not 0.0 <= values[0] < values[1] < values[2] <= 1.0:
        raise InputError(
            f"Risk thresholds {dict(thresholds)} do not rise within 0 to 1 through the bands {', '.join(names)}.",
            remedy=f"Give the lowest probability of each, for example {dict(RISK_THRESHOLDS)}.",
        )
    return [int(value) for value in to_millionths(values)]


def _band(values: RiskValues, cuts: list[int]) -> pl.Series:
    millionths, known = (of["stockout_probability"].ravel() for of in (values.millionths, values.known))
    passed = np.searchsorted(cuts, millionths, side="right")
    return pl.Series("risk_band", RISK_BANDS)[np.where(known, passed, len(RISK_BANDS) - 1)]


def has_record(panel: Panel) -> Bools:
    """[n] Return whether the hours without stock of any day of a series are known."""
    return np.asarray(~np.isnan(panel.out_of_stock_share).all(axis=1))


def _demand(forecasts: pl.DataFrame, panel: Panel, rho: Floats, shape: tuple[int, int]) -> Demand:
    quantiles = [from_units(forecasts[name]).reshape(shape) for name in QUANTILE_COLUMNS]
    return Demand(
        mean=from_units(forecasts["forecast_units"]).reshape(shape) / SCALE,
        quantiles=np.stack(quantiles, axis=-1) / SCALE,
        rho=rho,
        is_whole_units=sells_by_the_piece(panel.sales),
    )


def _put_simulated(values: RiskValues, rows: Rows, demand: Demand, supply: Supply, paths: int) -> None:
    risk = simulate_stock(demand.take(rows), supply.take(rows), paths)
    known = ~np.isnan(risk.lost_units)
    stages = to_millionths(np.nan_to_num(risk.stages))
    values.put("stockout_probability", rows, stages[-1], known)
    for name, part in zip(_INVENTORY_PARTS, np.diff(stages, axis=0, prepend=0), strict=True):
        values.put(name, rows, part, known)
    values.put("expected_lost_units", rows, to_millionths(np.nan_to_num(risk.lost_units)), known)
    cover = np.repeat(risk.days_of_cover[:, None], known.shape[1], axis=1)
    values.put("days_of_cover", rows, to_millionths(np.nan_to_num(cover)), ~np.isnan(cover))


def _put_rated(values: RiskValues, rows: Rows, forecast: Millionths, days: StatusDays) -> None:
    known = np.ones(days.probability.shape, dtype=np.bool_)
    values.put("stockout_probability", rows, days.probability, known)
    values.put("usual_probability", rows, days.usual_probability, known)
    values.put("series_probability", rows, days.probability - days.usual_probability, known)
    values.put("expected_lost_units", rows, to_millionths(forecast[rows] / SCALE * days.lost_share), known)
