"""The metrics of backtests: forecasts made at past cutoffs beside what came.

What belongs here: what is measured, over which segments, and how cutoffs are put together. What does not: making the
forecasts, or choosing anything by how they did.

Floats are summed along an axis or node by node, on one thread: dot products would add in an order that depends on how
many there are.

Forecasts of demand are judged twice: as expected sales against sales, on all days; and against the demand estimate,
which rests on the same assumptions as the forecast. In-stock days alone would show a bias even for a perfect forecast,
since high demand is what empties the shelf.

The definitions are those of utilsforecast where it has the metric, and tests compare the two. Its functions are not
called: they take one row per series and day, many times the room of these matrices, and group floats over threads,
which gives other last digits on every run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import BACKTESTED_METHOD, DEMAND_CLASSES, EVALUATION_REPORTS, QUANTILES
from forecast_assets.core.arrays import Bools, Codes, Floats, Names
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.hierarchy.membership import PRODUCT, Level
from forecast_assets.metrics.levels import LEVEL, BeforeReconciliation, Nodes, Scales, level_ratios, node_rmsse
from forecast_assets.metrics.quantiles import QuantileScores
from forecast_assets.metrics.ratios import MetricKey, Ratio, Ratios, pooled
from forecast_assets.metrics.risks import calibration_error, roc_auc
from forecast_assets.metrics.sampling import JudgedCells, one_sided_margin
from forecast_assets.metrics.scores import share_inside
from forecast_assets.models.calibration import STEP_EDGES

SEASONAL_NAIVE: Final = "seasonal_naive"
STATISTICAL: Final = "statistical"
CLIMATOLOGY: Final = "climatology"
ALL: Final = "all"
# A division into more nodes than this is not read by anyone, and the level's own metrics sum it up.
MOST_NODES: Final = 100
RECENT_DAYS: Final = 28
MEASURES: Final = {
    "cutoff": pl.Date,
    "method": pl.String,
    "segment_kind": pl.String,
    "segment": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "rows": pl.Int64,
}


@dataclass(frozen=True)
class Backtest:
    """Forecasts of n series made at one past cutoff, and what came; [n, H] unless said; NaN where unknown.

    Attributes:
        cutoff: Last day that the forecasts knew.
        hierarchy: Of the same series, in the same order; None for the series and their total only.
        past_sales: [n, T] units as known at the cutoff.
        sales: Units that came.
        expected_sales: Units expected by the version that is judged.
        demand: Estimated, or true, demand that came.
        mean: Its forecast.
        quantiles: [n, H, 13] of demand, at the levels of ``contracts.QUANTILES``.
        demand_class: [n] at the cutoff.
        others: Expected sales by other methods: `seasonal_naive` always, `statistical` and `champion` where compared.
        naive_demand: Demand by seasonal naive.
        unreconciled_sales: Units that the series' base forecasts expected to sell.
        node_demand: [m, H] demand that the nodes above the series were forecast by themselves, in the order of
            ``hierarchy.crossed_levels``; NaN where a node was not.
        stockout_probability: Of any unmet demand on the day.
        is_stockout: 1 where there was any, 0 where not.
        weight: [n] what each series counts in WRMSSE and WSPL: revenue of the last 28 days where prices are known,
            without NaN; None for units of the last 28 days.
    """

    cutoff: date
    hierarchy: Hierarchy | None
    past_sales: Floats
    sales: Floats
    expected_sales: Floats
    demand: Floats
    mean: Floats
    quantiles: Floats
    demand_class: Names
    others: Mapping[str, Floats]
    naive_demand: Floats
    unreconciled_sales: Floats | None = None
    node_demand: Floats | None = None
    stockout_probability: Floats | None = None
    is_stockout: Floats | None = None
    weight: Floats | None = None

    @property
    def weights(self) -> Floats:
        """[n] What each series counts: as given, or the units of its last 28 days."""
        if self.weight is not None:
            return self.weight
        return np.asarray(np.nan_to_num(self.past_sales[:, -RECENT_DAYS:]).sum(axis=1))

    @property
    def before_reconciliation(self) -> BeforeReconciliation | None:
        """What was said before reconciliation, where that is known."""
        if self.unreconciled_sales is None:
            return None
        return BeforeReconciliation(self.unreconciled_sales, self.mean, self.node_demand)

    @property
    def expected(self) -> dict[str, Floats]:
        """[n, H] Units expected, by method."""
        return {BACKTESTED_METHOD: self.expected_sales, **self.others}

    @property
    def rated(self) -> tuple[Floats, Floats]:
        """[k] Stock-out probabilities and whether there was one, of the days where both are known."""
        if self.stockout_probability is None or self.is_stockout is None:
            return np.zeros(0), np.zeros(0)
        is_rated = ~np.isnan(self.stockout_probability) & ~np.isnan(self.is_stockout)
        return self.stockout_probability[is_rated], self.is_stockout[is_rated]


@dataclass(frozen=True)
class Segmentation:
    """One way to divide rows into segments: by series, or by days ahead.

    Attributes:
        kind: What rows are divided by.
        names: Of the segments.
        code: Segment of each series [n], or of each day ahead [H], as a place in ``names``.
        axis: Axis of [n, H] that is summed first: 1 where series are divided, 0 where days are.
    """

    kind: str
    names: Sequence[str]
    code: Codes
    axis: int = 1

    def sums(self, values: Floats | Bools) -> Floats:
        """[segments] Sums of values [n, H] by segment, in one order of addition."""
        weights = values.sum(axis=self.axis, dtype=np.float64)
        return np.asarray(np.bincount(self.code, weights=weights, minlength=len(self.names)), dtype=np.float64)


def measure(backtests: Sequence[Backtest]) -> pl.DataFrame:
    """Measure forecasts of one or several cutoffs, by method and segment.

    Args:
        backtests: One per cutoff, in any order. Where their horizons overlap and they have hierarchies, the forecasts
            of consecutive cutoffs for the same days are compared too.

    Returns:
        `cutoff` (null for all cutoffs together), `method` (`version`, the names of ``others``, and `climatology`, the
        share of stock-outs that came, as a forecast), `segment_kind`, `segment`, `metric`, `value` and `rows`. Metrics
        without a row are left out; a value is null where nothing was sold. Over all cutoffs ratios are pooled;
        `wrmsse` and `wspl` are means over cutoffs.

    Raises:
        InputError: If there is no backtest, two of one cutoff, or one whose matrices do not fit together.
    """
    _require_sound(backtests)
    ordered = sorted(backtests, key=lambda backtest: backtest.cutoff)
    before = [None, *ordered[:-1]]
    parts = [_ratios(each) | _stability(last, each) for last, each in zip(before, ordered, strict=True)]
    rows = [
        *(row for each, part in zip(ordered, parts, strict=True) for row in _rows(each.cutoff, part, [each])),
        *_rows(None, pooled(parts), ordered),
    ]
    return pl.DataFrame(rows, schema=MEASURES, orient="row")


def report(backtests: Sequence[Backtest]) -> pl.DataFrame:
    """Measure a version over all cutoffs, beside seasonal naive; its Brier score beside that of climatology.

    Args:
        backtests: One per cutoff, in any order.

    Returns:
        Contract `evaluation_reports`.

    Raises:
        InputError: As `measure`.
    """
    overall = measure(backtests).filter(pl.col("cutoff").is_null()).drop("cutoff")
    ours = overall.filter(pl.col("method") == BACKTESTED_METHOD).drop("method")
    naive = overall.filter(pl.col("method").is_in([SEASONAL_NAIVE, CLIMATOLOGY]))
    baseline = naive.select(*EVALUATION_REPORTS.key, pl.col("value").alias("baseline_value"))
    beside = ours.join(baseline, on=list(EVALUATION_REPORTS.key), how="left", validate="1:1", maintain_order="left")
    return EVALUATION_REPORTS.conform(
        beside.with_columns(_gate_margin(sorted(backtests, key=lambda each: each.cutoff)))
    )


def _gate_margin(backtests: Sequence[Backtest]) -> pl.Expr:
    """Column `gate_margin`: how far chance may move what gates ask; null in all other rows."""
    margins = {metric: one_sided_margin(cells) for metric, cells in _gate_cells(backtests).items()}
    margin = pl.col("metric").replace_strict(margins, default=None, return_dtype=pl.Float64)
    return pl.when(pl.col("segment_kind") == ALL).then(margin).alias("gate_margin")


def _gate_cells(backtests: Sequence[Backtest]) -> dict[str, list[JudgedCells]]:
    """What gates ask, cutoff by cutoff, by metric; of `wape` the difference from seasonal naive."""
    numbers: dict[tuple[object, ...], int] = {}
    found: dict[str, list[JudgedCells]] = {}
    for each in backtests:
        names = _series_names(each)
        series, store = (
            np.array([numbers.setdefault(name[:kept], len(numbers)) for name in names], dtype=np.int64)
            for kept in (2, 1)
        )
        for metric, numerator, denominator, judged in _gate_sums(each):
            cells = JudgedCells(numerator, denominator, judged, series, store, each.cutoff.toordinal() + 1)
            found.setdefault(metric, []).append(cells)
    return found


def _series_names(backtest: Backtest) -> list[tuple[object, ...]]:
    """Store and SKU of each series; without a hierarchy one store, and the number of the row."""
    if backtest.hierarchy is None:
        return [(0, row) for row in range(len(backtest.sales))]
    return backtest.hierarchy.series.select(SERIES_KEY).rows()


def _gate_sums(backtest: Backtest) -> Iterator[tuple[str, Floats, Floats, Bools]]:
    """Metric, and [n, H] numerator, denominator and which days enter."""
    (_, _, error, came, known), (_, _, signed, _, _) = _errors("", "", backtest.sales, backtest.expected_sales)
    _, _, naive_error, _, naive_known = next(_errors("", "", backtest.sales, backtest.others[SEASONAL_NAIVE]))
    both = known & naive_known
    yield "wape", np.where(both, error - naive_error, 0.0), np.where(both, came, 0.0), both
    yield "bias", signed, came, known
    asked = ~np.isnan(backtest.demand) & ~np.isnan(backtest.quantiles[:, :, 0])
    inside = np.zeros(asked.shape)
    inside[asked] = share_inside(backtest.demand[asked], backtest.quantiles[asked], 0.1, 0.9)
    yield "coverage_80", inside, asked.astype(np.float64), asked


def _require_sound(backtests: Sequence[Backtest]) -> None:
    if not backtests:
        raise InputError("There is no backtest to measure.", remedy="Give at least one cutoff whose days ahead came.")
    cutoffs = [each.cutoff for each in backtests]
    if len(set(cutoffs)) < len(cutoffs):
        raise InputError(f"Cutoffs come twice: {first_ten(sorted(cutoffs))}.", remedy="Give each cutoff once.")
    for each in backtests:
        wrong = _misfits(each)
        if wrong:
            raise InputError(
                f"The backtest of {each.cutoff} does not fit together: {first_ten(wrong)}.",
                remedy="Give matrices of the same series and days ahead, in the order of the hierarchy.",
            )


def _misfits(backtest: Backtest) -> list[str]:
    """What of a backtest does not have the shape of its sales."""
    shape = backtest.sales.shape
    fields = ("expected_sales", "demand", "mean", "naive_demand", "unreconciled_sales", "stockout_probability",
              "is_stockout")  # fmt: skip
    matrices = {name: getattr(backtest, name) for name in fields} | dict(backtest.others)
    found = [
        f"{name} is {values.shape}, sales are {shape}"
        for name, values in matrices.items()
        if values is not None and values.shape != shape
    ]
    by_series = {"past_sales": len(backtest.past_sales), "demand_class": len(backtest.demand_class)}
    by_series["weights"] = len(backtest.weights)
    if backtest.hierarchy is not None:
        by_series["hierarchy"] = backtest.hierarchy.series.height
    found += [f"{name} has {count} series, not {shape[0]}" for name, count in by_series.items() if count != shape[0]]
    if backtest.quantiles.shape != (*shape, len(QUANTILES)):
        found.append(f"quantiles are {backtest.quantiles.shape}, not {(*shape, len(QUANTILES))}")
    if backtest.node_demand is not None:
        above = 0 if backtest.hierarchy is None else sum(len(each.places) for each in backtest.hierarchy.crossed_levels)
        if backtest.node_demand.shape != (above, shape[1]):
            found.append(f"node_demand is {backtest.node_demand.shape}, not {(above, shape[1])}")
    if np.isnan(backtest.weights).any():
        found.append("weight has NaN")
    return found if SEASONAL_NAIVE in backtest.others else [*found, f"others lack {SEASONAL_NAIVE}"]


def _rows(cutoff: date | None, ratios: Ratios, backtests: Sequence[Backtest]) -> Iterator[tuple[object, ...]]:
    """Rows of the result, of one cutoff or of all."""
    for key, ratio in (ratios | _largest_level_biases(ratios)).items():
        if ratio.rows:
            yield (cutoff, *key, ratio.value, ratio.rows)
    probability, happened = (np.concatenate(part) for part in zip(*(each.rated for each in backtests), strict=True))
    if len(probability):
        for metric, score in (("roc_auc", roc_auc), ("calibration_error", calibration_error)):
            yield (cutoff, BACKTESTED_METHOD, ALL, ALL, metric, score(probability, happened), len(probability))


def _largest_level_biases(ratios: Ratios) -> Ratios:
    """The largest absolute bias of any level, by method."""
    found: Ratios = {}
    for key, ratio in ratios.items():
        if (key.segment_kind, key.metric) == (LEVEL, "bias") and ratio.value is not None:
            name = MetricKey(key.method, ALL, ALL, "largest_level_bias")
            largest = max(abs(ratio.value), found[name].numerator if name in found else 0.0)
            found[name] = Ratio(largest, 1.0, found[name].rows + 1 if name in found else 1)
    return found


def _ratios(backtest: Backtest) -> Ratios:
    """All metrics of one cutoff that are ratios of sums."""
    nodes = Nodes.of(backtest.hierarchy, len(backtest.sales))
    scales = Scales.of(backtest.past_sales, nodes)
    scores, divisions = QuantileScores.of(backtest.demand, backtest.quantiles), list(_divisions(backtest))
    found: Ratios = {}
    for method, metric, numerator, denominator, judged in _cells(backtest, scores):
        for division in divisions:
            parts = zip(
                division.names, *(division.sums(each) for each in (numerator, denominator, judged)), strict=True
            )
            for name, top, below, rows in parts:
                found[MetricKey(method, division.kind, name, metric)] = Ratio(float(top), float(below), int(rows))
    found |= _series_rmsse(backtest, nodes, scales, divisions)
    found |= _wspl(backtest, scores, scales.absolute[nodes.series])
    return found | level_ratios(
        nodes, scales, backtest.weights, backtest.sales, backtest.expected, backtest.before_reconciliation
    )


def _divisions(backtest: Backtest) -> Iterator[Segmentation]:
    """The ways in which rows are divided into segments."""
    series_count, horizon = backtest.sales.shape
    yield Segmentation(ALL, (ALL,), np.zeros(series_count, dtype=np.int64))
    classes = [name for name in DEMAND_CLASSES if (backtest.demand_class == name).any()]
    yield Segmentation("demand_class", classes, np.argmax(backtest.demand_class[:, None] == np.array(classes), axis=1))
    edges = (0, *STEP_EDGES)
    steps = [f"{after + 1}-{until}" for after, until in pairwise(edges)] + [f"{edges[-1] + 1}+"]
    yield Segmentation("step", steps, np.searchsorted(STEP_EDGES, np.arange(1, horizon + 1)), axis=0)
    yield Segmentation("day_ahead", [str(day) for day in range(1, horizon + 1)], np.arange(horizon), axis=0)
    if backtest.hierarchy is not None:
        yield from _by_node("product_node", backtest.hierarchy.product_levels[1])
        yield from _by_node("store_node", backtest.hierarchy.store_levels[1])


def _by_node(kind: str, level: Level) -> Iterator[Segmentation]:
    """Divide series by the widest level below the total, unless that is the SKU or otherwise too fine to be read."""
    if level.name != PRODUCT and len(level.nodes) <= MOST_NODES:
        yield Segmentation(kind, level.nodes, level.code)


# Method, metric, and [n, H] what is summed, what it is divided by, and which days enter.
_Cell = tuple[str, str, Floats, Floats, Bools]


def _cells(backtest: Backtest, scores: QuantileScores) -> Iterator[_Cell]:
    """Row by row what metrics are made of; 0 on days that do not enter."""
    for method, forecast in backtest.expected.items():
        yield from _errors(method, "", backtest.sales, forecast)
    for method, forecast in ((BACKTESTED_METHOD, backtest.mean), (SEASONAL_NAIVE, backtest.naive_demand)):
        yield from _errors(method, "demand_", backtest.demand, forecast)
    yield from _quantile_cells(backtest, scores)
    yield from _brier_cells(backtest)


def _errors(method: str, prefix: str, actual: Floats, forecast: Floats) -> Iterator[_Cell]:
    """WAPE and bias; of a demand forecast without quantiles also the scaled pinball loss.

    Of a point forecast, twice the mean pinball loss over levels symmetric about one half is its absolute error.
    """
    known = ~np.isnan(actual) & ~np.isnan(forecast)
    came, error = np.where(known, actual, 0.0), np.where(known, forecast - actual, 0.0)
    yield method, f"{prefix}wape", np.abs(error), came, known
    yield method, f"{prefix}bias", error, came, known
    if prefix and method == SEASONAL_NAIVE:
        yield method, "scaled_pinball_loss", np.abs(error), came, known


def _quantile_cells(backtest: Backtest, scores: QuantileScores) -> Iterator[_Cell]:
    asked = scores.asked
    yield BACKTESTED_METHOD, "scaled_pinball_loss", 2 * scores.loss, np.where(asked, backtest.demand, 0.0), asked
    for percent, inside in scores.inside.items():
        yield BACKTESTED_METHOD, f"coverage_{percent}", inside, asked.astype(np.float64), asked


def _brier_cells(backtest: Backtest) -> Iterator[_Cell]:
    """Squared differences of probability and outcome, beside those of the share of days that had a stock-out."""
    if backtest.stockout_probability is None or backtest.is_stockout is None:
        return
    probability, happened = backtest.stockout_probability, backtest.is_stockout
    is_rated = ~np.isnan(probability) & ~np.isnan(happened)
    if not is_rated.any():
        return
    ones = is_rated.astype(np.float64)
    share = happened[is_rated].mean()
    yield BACKTESTED_METHOD, "brier", np.where(is_rated, (probability - happened) ** 2, 0.0), ones, is_rated
    yield CLIMATOLOGY, "brier", np.where(is_rated, (share - happened) ** 2, 0.0), ones, is_rated


def _series_rmsse(backtest: Backtest, nodes: Nodes, scales: Scales, divisions: Sequence[Segmentation]) -> Ratios:
    """Mean RMSSE of the series of each segment; days ahead are not divided, since a series' days make one root."""
    found: Ratios = {}
    for method, forecast in backtest.expected.items():
        rmsse = node_rmsse(nodes, scales, backtest.sales, forecast)[nodes.series, None]
        judged = ~np.isnan(rmsse)
        for division in (each for each in divisions if each.axis):
            totals, counts = division.sums(np.nan_to_num(rmsse)), division.sums(judged)
            for name, total, count in zip(division.names, totals, counts, strict=True):
                found[MetricKey(method, division.kind, name, "rmsse")] = Ratio(float(total), float(count), int(count))
    return found


