"""Canaries: rows that know the future, planted where a run must not see them, and what a run makes of its inputs.

What belongs here: the two retailers, with and without canaries; what is read of them and published from them; ways to
leak. What does not: assertions on any of it.

Both retailers know the same by ``KNOWN_UNTIL``. Of every feed the second one says more, in the same files and in those
of a more trusted source: what became known later, bent so that whoever reads it forecasts better; and rows of the day
after the cutoff, known in time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import ALL_STORES, FEEDS
from forecast_assets.core.arrays import Floats
from forecast_assets.core.keys import RunKey
from forecast_assets.features.compiler import compute_features
from forecast_assets.features.panel import Panel
from forecast_assets.features.specs import DEFAULT_SPECS
from forecast_assets.history.as_known import History
from forecast_assets.ingestion.batch import Batch
from forecast_assets.launch import Runner
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.boosted.inputs import SeriesView
from forecast_assets.models.family import family as family_of
from forecast_assets.models.forecasts import ForecastInputs
from forecast_assets.settings import Settings
from forecast_assets.simulation.simulator import Simulation, SimulatorSettings
from forecast_assets.snapshots.stage import known_history
from resources.stores.moments import PLANNED, Moments
from resources.stores.observations import ObservationStore
from tests.support.digests import digest
from tests.support.fitted import fit
from tests.support.forecast_cases import one_group

CUTOFF: Final = date(2025, 6, 16)
HORIZON: Final = 14
RETAILER: Final = SimulatorSettings(skus=12, stores=2, days=150, seed=5, end=CUTOFF + timedelta(days=HORIZON))
KNOWN_UNTIL: Final = datetime(2025, 6, 17, 6, tzinfo=UTC)
# When canaries become known: after the run, or, of the day after the cutoff, just before it.
TOO_LATE: Final = KNOWN_UNTIL + timedelta(days=1)
IN_TIME: Final = KNOWN_UNTIL - timedelta(hours=1)
SERIES: Final = ["sku_id", "store_id"]

_NEXT: Final = CUTOFF + timedelta(days=1)
_DAY: Final = pl.col("event_date")

Patch = Callable[[pytest.MonkeyPatch], None]


def honest(simulation: Simulation) -> list[Batch]:
    """Return what every source had said by ``KNOWN_UNTIL`` of the days up to the cutoff, and its plans ahead."""
    return [replace(batch, frame=batch.frame.filter(_is_told(batch.feed))) for batch in _deliveries(simulation)]


def planted(simulation: Simulation) -> list[Batch]:
    """Return the same and, in the same files and in those of another source, what nobody may know yet."""
    said = _deliveries(simulation)
    lags = {batch.feed: timedelta(hours=6) for batch in said} | {"stock_status": timedelta(hours=6)}
    oracle = [
        Batch(feed, "oracle", 1.0, lag, _known(feed, _canary(feed, simulation), TOO_LATE).sort("event_date"))
        for feed, lag in lags.items()
    ]
    return [*(_mixed(batch, simulation) for batch in said), *oracle]


def true_sales(simulation: Simulation) -> pl.DataFrame:
    """Return `sku_id, store_id, target_date, sales` of the days to come."""
    return _to_come(simulation).select(*SERIES, target_date="event_date", sales="sales_units")


def _deliveries(simulation: Simulation) -> list[Batch]:
    """The simulated retailer's batches, with some series late by two days and half the plan made on short notice."""
    batches = []
    for batch in simulation.batches:
        frame = batch.frame
        if batch.feed == "sales":
            frame = frame.filter(~_is_late()).with_columns(known_at=_without_other_lateness())
        if batch.feed == "prices":
            is_plan = _DAY > CUTOFF
            batches.append(replace(batch, frame=frame.filter(is_plan & ~_is_short_notice())))
            frame = frame.filter(~is_plan)
        batches.append(replace(batch, frame=frame))
    return batches


def _is_told(feed: str) -> pl.Expr:
    is_due = pl.lit(value=True) if feed in PLANNED else _DAY <= CUTOFF
    return is_due & (pl.col("known_at") <= KNOWN_UNTIL)


