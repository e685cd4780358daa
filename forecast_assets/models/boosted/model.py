"""The global family: trees that all series share, on top of the statistical family's level and factors.

What belongs here: the artifact, and forecasting series with it. What does not: training, trees, inputs, upper nodes.

Trees start from the series' level of the last four weeks times the statistical family's factors, and correct the
logarithm of it. Where stock status is known, sales are forecast by trees of their own (`sales`), and what they leave of
demand is lost; versions from before have a second ensemble instead, which says which share of demand finds stock.
Series without a record of their own (new, dead, ended, or without stock all of the last 91 days) are forecast by the
statistical family. In the family `combined` the two families are averaged with weights by demand class that would have
been best on the last days, drawn towards halves: which of two sound forecasts is better in the next weeks is seldom
known (Bates & Granger 1969, doi:10.1057/jors.1969.103; Diebold & Pauly 1990, doi:10.1016/0169-2070(90)90028-A).

**From the logarithm to units.** A forecast is level times exp(sum of contributions c). Its distance from the level is
shared out in proportion to the contributions, by the logarithmic mean: driver k gets c_k (m - b) / ln(m / b), for the
forecast m and the level b (the logarithmic-mean Divisia index, Ang 2005, doi:10.1016/j.enpol.2003.10.010). That adds up
exactly, does not depend on an order of the drivers, and has no remainder.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.contracts import DEMAND_CLASSES
from forecast_assets.core.arrays import Bools, Floats, Groups, InputMatrix, Names, Rows
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.threads import in_threads
from forecast_assets.features.panel import Panel
from forecast_assets.models.boosted.covariate_inputs import DRIVER
from forecast_assets.models.boosted.inputs import (
    KINDS,
    RECURRING,
    CutoffInputs,
    InputSpec,
    TreePanel,
    inputs_version,
)
from forecast_assets.models.boosted.sales import SalesModel, share_lost
from forecast_assets.models.boosted.sales_inputs import SalesCutoff
from forecast_assets.models.boosted.text import require_whole
from forecast_assets.models.boosted.trees import Trees
from forecast_assets.models.calendar.calendar import LARGEST_FACTOR, SMALLEST_FACTOR
from forecast_assets.models.calibration import Calibration
from forecast_assets.models.demand import usual_lost_share
from forecast_assets.models.distribution import Reference
from forecast_assets.models.envelope import from_json, to_json
from forecast_assets.models.sample_paths.dependence import Dependence
from forecast_assets.models.screening import screened
from forecast_assets.models.short_history import calibrated_quantiles
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.effects import Factors
from forecast_assets.models.statistical.levels import SERIES_STAGE
from forecast_assets.models.statistical.series import FACTORED, WITHOUT_LEVEL, SeriesForecasts, forecast_screened
from forecast_assets.models.stock_status.model import StatusModel

GLOBAL: Final = "global"
COMBINED: Final = "combined"
FORMAT: Final = 1
# Share of the trees in the forecast of a series that they serve, where nothing else is known: by family.
SHARES: Final[Mapping[str, float]] = {GLOBAL: 1.0, COMBINED: 0.5}
MODEL: Final = "LightGBM"
_LEVEL: Final = "level_units"
# Series at a time: the inputs of so many are laid out in the processor's cache, twice as fast as of four times as many.
_CHUNK: Final = 2_500


@dataclass(frozen=True)
class GlobalArtifact:
    """What training decides.

    Attributes:
        family: `global` or `combined`.
        statistical: What the statistical family decides: factors, classes, series without a record, nodes above.
        demand: Trees for the logarithm of demand.
        kept: Trees for the logarithm of the share of demand that finds stock, in versions from before there were
            models of sales; else None.
        inputs: [f] what both look at.
        categories: Product groups that training saw, sorted.
        smallest: Level that counts as nothing, units.
        shares: Share of the trees in the forecasts of each demand class that they serve; by family for others.
        calibration: Quantile factors and correlations of these forecasts.
        comparisons: Backtest losses of the two families and of their mean, by demand class.
        sales: Models of sales; None without a record of stock status, or where no shelf was ever empty.
    """

    family: str
    statistical: StatisticalArtifact
    demand: Trees
    kept: Trees | None
    inputs: tuple[InputSpec, ...]
    categories: tuple[str, ...]
    smallest: float
    shares: Mapping[str, float]
    calibration: Calibration
    comparisons: Mapping[str, Mapping[str, float]]
    sales: SalesModel | None = None

    def share_of(self, demand_class: Groups) -> Floats:
        """[n, 1] Share of the trees in the forecast of each series; 0 where they do not serve it."""
        shares = {name: self.shares.get(name, SHARES[self.family]) for name in DEMAND_CLASSES}
        shares |= dict.fromkeys(WITHOUT_LEVEL, 0.0)
        names, place = np.unique(demand_class, return_inverse=True)
        return np.array([shares[str(name)] for name in names])[place][:, None]

    @property
    def inputs_version(self) -> str:
        """Version that follows from the definitions of the inputs."""
        return inputs_version((*self.inputs, *(() if self.sales is None else self.sales.inputs)))

    @property
    def history_days(self) -> int:
        """Days of history to read when scoring."""
        return self.statistical.history_days

    @property
    def horizon_days(self) -> int:
        """Days ahead that trees and calibration were learned on."""
        return self.statistical.horizon_days

    @property
    def group_level(self) -> str:
        """Product level whose nodes are the groups."""
        return self.statistical.group_level

    @property
    def rho(self) -> dict[str, float]:
        """Correlation between the normal scores of two days of a series, by demand class."""
        return dict(self.calibration.rho)

    @property
    def follows_last_year(self) -> bool:
        """Whether the time of year is last year's change against the last weeks, not a season against the year."""
        return self.statistical.follows_last_year

    @property
    def dependence(self) -> Dependence | None:
        """How errors of series and days hang together; None in versions from before that was learned."""
        return self.calibration.dependence

    @property
    def stock_status(self) -> StatusModel | None:
        """Classifier of series of which only stock status is known: the statistical part's."""
        return self.statistical.stock_status

    @property
    def risk_thresholds(self) -> Mapping[str, float]:
        """Lowest stock-out probability of each risk band above the first."""
        return self.statistical.risk_thresholds

    @property
    def reference(self) -> Reference | None:
        """What the inputs of training were like; None in versions from before that was recorded."""
        return self.statistical.reference

    @property
    def recurring_events(self) -> tuple[str, ...]:
        """Names of the events whose effect counts as that of paydays."""
        of_trees = {spec.of for spec in self.inputs if spec.kind == RECURRING}
        return tuple(sorted(of_trees.union(self.statistical.recurring_events)))

    def facts(self) -> dict[str, Any]:
        """Return what the artifact's manifest records besides family, cutoff and horizon."""
        return {"inputs_version": self.inputs_version, **self.statistical.facts()}

    def quantiles(self, mean: Floats, demand_class: Names) -> Floats:
        """[n, H, 13] Quantiles of every day's demand, wider where calibration did not reach."""
        return calibrated_quantiles(self.calibration, self.statistical.short_history, mean, demand_class)

    def factors(self, panel: Panel, product_groups: Groups) -> Floats:
        """[n, T] What multiplies the level of a series on each day of the history: the statistical part's."""
        return self.statistical.factors(panel, product_groups)

    def compared(self) -> pl.DataFrame:
        """Lay out what the backtests compared, as the statistical family does."""
        rows = [
            (f"family for {name}", candidate, loss / max(min(losses.values()), 1e-12), candidate == self.family)
            for name, losses in self.comparisons.items()
            for candidate, loss in losses.items()
        ]
        own = pl.DataFrame(rows, schema=self.statistical.compared().schema, orient="row")
        return pl.concat([own.sort("choice", "loss_over_best", "candidate"), self.statistical.compared()])

    def to_bytes(self) -> bytes:
        """Write canonical JSON with the trees in LightGBM's native text; equal artifacts are equal bytes."""
        data = {
            "statistical": self.statistical.to_data(),
            "demand": self.demand.to_data(),
            "kept": None if self.kept is None else self.kept.to_data(),
            "inputs": [asdict(spec) for spec in self.inputs],
            "categories": list(self.categories),
            "smallest": self.smallest,
            "shares": self.shares,
            "calibration": self.calibration.to_data(),
            "comparisons": self.comparisons,
        }
        if self.sales is not None:
            data["sales"] = self.sales.to_data()
        return to_json(self.family, FORMAT, data)

    @classmethod
    def from_bytes(cls, family: str, content: bytes) -> "GlobalArtifact":
        """Read back what `to_bytes` wrote, exactly.

        Args:
            family: `global` or `combined`.
            content: The artifact's bytes, whose hash the caller has verified.

        Raises:
            InputError: If the bytes are of another family or format, or no artifact that training makes.
        """
        remedy = "Train the version again with this release, or score with the release that trained it."
        data = from_json(family, FORMAT, content, remedy=remedy)
        specs = tuple(InputSpec.from_data(spec) for spec in data["inputs"])
        drivers = tuple(spec.driver for spec in specs)
        found = cls(
            family=family,
            statistical=StatisticalArtifact.from_data(data["statistical"]),
            demand=Trees.from_data(data["demand"], drivers),
            kept=None if data["kept"] is None else Trees.from_data(data["kept"], drivers),
            inputs=specs,
            categories=tuple(data["categories"]),
            smallest=data["smallest"],
            shares=data["shares"],
            calibration=Calibration.from_data(data["calibration"]),
            comparisons=data["comparisons"],
            sales=SalesModel.from_data(data["sales"], specs) if "sales" in data else None,
        )
        mistakes = _mistakes(found)
        if mistakes:
            raise InputError(f"The artifact of the family `{family}` is wrong: {'; '.join(mistakes)}.", remedy=remedy)
        for trees in (found.demand, found.kept):
            if trees is not None:
                require_whole(trees.text, [spec.name for spec in specs])
        if found.sales is not None:
            found.sales.require_whole(specs)
        return found