def _wspl(backtest: Backtest, scores: QuantileScores, scale: Floats) -> Ratios:
    """Weighted scaled pinball loss of the series (M5 uncertainty: doi:10.1016/j.ijforecast.2021.10.009).

    The mean pinball loss of nine quantiles over the days ahead, over the mean absolute one-day difference of past
    sales, weighted. There are quantiles of series only, so this is the last of M5's twelve levels.
    """
    ours = np.where(scores.asked, scores.wspl_loss, np.nan)
    # Of a point forecast, the mean pinball loss over levels symmetric about one half is half its absolute error.
    naive = np.abs(backtest.naive_demand - backtest.demand) / 2
    found: Ratios = {}
    for method, losses in ((BACKTESTED_METHOD, ours), (SEASONAL_NAIVE, naive)):
        days = (~np.isnan(losses)).sum(axis=1)
        can_be = (days > 0) & (scale > 0)
        weight = backtest.weights[can_be]
        if weight.sum() > 0:
            scaled = np.nan_to_num(losses[can_be]).sum(axis=1) / days[can_be] / scale[can_be]
            value = float((weight * scaled).sum() / weight.sum())
            found[MetricKey(method, ALL, ALL, "wspl")] = Ratio(value, 1.0, int(days[can_be].sum()))
    return found