def _is_late() -> pl.Expr:
    return pl.col("sku_id").str.ends_with("4") & _DAY.is_between(CUTOFF - timedelta(days=1), CUTOFF)


def _is_short_notice() -> pl.Expr:
    return pl.col("sku_id").str.slice(-1).is_in(["1", "3", "5", "7", "9"])


def _without_other_lateness() -> pl.Expr:
    """First words on past days in time: a hole within what comes in one piece would be refused."""
    is_first = pl.col("known_at") == pl.col("known_at").min().over(*SERIES, "event_date")
    in_time = pl.min_horizontal("known_at", pl.lit(KNOWN_UNTIL).cast(FEEDS["sales"].schema["known_at"]))
    return pl.when(is_first & (_DAY < CUTOFF)).then(in_time).otherwise("known_at")


def _mixed(batch: Batch, simulation: Simulation) -> Batch:
    """A source's batch with its own canaries among the rows."""
    canary = _canary(batch.feed, simulation)
    if batch.feed == "prices":
        # The plan has one row per key, so that nothing has to be decided there: only what it was read by can keep it.
        is_plan = batch.frame["event_date"].min() > CUTOFF  # type: ignore[operator]
        canary = canary.filter((_DAY > CUTOFF) & _is_short_notice() if is_plan else _DAY <= CUTOFF)
    rows = [batch.frame, _known(batch.feed, canary, TOO_LATE)]
    if batch.feed in ("sales", "inventory_positions"):
        begun = canary.filter(_DAY == CUTOFF).with_columns(event_date=pl.lit(_NEXT))
        rows.append(_known(batch.feed, begun, IN_TIME))
    frame = pl.concat(rows).unique(batch.contract.key, keep="last", maintain_order=True)
    return replace(batch, frame=frame.sort("event_date"))