@dataclass(frozen=True)
class GlobalForecasts:
    """Forecasts of the global family with what they stand on.

    Attributes:
        series: The family's forecasts of n series.
        statistical: The statistical family's forecasts of the same.
        trees: [n, H] units by the trees alone; those of the statistical family for series that they do not serve.
    """

    series: SeriesForecasts
    statistical: SeriesForecasts
    trees: Floats

    @property
    def for_nodes(self) -> SeriesForecasts:
        """The statistical forecasts that nodes above go by, moved as covariates move these forecasts.

        Nodes do not read covariates themselves, and would take back what trees know by them.
        """
        moved = self.series.components[DRIVER]
        if not moved.any():
            return self.statistical
        without = self.series.mean - moved
        factor = np.divide(self.series.mean, without, out=np.ones_like(without), where=without > 0)
        return replace(self.statistical, mean=self.statistical.mean * np.clip(factor, SMALLEST_FACTOR, LARGEST_FACTOR))


def _mistakes(found: GlobalArtifact) -> list[str]:
    """Return what no training decides, in words."""
    outside = [name for name, share in found.shares.items() if name not in DEMAND_CLASSES or not 0.0 <= share <= 1.0]
    unknown = [spec.name for spec in found.inputs if spec.kind not in KINDS or spec.driver not in FACTORED]
    is_wrong = {
        f"no demand class with a share of 0 to 1: {first_ten(outside)}": bool(outside),
        f"this release does not know the kind or driver of {first_ten(unknown)}": bool(unknown),
        "product groups are not sorted, each once": list(found.categories) != sorted(set(found.categories)),
        f"the smallest level is {found.smallest}": not 0.0 < found.smallest < np.inf,
    }
    of_sales = [] if found.sales is None else found.sales.mistakes()
    return [words for words, holds in is_wrong.items() if holds] + of_sales