def _stability(earlier: Backtest | None, later: Backtest) -> Ratios:
    """How much forecasts of the same days changed from one cutoff to the next, in parts of the later ones."""
    if earlier is None or earlier.hierarchy is None or later.hierarchy is None:
        return {}
    days = (later.cutoff - earlier.cutoff).days
    width = min(earlier.sales.shape[1] - days, later.sales.shape[1])
    if width <= 0:
        return {}
    first, second = _same_series(earlier.hierarchy, later.hierarchy)
    found: Ratios = {}
    for method in (name for name in later.expected if name in earlier.expected):
        old, new = earlier.expected[method][first, days : days + width], later.expected[method][second, :width]
        both = ~np.isnan(old) & ~np.isnan(new)
        change = float(np.abs(new - old)[both].sum())
        found[MetricKey(method, ALL, ALL, "stability")] = Ratio(change, float(new[both].sum()), int(both.sum()))
    return found


def _same_series(earlier: Hierarchy, later: Hierarchy) -> tuple[Codes, Codes]:
    """Places of the series that both hierarchies have."""
    shared = earlier.series.with_row_index("first").join(
        later.series.with_row_index("second"), on=SERIES_KEY, maintain_order="left"
    )
    return shared["first"].cast(pl.Int64).to_numpy(), shared["second"].cast(pl.Int64).to_numpy()