def _known(feed: str, rows: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """Lay rows out as the feed's contract has them; what they do not say is null."""
    schema = FEEDS[feed].schema
    absent = [pl.lit(None).alias(name) for name in schema if name not in [*rows.columns, "known_at"]]
    return rows.with_columns(*absent, known_at=pl.lit(moment)).select(list(schema)).cast(dict(schema))


def _canary(feed: str, simulation: Simulation) -> pl.DataFrame:
    """Rows of a feed that tell what comes; without the moment at which they are known."""
    return _CANARIES[feed](simulation)


def _to_come(simulation: Simulation) -> pl.DataFrame:
    """Truth of the days of the horizon."""
    return simulation.truth.filter(_DAY.is_between(_NEXT, CUTOFF + timedelta(days=HORIZON)))


def _bent(simulation: Simulation) -> pl.DataFrame:
    """Truth of the days to come, dated twice into the days before the cutoff."""
    ahead = _to_come(simulation)
    return pl.concat([ahead.with_columns(_DAY - timedelta(days=times * HORIZON)) for times in (1, 2)])


def _positions(simulation: Simulation) -> pl.DataFrame:
    (batch,) = [each for each in simulation.batches if each.feed == "inventory_positions"]
    ahead = _bent(simulation).select(*SERIES, "event_date", "on_hand_units")
    return batch.frame.drop("on_hand_units", "known_at").join(ahead, on=[*SERIES, "event_date"])


def _stock_status(simulation: Simulation) -> pl.DataFrame:
    return _bent(simulation).with_columns(
        out_of_stock_hours=pl.when("is_stockout").then(8.0).otherwise(0.0), trading_hours=16.0
    )


def _prices(simulation: Simulation) -> pl.DataFrame:
    """Prices that fall as much as sales rise, of the bent past and of the days to come."""
    told = pl.concat([_bent(simulation), _to_come(simulation)])
    above = (1.0 + pl.col("sales_units")) / (1.0 + pl.col("sales_units").mean().over(SERIES))
    return told.with_columns(price_ratio=above.clip(0.1, 10.0) ** -0.5, is_promotion=above > 1.5)


def _purchase_orders(simulation: Simulation) -> pl.DataFrame:
    asked = _bent(simulation).group_by(SERIES).agg(ordered_units=pl.col("sales_units").sum()).sort(SERIES)
    return asked.with_row_index("number").with_columns(
        order_id="PO-KNOWING-" + pl.col("number").cast(pl.String),
        event_date=pl.lit(CUTOFF),
        received_date=pl.lit(_NEXT),
    )


def _events(simulation: Simulation) -> pl.DataFrame:
    """A name for the days on which more is sold than usual."""
    told = pl.concat([_bent(simulation), _to_come(simulation)])
    totals = told.group_by("event_date").agg(pl.col("sales_units").sum()).sort("event_date")
    busy = totals.filter(pl.col("sales_units") > pl.col("sales_units").mean())
    return busy.with_columns(event_name=pl.lit("knowing_day"), store_node=pl.lit(ALL_STORES))


def _products(simulation: Simulation) -> pl.DataFrame:
    """A place for each product beside those that will sell as much."""
    sums = true_sales(simulation).group_by("sku_id").agg(pl.col("sales").sum()).sort("sales", "sku_id")
    half = pl.when(pl.int_range(pl.len()) * 2 < pl.len()).then(pl.lit("SINKS")).otherwise(pl.lit("SOARS"))
    return _places(sums.select("sku_id", half=half), ("department", "category", "subcategory"))


def _stores(simulation: Simulation) -> pl.DataFrame:
    sums = true_sales(simulation).group_by("store_id").agg(pl.col("sales").sum()).sort("sales", "store_id")
    half = pl.concat_str(pl.lit("RANK-"), pl.int_range(pl.len()))
    return _places(sums.select("store_id", half=half), ("country", "region", "city"))


def _places(members: pl.DataFrame, levels: tuple[str, ...]) -> pl.DataFrame:
    """One row per member and level, widest level first, all below the member's half."""
    names = pl.DataFrame({"level_name": levels}).with_columns(depth=pl.int_range(1, pl.len() + 1))
    placed = members.join(names, how="cross")
    node = pl.concat_str("half", pl.lit("-"), "depth")
    return placed.with_columns(node_id=node, event_date=pl.lit(CUTOFF))


_CANARIES: Final[Mapping[str, Callable[[Simulation], pl.DataFrame]]] = {
    "sales": _bent,
    "stock_status": _stock_status,
    "inventory_positions": _positions,
    "purchase_orders": _purchase_orders,
    "prices": _prices,
    "events": _events,
    "product_hierarchy": _products,
    "store_hierarchy": _stores,
}


def new_runner(home: Path) -> Runner:
    """A runner on an empty home folder, for runs of this size."""
    return Runner(Settings(home=home, workers=1, risk_paths=50))


def read(runner: Runner) -> dict[str, pl.DataFrame]:
    """Return everything that a run reads of a store as of the cutoff: features, feeds, matrices of the panel."""
    history = known_history(runner.stores, CUTOFF)
    features = compute_features(DEFAULT_SPECS, history.feeds_for(DEFAULT_SPECS), cutoff=CUTOFF)
    panel = history.panel(features, history_days=364, horizon_days=HORIZON)
    feeds = {
        name: rows.collect().select(FEEDS[name].names).sort(FEEDS[name].key)
        for name, rows in history.feeds(ahead_days=HORIZON).items()
    }
    memberships = {f"places of {name}": history.membership(name) for name in ("product_hierarchy", "store_hierarchy")}
    placed = {name: frame for name, frame in memberships.items() if frame is not None}
    return {"features": features, **feeds, **placed, **matrices(panel)}


def matrices(panel: Panel) -> dict[str, pl.DataFrame]:
    """Return every matrix of a panel as a frame."""
    values = {field.name: getattr(panel, field.name) for field in fields(panel)}
    return {
        f"panel.{name}": pl.DataFrame(value, schema=[str(column) for column in range(value.shape[1])])
        for name, value in values.items()
        if isinstance(value, np.ndarray) and value.size
    }


@dataclass(frozen=True)
class Run:
    """What a pipeline made of a store.

    Attributes:
        content: SHA-256 of each product's bytes, by name.
        error: WAPE of expected sales against the sales of the days to come.
    """

    content: Mapping[str, str]
    error: float


def run(runner: Runner, family: str, truth: pl.DataFrame) -> Run:
    """Train, score and publish as of the cutoff.

    Args:
        runner: Of a home with observations.
        family: Model family.
        truth: As ``true_sales`` returns it.
    """
    version = f"{family}-1"
    runner.train(family=family, version=version, cutoff=CUTOFF, horizon=HORIZON)
    published = runner.score(RunKey("daily", CUTOFF, version, HORIZON)).publication
    store = runner.stores.predictions
    lineage = {made.product: made for made in store.lineage(published.products.values())}
    report = store.staged("evaluation_reports", version)
    content = {made.product: " ".join(file.sha256 for file in made.files) for made in [*lineage.values(), report]}
    forecasts = store.read(lineage["forecasts"]).join(truth, on=[*SERIES, "target_date"])
    missed = (forecasts["expected_sales_units"].cast(pl.Float64) - forecasts["sales"]).abs().sum()
    return Run(content, missed / forecasts["sales"].sum())


def knows_what_came_later(patch: pytest.MonkeyPatch) -> None:
    """Leak: the moment of knowledge is when the run is made, not when it is for."""
    moments = ObservationStore.moments
    patch.setattr(
        ObservationStore, "moments", lambda self, day: Moments(moments(self, day).known_until + timedelta(days=30))
    )


def reads_rows_whenever_known(patch: pytest.MonkeyPatch) -> None:
    """Leak: a history does not ask when its rows were known."""

    def unresolved_feed(
        self: History, name: str, *, since: date | None = None, ahead_days: int = 0
    ) -> pl.LazyFrame | None:
        first, last = self._window(name, since, ahead_days)
        return self.store.scan(self.batches, name, since=first, until=last)

    patch.setattr(History, "unresolved_feed", unresolved_feed)


def reads_a_day_ahead(patch: pytest.MonkeyPatch) -> None:
    """Leak: a window ends a day after the cutoff."""
    window = History._window

    def longer(self: History, name: str, since: date | None, ahead_days: int) -> tuple[date | None, date]:
        first, last = window(self, name, since, ahead_days)
        return first, last + timedelta(days=1)

    patch.setattr(History, "_window", longer)


def uses_any_plan(patch: pytest.MonkeyPatch) -> None:
    """Leak: models read prices and promotions of days whose plan is not known."""
    patch.setattr("forecast_assets.models.statistical.effects._without_plan", lambda _panel, factor: factor)
    patch.setattr(
        "forecast_assets.models.boosted.inputs.CutoffInputs.offered",
        lambda cutoff, name, rows, columns: getattr(cutoff.record, name)[rows[:, None], columns],
    )


def shows_a_day_more(patch: pytest.MonkeyPatch) -> None:
    """Leak: a panel as of an earlier cutoff has the sales of the day after it on its last day."""
    as_of = Panel.as_of

    def later(self: Panel, days_earlier: int) -> Panel:
        past = as_of(self, days_earlier)
        next_day = self.sales[:, past.history_days, None]
        return replace(past, sales=np.concatenate([past.sales[:, :-1], next_day], axis=1))

    patch.setattr(Panel, "as_of", later)


def inputs_read_a_day_ahead(patch: pytest.MonkeyPatch) -> None:
    """Leak: windows of the trees' inputs end a day after the cutoff."""

    def recent(self: SeriesView, name: str, days: int) -> Floats:
        span = self.cutoff.span(days)
        matrix: Floats = getattr(self.record, name)[self.rows, span.start + 1 : span.stop + 1]
        return matrix

    patch.setattr(SeriesView, "recent", recent)


def trained(family: str, panel: Panel) -> Artifact:
    """Train a version of a family on a panel whose series are of one product group."""
    groups = one_group(panel.series.height)
    return fit(panel, groups, horizon=panel.horizon_days, family=family, workers=1, evaluates=False).artifact


def forecasts(family: str, panel: Panel, version: Artifact) -> dict[str, str]:
    """Forecast a panel's series; return the hashes of what later stages read of it."""
    inputs = ForecastInputs(panel, one_group(panel.series.height), workers=1)
    made = family_of(family).forecast(version, inputs)
    read = {"mean": made.mean, "quantiles": made.quantiles, **made.components}
    return {name: digest(values.tobytes()) for name, values in read.items()}