def forecast_global(
    panel: Panel,
    artifact: GlobalArtifact,
    product_groups: Groups,
    *,
    progress: Progress = silent,
    workers: int | None = None,
) -> GlobalForecasts:
    """Forecast every series of a panel.

    Args:
        panel: n series, T days of history, H ahead.
        artifact: What training decided.
        product_groups: [n] group of each series, as in training.
        progress: Called with the stage, series done and series in all.
        workers: Processes for slow models of the statistical part; all cores if left out.
    """
    unscreened, panel = panel, screened(panel)
    statistical = forecast_screened(panel, artifact.statistical, product_groups, workers=workers)
    record = TreePanel.of(panel, statistical.history.factors, product_groups, artifact.categories, artifact.smallest)
    cutoff = scoring_cutoff(record)
    rows = forecast_by_trees(statistical.demand_class)
    rows = rows[cutoff.is_seen[rows]]
    scoring = _Scoring.of(artifact, statistical, cutoff)
    share = scoring.share
    components = {name: values.copy() for name, values in statistical.components.items()}
    trees, lost = statistical.mean.copy(), scoring.nothing_known()
    artifact.demand.prepare()
    parts = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    for done, (some, made) in enumerate(in_threads(scoring.forecast, parts, workers), start=1):
        for name, values in made.components.items():
            components[name][some] += share[some] * scoring.is_open[some] * (values - components[name][some])
        trees[some] = made.trees
        if lost is not None:
            lost[some] = made.lost_share
        progress(SERIES_STAGE, min(done * _CHUNK, len(rows)), len(rows))
    mean = statistical.mean + share * (trees - statistical.mean)
    series = replace(
        statistical,
        mean=mean,
        components=components,
        quantiles=artifact.quantiles(mean, statistical.demand_class),
        model_used=_named(statistical.model_used, share[:, 0]),
        # A statistical model that failed does not touch series that it has no share in.
        is_fallback=statistical.is_fallback & (share[:, 0] < 1.0),
        lost_share=lost,
        out_of_distribution=None if artifact.reference is None else artifact.reference.score(unscreened),
    )
    return GlobalForecasts(series, statistical, trees)


