"""What is at risk in a published run, one line per SKU and store: what planners begin their day with.

What belongs here: a run laid out for planners, once, and choosing among its lines. What does not: showing them, or
overrides and what they do (operations.overrides).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import FORECAST_EXPLANATIONS, FORECASTS, STOCKOUT_RISKS
from forecast_assets.contracts.columns import QUALITY_FLAGS, RISK_BANDS
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.arrays import Bools, Rows
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.overrides import Scope
from forecast_assets.core.quantities import SCALE, UNITS, Millionths, from_units
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.history import History
from forecast_assets.operations.overrides import PlannedRun, acting_overrides, require_named
from forecast_assets.operations.reading import run_history, scan_product
from forecast_assets.overrides.instructions import ScopeRows
from resources.ledger.entries.override import PlannedOverride
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

# Worse ones later; an unknown risk is none that one could act on.
_BANDS: Final = ("unknown", *(band for band in RISK_BANDS if band != "unknown"))
# Prices are looked for so many days back.
_PRICE_DAYS: Final = 28
_SERIES_AT_ONCE: Final = 5_000


@dataclass(frozen=True)
class WorklistQuestion:
    """Which lines of a worklist.

    Attributes:
        scope: Only series below this node.
        band: Only series that reach this band of risk on some day; empty for all.
        flag: Only series with this quality flag on some day; empty for all.
        planner: Only series that overrides in force by this person are about; empty for all.
        skip: Lines before the first one that is wanted.
        limit: Lines that are wanted at most; None for all.
    """

    scope: Scope
    band: str = ""
    flag: str = ""
    planner: str = ""
    skip: int = 0
    limit: int | None = None


@dataclass(frozen=True)
class Worklist:
    """Lines of a worklist, the greatest expected loss first.

    Attributes:
        run: The run.
        published_at: When, ISO 8601 in UTC.
        lines: `store_id, sku_id`, of the day with the greatest expected loss `step, target_date,
            stockout_probability, day_lost_units`; over the horizon `lost_units, forecast_units`, the worst `risk_band`
            and all `quality_flags`; `unit_price` and `lost_value` (null without a price); `risk_reason,
            forecast_reason` of that day; and `planners` whose overrides are about it.
        found: Lines that are as asked, in all.
        lost_units: Expected loss of all of them over the horizon.
        lost_value: The same times prices; of series without a price nothing.
        without_price: How many of them have no price.
    """

    run: RunKey
    published_at: str
    lines: pl.DataFrame
    found: int
    lost_units: float
    lost_value: float
    without_price: int


@dataclass(frozen=True)
class PlannableRun:
    """A published run as planners look at it; what never changes of it is made once.

    Attributes:
        planned: The run as overrides are held against it, with its n series.
        forecast: [n, H] published demand, millionths.
        sales: [n, H] published expected sales, millionths.
        lost: [n, H] expected unmet demand, millionths; 0 where the risk is unknown.
        lines: [n] see `Worklist.lines`, without planners; in the order of the series.
        flagged: [n] By quality flag, which series have it on some day.
    """

    planned: PlannedRun
    forecast: Millionths
    sales: Millionths
    lost: Millionths
    lines: pl.DataFrame
    flagged: Mapping[str, Bools]

    @classmethod
    def of(cls, stores: Stores, publication: Publication) -> "PlannableRun":
        """Read all that is asked again and again of a published run: 2 s for 50,000 series, 28 days ahead."""
        planned = PlannedRun.of(stores, publication)
        horizon = publication.key.forecast_horizon
        told = _columns(stores, publication, FORECASTS.name, "forecast_units", "expected_sales_units", "quality_flags")
        risks = _columns(
            stores, publication, STOCKOUT_RISKS.name, "stockout_probability", "expected_lost_units", "risk_band",
            "target_date",
        )  # fmt: skip
        forecast, sales = (
            from_units(told[name]).reshape(-1, horizon) for name in ("forecast_units", "expected_sales_units")
        )
        lost = from_units(risks["expected_lost_units"].fill_null(0).cast(UNITS)).reshape(-1, horizon)
        flags = told["quality_flags"].fill_null("")
        flagged = {
            flag: np.asarray(flags.str.contains(flag, literal=True).to_numpy().reshape(-1, horizon).any(axis=1))
            for flag in QUALITY_FLAGS
        }
        lines = _lines(stores, planned, risks, forecast, lost, flagged)
        return cls(planned, forecast, sales, lost, lines, flagged)

    @property
    def key(self) -> RunKey:
        """The run."""
        return self.planned.key

    @cached_property
    def bands(self) -> Bools:
        """[bands, n] Which series are in a band on their worst day, by `RISK_BANDS`."""
        own = self.lines["risk_band"]
        return np.stack([(own == band).to_numpy() for band in RISK_BANDS])

    @cached_property
    def order(self) -> Rows:
        """[n] Series by expected lost value, the greatest first; where there is no price a unit counts 1."""
        worth = self.lines["lost_units"].cast(pl.Float64) * self.lines["unit_price"].fill_null(1.0)
        return np.argsort(-worth.to_numpy(), kind="stable")

    def place(self, store_id: str, sku_id: str) -> int:
        """Return the row of a series.

        Raises:
            InputError: If the run has no such series.
        """
        found = self.planned.rows_of(Scope.of(sku=sku_id, store=store_id))
        if not len(found):
            raise InputError(
                f"{self.key} has no SKU {sku_id} in store {store_id}.",
                remedy=Sentence("Look at what there is: ", Action("show", {"top": 20}, on=("forecasts", "..."))),
                store_id=store_id,
                sku_id=sku_id,
            )
        return int(found[0])

    def rows(self, scope: Scope) -> Rows:
        """Return the series below a node.

        Raises:
            InputError: If there is no such level or node.
        """
        require_named(self.planned, scope)
        return self.planned.rows_of(scope)

    def acting(self, stores: Stores) -> list[PlannedOverride]:
        """Return the overrides in force that are about some day of the run, oldest first."""
        return acting_overrides(stores.ledger, self.key)

    def worklist(self, stores: Stores, question: WorklistQuestion) -> Worklist:
        """Return lines as they are asked for.

        Raises:
            InputError: If there is no such node, band or flag.
        """
        acting = self.acting(stores)
        wanted = self._wanted(question, acting)
        places = self.order[wanted[self.order]]
        units, value = self.lines["lost_units"].cast(pl.Float64).to_numpy(), self.lines["lost_value"]
        last = None if question.limit is None else question.skip + question.limit
        shown = places[question.skip : last]
        return Worklist(
            self.key,
            self.planned.publication.recorded_at,
            self.lines[shown].with_columns(planners=pl.Series(self._planners(shown, acting), dtype=pl.String)),
            len(places),
            float(units[wanted].sum()),
            float(value.fill_null(0.0).to_numpy()[wanted].sum()),
            int(value.is_null().to_numpy()[wanted].sum()),
        )

    def _wanted(self, question: WorklistQuestion, acting: Sequence[PlannedOverride]) -> Bools:
        """[n] Which series are as asked; those that lose nothing are none to work on unless a planner is named."""
        wanted = np.zeros(self.lines.height, dtype=np.bool_)
        wanted[self.rows(question.scope)] = True
        if question.band:
            wanted &= self.bands[_known("band of risk", question.band, RISK_BANDS)]
        if question.flag:
            _known("quality flag", question.flag, QUALITY_FLAGS)
            wanted &= self.flagged[question.flag]
        if question.planner:
            own = np.zeros_like(wanted)
            for each in acting:
                if each.by == question.planner:
                    own[self.planned.rows_of(each.override.scope)] = True
            return wanted & own
        if not (question.band or question.flag):
            wanted &= self.lost.any(axis=1)
        return wanted

    def _planners(self, shown: Rows, acting: Sequence[PlannedOverride]) -> list[str]:
        """Return who has overridden each of some series."""
        rows_of = ScopeRows(self.planned.hierarchy.take(shown))
        found: list[list[str]] = [[] for _ in shown]
        for each in acting:
            for at in rows_of(each.override.scope):
                if each.by not in found[at]:
                    found[at].append(each.by)
        return [", ".join(names) for names in found]


def _known(what: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise InputError(f"There is no {what} `{name}`.", remedy=f"There are: {', '.join(names)}.")
    return names.index(name)


def _columns(stores: Stores, publication: Publication, product: str, *columns: str) -> pl.DataFrame:
    """Return columns of a product, in the order of series and steps, in which they are published."""
    return scan_product(stores, publication, product).select(columns).collect()


def _lines(
    stores: Stores,
    planned: PlannedRun,
    risks: pl.DataFrame,
    forecast: Millionths,
    lost: Millionths,
    flagged: Mapping[str, Bools],
) -> pl.DataFrame:
    count, horizon = lost.shape
    worst = lost.argmax(axis=1)
    rows = np.arange(count) * horizon + worst
    of_day: pl.DataFrame = risks[rows].select(
        pl.Series("step", worst + 1, dtype=pl.Int32),
        "target_date",
        pl.col("stockout_probability").cast(pl.Float64),
        day_lost_units=pl.col("expected_lost_units").cast(pl.Float64),
    )
    band = risks["risk_band"].cast(pl.Enum(_BANDS)).to_physical().to_numpy().reshape(count, horizon).max(axis=1)
    flags = [";".join(flag for flag, own in flagged.items() if own[at]) for at in range(count)]
    over_all = pl.DataFrame(
        {
            "lost_units": lost.sum(axis=1) / SCALE,
            "forecast_units": forecast.sum(axis=1) / SCALE,
            "risk_band": np.array(_BANDS)[band],
            "quality_flags": flags,
        },
        schema_overrides={"quality_flags": pl.String},
    )
    keyed: pl.DataFrame = pl.concat([planned.hierarchy.series, of_day, over_all], how="horizontal")
    prices = _newest_prices(run_history(stores, planned.publication))
    reasons = _reasons(stores, planned.publication, rows, horizon)
    return (
        keyed.join(prices, on=SERIES_KEY, how="left", maintain_order="left")
        .join(reasons, on=SERIES_KEY, how="left", maintain_order="left")
        .with_columns(lost_value=pl.col("lost_units") * pl.col("unit_price"))
    )


def _reasons(stores: Stores, publication: Publication, rows: Rows, horizon: int) -> pl.DataFrame:
    """Return why, on the worst day of each series: words of all days would take half a gigabyte at once."""
    told = scan_product(stores, publication, FORECAST_EXPLANATIONS.name).select(
        *SERIES_KEY, "risk_reason", "forecast_reason"
    )
    portion = _SERIES_AT_ONCE * horizon
    found = [
        told.slice(begin, portion).collect()[rows[(begin <= rows) & (rows < begin + portion)] - begin]
        for begin in range(0, len(rows) * horizon, portion)
    ]
    return pl.concat(found)


def _newest_prices(history: History) -> pl.DataFrame:
    """Return `store_id, sku_id, unit_price`: the newest price of each series that a run knew, of days that are past."""
    said = history.unresolved_feed("prices", since=history.cutoff - timedelta(days=_PRICE_DAYS - 1))
    if said is None:
        return pl.DataFrame(schema={**dict.fromkeys(SERIES_KEY, pl.String), "unit_price": pl.Float64})
    known = said.filter(pl.col("unit_price").is_not_null(), pl.col("event_date") <= history.cutoff)
    newest = known.sort("event_date", "known_at").group_by(SERIES_KEY).agg(pl.col("unit_price").last())
    found: pl.DataFrame = newest.collect()
    return found
