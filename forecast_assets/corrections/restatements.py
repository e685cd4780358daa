"""Restatements: which inputs of a published run are not what they were when it was made.

What belongs here: finding rows that changed or came late after a run's moment of knowledge, and deciding whether there
is anything to correct. What does not: making a correction (a run like any other), printing, or changing a number.

A published run never changes. Its newest revision is compared with what is known now, by the rules of its own snapshot:
rows of days up to the prediction date, however late they became known; of the days after it only plans that were known
when the run was made, for a correction must not know more of the future than the run that it corrects.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import (
    FEEDS,
    OPEN_ORDER_DAYS,
    QUARANTINED_ROWS,
    SALES,
    STORE_CLOSURES,
    TIMESTAMP,
    Contract,
)
from forecast_assets.contracts.confirmations import group_key
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NothingToCorrectError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS
from forecast_assets.history.as_known import History
from forecast_assets.history.silence import ASSUMED_CLOSED, ASSUMED_ZERO, silences
from forecast_assets.scoring.context import load_artifact
from resources.ledger.entries.ingest import BatchRecord
from resources.ledger.entries.publish import Publication
from resources.ledger.state import LedgerState
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.moments import SILENT_DAYS

# What the rows of a feed add up to; feeds of words and ratios add up to nothing.
AMOUNTS: Final[Mapping[str, str]] = {
    "sales": "sales_units",
    "stock_status": "out_of_stock_hours",
    "inventory_positions": "on_hand_units",
    "purchase_orders": "ordered_units",
}
# Read as they stand at the prediction date, from however long ago: a row per SKU or store, not per day.
_HIERARCHY_FEEDS: Final = frozenset({"product_hierarchy", "store_hierarchy"})

SCHEMA: Final[Mapping[str, Any]] = {
    "feed": pl.String,
    "event_date": pl.Date,
    "row": pl.String,
    "is_late": pl.Boolean,
    "before": pl.String,
    "after": pl.String,
    "amount_before": UNITS,
    "amount_after": UNITS,
    "source": pl.String,
    "known_at": TIMESTAMP,
    "resolution": pl.String,
    "enriched": pl.String,
}


@dataclass(frozen=True)
class Restatement:
    """What a published run would read otherwise today.

    Attributes:
        publication: The run, its newest revision.
        known_until: Its moment of knowledge.
        now_known_until: The later moment that it is compared with.
        rows: One row per input row that differs, sorted by feed, day and row: `feed`; `event_date`; `row`, which
            one, in words; `is_late`, whether there was none before; `before` and `after`, what differs, in words;
            `amount_before` and `amount_after` in the unit of ``AMOUNTS``, null for feeds without; `source`, `known_at`
            and `resolution` of the row that counts now: who says so, since when, and why that source wins; `enriched`,
            which of its values are another source's, whose and why.
    """

    publication: Publication
    known_until: datetime
    now_known_until: datetime
    rows: pl.DataFrame

    @cached_property
    def by_feed(self) -> pl.DataFrame:
        """Exact totals: `feed, rows, late_rows, amount, amount_before, amount_after`; `amount` names their unit."""
        totals = self.rows.group_by("feed").agg(
            rows=pl.len(),
            late_rows=pl.col("is_late").sum(),
            amount_before=pl.col("amount_before").sum(),
            amount_after=pl.col("amount_after").sum(),
        )
        amount = pl.col("feed").replace_strict(AMOUNTS, default=None, return_dtype=pl.String)
        return totals.sort("feed").select("feed", "rows", "late_rows", amount.alias("amount"), "^amount_.*$")


def newest_revisions(
    state: LedgerState, *, cadence: str | None = None, day: date | None = None, model_version: str | None = None
) -> list[Publication]:
    """Return the newest revision of every published run, newest prediction date first.

    Args:
        state: Of the ledger.
        cadence: Only runs of this cadence.
        day: Only runs of this prediction date.
        model_version: Only runs of this version.
    """
    wanted = (
        key
        for key in sorted(state.publications)
        if cadence in (None, key.cadence)
        and day in (None, key.prediction_date)
        and model_version in (None, key.model_version)
    )
    newest = {replace(key, revision=0): state.publications[key] for key in wanted}
    return sorted(newest.values(), key=lambda published: (-published.key.prediction_date.toordinal(), published.key))


def source_snapshot(stores: Stores, products: Mapping[str, str]) -> ProductVersion:
    """Return the snapshot that the products of a run, by name, were made from."""
    forecasts = stores.predictions.version(products["forecasts"])
    return stores.predictions.version(forecasts.inputs["feature_snapshots"])


def restatement(
    stores: Stores, publication: Publication, known_until: datetime | None = None, *, days: int | None = None
) -> Restatement:
    """Compare what a published run was made from with what is known at a later moment.

    Args:
        stores: Where everything is.
        publication: The run.
        known_until: The later moment; by default that of the newest word on the days up to the prediction date.
        days: Days that the run read, if `days_read` has been asked already.

    Raises:
        InputError: If the moment is earlier than the run's own.
    """
    snapshot = source_snapshot(stores, publication.products)
    before = History.of(snapshot, stores.observations)
    moment = known_until or max(stores.observations.newest_knowledge(before.cutoff), before.known_until)
    after = History.later(snapshot, stores.observations, moment)
    rows = changed_rows(before, after, days or days_read(stores, publication), publication.key.forecast_horizon)
    return Restatement(publication, before.known_until, moment, rows)


def pending_restatements(
    stores: Stores, publications: Sequence[Publication], progress: Callable[[str, int, int], None] | None = None
) -> Iterator[Restatement]:
    """Compare published runs with what is known now; runs that share a snapshot and what they read are compared once.

    Args:
        stores: Where everything is.
        publications: Which runs.
        progress: Called with what is done and how many there are.

    Yields:
        The runs whose inputs differ.
    """
    compared: dict[tuple[str, int, int], Restatement] = {}
    history_days: dict[str, int] = {}
    for at, publication in enumerate(publications):
        if progress:
            progress("compare inputs of published runs", at, len(publications))
        reads = (
            source_snapshot(stores, publication.products).version,
            days_read(stores, publication, history_days),
            publication.key.forecast_horizon,
        )
        if reads not in compared:
            compared[reads] = restatement(stores, publication, days=reads[1])
        if compared[reads].rows.height:
            yield replace(compared[reads], publication=publication)
    if progress:
        progress("compare inputs of published runs", len(publications), len(publications))


def require_change(found: Restatement) -> Restatement:
    """Return what differs, if anything does.

    Raises:
        NothingToCorrectError: If no input row of the run differs.
    """
    if found.rows.is_empty():
        raise NothingToCorrectError(
            f"There is nothing to correct: no input of {found.publication.key} that was known by "
            f"{found.now_known_until:%Y-%m-%d %H:%M:%S} UTC differs from what it was made from.",
            remedy=Sentence("Ingest the restated rows first; what differs is listed by: ", Action("restatements")),
            key=found.publication.key,
        )
    return found


def to_correct(key: RunKey) -> Action:
    """Return what would correct a run."""
    return Action("correct", {**key.arguments, "by": "NAME", "reason": "TEXT"})


def days_read(stores: Stores, publication: Publication, history_days: dict[str, int] | None = None) -> int:
    """Return how many days up to the prediction date the run read: by its model, or by the features of its snapshot.

    Args:
        stores: Where everything is.
        publication: The run.
        history_days: By artifact, of those that have been loaded already; filled as artifacts are loaded.
    """
    loaded = {} if history_days is None else history_days
    snapshot = source_snapshot(stores, publication.products)
    model = stores.registry.model_version(publication.key.model_version)
    if model.artifact not in loaded:
        loaded[model.artifact] = load_artifact(stores, model).history_days
    return max(loaded[model.artifact], *(spec["window_days"] or 0 for spec in snapshot.facts["specs"]))


def changed_rows(before: History, after: History, days: int, horizon: int) -> pl.DataFrame:
    """Return the resolved rows that differ between two histories of one prediction date.

    Only keys are compared that a later word mentions, so that the cost follows the news and not the history.

    Args:
        before: What a run was made from.
        after: What is known later; its batches include those of `before`.
        days: Days up to the prediction date that the run read.
        horizon: Days of plan ahead that it read.

    Returns:
        As `Restatement.rows`.
    """
    since = after.cutoff - timedelta(days=days - 1)
    orders = after.cutoff - timedelta(days=OPEN_ORDER_DAYS - 1)
    since_of: dict[str, date | None] = {**dict.fromkeys(_HIERARCHY_FEEDS), "purchase_orders": orders}
    frames = [_changed_of_feed(feed, before, after, since_of.get(feed, since), horizon) for feed in sorted(FEEDS)]
    rows = pl.concat([pl.DataFrame(schema=SCHEMA), *(frame for frame in frames if frame is not None)])
    return rows.sort("feed", "event_date", "row")


def _changed_of_feed(
    feed: str, before: History, after: History, since: date | None, horizon: int
) -> pl.DataFrame | None:
    contract = FEEDS[feed]
    key = _key(contract)
    news = [rows.select(key) for rows in _new_rows(feed, before, after, since, horizon)]
    news += [] if contract is not SALES else _other_silence(before, after, since)
    if not news:
        return None
    keys = pl.concat(news).unique().collect()
    if keys.is_empty():
        return None
    then, now = (_resolved(history, contract, keys, since, horizon) for history in (before, after))
    joined = now.join(then, on=key, how="full", suffix=_BEFORE, nulls_equal=True, coalesce=True)
    values = [name for name in contract.names if name not in contract.key]
    differs = [pl.col(name).ne_missing(pl.col(name + _BEFORE)) for name in values]
    came_or_went = pl.col("source").is_null() != pl.col("source" + _BEFORE).is_null()
    changed = joined.filter(pl.any_horizontal(came_or_went, *differs))
    return changed.select(_restatement_columns(contract, values)).cast(pl.Schema(SCHEMA))


_BEFORE: Final = "_before"


def _key(contract: Contract) -> list[str]:
    return [name for name in contract.key if name != "known_at"]


def _new_rows(feed: str, before: History, after: History, since: date | None, horizon: int) -> list[pl.LazyFrame]:
    """Return what `before` did not read, and what it read that was taken back.

    These are rows of batches that it does not name, later rows of those it does, and rows of its batches that no
    longer count.
    """
    named = {batch.batch_id for batch in before.batches}
    of_feed = [batch for batch in after.batches if batch.feed == feed]
    new = [batch for batch in of_feed if batch.batch_id not in named]
    went_on = [
        batch for batch in of_feed if batch.batch_id in named and after.store.last_known_at(batch) > before.moment(feed)
    ]
    said = [
        replace(after, batches=tuple(batches)).unresolved_feed(feed, since=since, ahead_days=horizon)
        for batches in (new, went_on)
    ]
    is_news = (pl.lit(value=True), pl.col("known_at") > before.moment(feed))
    news = [rows.filter(is_new) for rows, is_new in zip(said, is_news, strict=True) if rows is not None]
    counting = {batch.batch_id for batch in of_feed}
    gone = tuple(batch for batch in before.batches if batch.feed == feed and batch.batch_id not in counting)
    unsaid = replace(before, batches=gone).unresolved_feed(feed, since=since, ahead_days=horizon)
    news += [] if unsaid is None else [unsaid]
    return [*news, *_said_again(feed, before, after, since, horizon)]


def _other_silence(before: History, after: History, since: date | None) -> list[pl.LazyFrame]:
    """Return the keys of sales on which silence means something else than it did, as far back as news reach."""
    if not (silences(before.batches) or silences(after.batches)):
        return []
    telling = (SALES.name, STORE_CLOSURES.name, QUARANTINED_ROWS.name)
    own, other = (
        {batch for batch in history.batches if batch.feed in telling and _may_be_news(batch, before)}
        for history in (before, after)
    )
    days = [batch.first_event_date for batch in own ^ other]
    days += [batch.first_event_date for batch in own & other if after.store.last_known_at(batch) > before.known_until]
    if not days:
        return []
    first = min(days) - _SILENCE_TOLD
    key = _key(SALES)
    then, now = (_assumed_keys(history, max(first, since or first)) for history in (before, after))
    changed = [then.join(now, on=key, how="anti"), now.join(then, on=key, how="anti")]
    return [keys.lazy() for keys in changed]


# So far back the meaning of a silent day may rest on a later one, or a closing weekday on the days before.
_SILENCE_TOLD: Final = timedelta(days=35)


def _may_be_news(batch: BatchRecord, before: History) -> bool:
    return batch.first_event_date <= before.cutoff + timedelta(days=SILENT_DAYS)


def _assumed_keys(history: History, since: date) -> pl.DataFrame:
    rows = history.feed(SALES.name, since=since)
    key = _key(SALES)
    if rows is None:
        return pl.DataFrame(schema={name: SALES.schema[name] for name in key})
    return rows.filter(pl.col("resolution").is_in([ASSUMED_ZERO, ASSUMED_CLOSED])).select(key).collect()


def _said_again(feed: str, before: History, after: History, since: date | None, horizon: int) -> list[pl.LazyFrame]:
    """Return the words of days on which a source has said something again since: another one may be out of date now."""
    again = after.confirmations(feed, since=since)
    rows = after.unresolved_feed(feed, since=since, ahead_days=horizon)
    if again is None or rows is None:
        return []
    days = group_key(FEEDS[feed])
    since_then = again.filter(pl.col("known_at") > before.moment(feed)).select(days).unique()
    return [rows.join(since_then, on=days, how="semi")]


def _resolved(
    history: History, contract: Contract, keys: pl.DataFrame, since: date | None, horizon: int
) -> pl.DataFrame:
    """Return the rows that count for some keys, without receipts after the prediction date: those are of the future."""
    days = keys["event_date"] if "event_date" in keys.columns else pl.Series([since], dtype=pl.Date)
    first: Any = days.min()
    said = history.unresolved_feed(contract.name, since=first, ahead_days=horizon)
    if said is None:
        said = pl.LazyFrame(schema={**contract.schema, "source": pl.String, "trust": pl.Float64})
    wanted = said.join(keys.lazy(), on=keys.columns, how="semi", nulls_equal=True)
    rows = history.resolved(contract.name, wanted).collect()
    if contract is SALES:
        zeros = history.assumed_sales(rows.lazy(), first)
        own = None if zeros is None else zeros.join(keys.lazy(), on=keys.columns, how="semi").select(rows.columns)
        return rows if own is None else pl.concat([rows, own.collect()])
    if "received_date" not in rows.columns:
        return rows
    return rows.with_columns(pl.when(pl.col("received_date") <= history.cutoff).then("received_date"))


def _restatement_columns(contract: Contract, values: list[str]) -> list[pl.Expr]:
    amount = AMOUNTS.get(contract.name)
    is_late = pl.col("source" + _BEFORE).is_null()
    names = [name for name in _key(contract) if name != "event_date"]
    return [
        pl.lit(contract.name).alias("feed"),
        pl.col("event_date"),
        pl.concat_str([_text(name, contract) for name in names], separator=" ").alias("row"),
        is_late.alias("is_late"),
        pl.when(~is_late).then(_changed_values(contract, values, is_late, _BEFORE)).alias("before"),
        _changed_values(contract, values, is_late, "").alias("after"),
        _amount(amount, _BEFORE).alias("amount_before"),
        _amount(amount, "").alias("amount_after"),
        pl.col("source"),
        pl.col("known_at"),
        pl.col("resolution"),
        pl.col("enriched"),
    ]


def _changed_values(contract: Contract, values: list[str], is_late: pl.Expr, suffix: str) -> pl.Expr:
    """Return the values of a row that differ, in words; of a late row all."""
    told = [
        pl.when(is_late | pl.col(name).ne_missing(pl.col(name + _BEFORE))).then(
            pl.format(f"{name} {{}}", _text(name, contract, suffix))
        )
        for name in values
    ]
    return pl.concat_str(told, separator=", ", ignore_nulls=True) if told else pl.lit("said")


def _text(name: str, contract: Contract, suffix: str = "") -> pl.Expr:
    text = pl.col(name + suffix).cast(pl.String)
    # Whole numbers lose their point; a name that ends so keeps it.
    is_number = contract.schema[name].is_numeric()
    return (text.str.strip_suffix(".0") if is_number else text).fill_null("nothing")


def _amount(name: str | None, suffix: str) -> pl.Expr:
    return pl.lit(None, UNITS) if name is None else pl.col(name + suffix).cast(UNITS, strict=False)