@dataclass(frozen=True)
class _Scored:
    """Forecasts of some series by trees.

    Attributes:
        components: [k, h] units by component.
        trees: [k, h] their sum; 0 on closed days.
        lost_share: [k, h] share of demand that meets no stock; None where stock status is not known at all.
    """

    components: Mapping[str, Floats]
    trees: Floats
    lost_share: Floats | None


@dataclass(frozen=True)
class _Scoring:
    """A panel's own cutoff with all that forecasts of some of its series are made from.

    Attributes:
        artifact: What training decided.
        statistical: The statistical family's forecasts of n series.
        cutoff: The cutoff.
        share: [n, 1] share of the trees in each forecast.
        is_open: [n, h] whether each store is open. Logarithms know no zero: on a closed day the statistical family's
            terms, which add up to it, stand for both.
        sales: The cutoff as trees for sales see it; None where stock status is not known at all.
        usual: [n, 1] share of demand that each series usually loses.
    """

    artifact: GlobalArtifact
    statistical: SeriesForecasts
    cutoff: CutoffInputs
    share: Floats
    is_open: Bools
    sales: SalesCutoff | None
    usual: Floats

    @classmethod
    def of(cls, artifact: GlobalArtifact, statistical: SeriesForecasts, cutoff: CutoffInputs) -> "_Scoring":
        panel = cutoff.record.panel
        says_what_is_lost = artifact.kept is not None or artifact.sales is not None
        is_known = says_what_is_lost and panel.knows_stock_status
        return cls(
            artifact=artifact,
            statistical=statistical,
            cutoff=cutoff,
            share=artifact.share_of(statistical.demand_class) * cutoff.is_seen[:, None],
            is_open=~panel.is_closed[:, panel.history_days :],
            sales=SalesCutoff(cutoff) if is_known else None,
            usual=usual_lost_share(panel, statistical.history.demand)[:, None],
        )

    def nothing_known(self) -> Floats | None:
        """[n, h] shares of demand that meet no stock, unknown so far; None where stock status is not known at all."""
        return None if self.sales is None else np.full(self.statistical.mean.shape, np.nan)

    def forecast(self, rows: Rows) -> _Scored:
        """Forecast some series, [k] of the n; writes nothing that others read."""
        inputs = self.cutoff.inputs(self.artifact.inputs, rows)
        factors = self.statistical.history.factors
        components = explained(self.cutoff, factors, rows, self.artifact.demand, inputs)
        trees = np.sum(list(components.values()), axis=0) * self.is_open[rows]
        statistical = self.statistical.mean[rows]
        return _Scored(
            components, trees, self._lost(rows, inputs, statistical + self.share[rows] * (trees - statistical))
        )

    def _lost(self, rows: Rows, inputs: InputMatrix, demand: Floats) -> Floats | None:
        """[k, h] Share of the demand [k, h] of some series that is lost, from their inputs [k * h, f]."""
        usual = self.usual[rows]
        if self.sales is not None and self.artifact.sales is not None:
            return share_lost(demand, self.artifact.sales.units(self.sales.view(rows), inputs), usual)
        if self.sales is not None and self.artifact.kept is not None:
            lost = 1.0 - kept_share(self.artifact.kept, inputs).reshape(demand.shape)
            return np.asarray(usual + SHARES[self.artifact.family] * (lost - usual))
        return None


def forecast_by_trees(demand_class: Groups) -> Rows:
    """Return which series trees forecast: those with a record of their own."""
    return np.flatnonzero(~np.isin(demand_class, WITHOUT_LEVEL))


def scoring_cutoff(record: TreePanel) -> CutoffInputs:
    """Return a panel's own cutoff with the days of its horizon."""
    days = record.panel.history_days
    return CutoffInputs(record, days - 1, np.arange(days, days + record.panel.horizon_days))


def explained(
    cutoff: CutoffInputs, factors: Factors, rows: Rows, trees: Trees, inputs: InputMatrix
) -> dict[str, Floats]:
    """Forecast some series, taken apart by the logarithmic mean.

    Args:
        cutoff: Where they stand.
        factors: [n, T + H] each.
        rows: [k] which series.
        trees: For the logarithm of demand.
        inputs: [k * h, f] of the same series.

    Returns:
        [k, h] units by component, in the order of `FACTORED`; they add up to the forecast.
    """
    shape = len(rows), len(cutoff.targets)
    found = trees.contributions(inputs)
    logs = {name: found[:, 1 + at].reshape(shape) for at, name in enumerate(trees.names)}
    logs[_LEVEL] = logs.get(_LEVEL, 0.0) + found[:, 0].reshape(shape)
    cells = rows[:, None], cutoff.targets
    for name, factor in factors.by_component(cells).items():
        logs[name] = logs.get(name, 0.0) + np.log(factor)
    return share_out(cutoff.base[rows, None], logs)


def share_out(level: Floats, logs: Mapping[str, Floats]) -> dict[str, Floats]:
    """Turn contributions to a logarithm into units: see above.

    Args:
        level: [k, 1] units that the contributions start from.
        logs: [k, h] contributions by component.

    Returns:
        [k, h] units by component, in the order of `FACTORED`; they add up to level times exp(sum of contributions).

    Example:
        >>> parts = share_out(np.array([[2.0]]), {"price_units": np.array([[0.3]]), "event_units": np.array([[0.1]])})
        >>> float(sum(parts.values())[0, 0].round(6)) == round(2.0 * float(np.exp(0.4)), 6)
        True
        >>> float((parts["price_units"] / parts["event_units"])[0, 0].round(6))
        3.0
    """
    total = np.sum(list(logs.values()), axis=0)
    # (exp(t) - 1) / t, which is 1 at 0.
    steepness = np.divide(np.expm1(total), total, out=np.ones_like(total), where=np.abs(total) > 0)
    units = {name: logs.get(name, np.zeros_like(total)) * level * steepness for name in FACTORED}
    units[_LEVEL] = units[_LEVEL] + level
    return units


def kept_share(trees: Trees, inputs: InputMatrix) -> Floats:
    """[k] Share of demand that finds stock, at most all of it."""
    return np.asarray(np.exp(np.minimum(trees.score(inputs), 0.0)))


def _named(models: npt.NDArray[np.object_], share: Floats) -> npt.NDArray[np.object_]:
    """[n] What made each forecast: the trees, a level model, or both."""
    both = np.array([f"{MODEL}+{name}" for name in models], dtype=object)
    return np.where(share == 0.0, models, np.where(share == 1.0, np.array(MODEL, dtype=object), both))
