"""Stored reads: pages of published rows, with what they are of.

What belongs here: resolving version, channel and run once, reading a page, saying where it is from. What does not:
predicting anything, or how a protocol writes rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product as product_of
from typing import Final

import polars as pl

from forecast_assets.contracts import SERIES_STEP_KEY
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.spans import span
from forecast_assets.operations.reading import scan_product
from forecast_assets.serving.dataplane.questions import STORED, Page, StoredQuestion
from forecast_assets.serving.dataplane.resolving import FollowedRun, followed_runs, shared_out
from forecast_assets.serving.dataplane.row_blocks import FEW_SERIES, RowBlocks
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

PUBLISHED: Final = "published"


@dataclass(frozen=True)
class RunAnswered:
    """The published run that an answer is from.

    Attributes:
        run: Key of the run.
        model_version: Which version made it.
        channel: The channel that was resolved to it; None where the version was named.
        artifact: Hash of the version's artifact.
        prediction_date: The last day that it knew.
        published_at: ISO 8601 in UTC.
        ledger_sequence: Entry that published it.
        age_days: Days between its prediction date and today.
        assignment: Ledger entry that assigned stores to the run; None where all stores are of it.
        served_from: `published`, a stored number, unchanged; of a prediction `model` or `last_batch`.
        overrides: Gates of merit that its version was promoted in spite of when it was published.
    """

    run: str
    model_version: str
    channel: str | None
    artifact: str
    prediction_date: str
    published_at: str
    ledger_sequence: int
    age_days: int
    assignment: int | None = None
    served_from: str = PUBLISHED
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredAnswer:
    """A page of rows.

    Attributes:
        rows: Sorted by run, store, SKU and step, with `prediction_id` in front.
        runs: What they are of.
        next_page: What to ask for the page after; None after the last.
    """

    rows: pl.DataFrame
    runs: tuple[RunAnswered, ...]
    next_page: str | None


def read_stored(stores: Stores, question: StoredQuestion, now: datetime, few: RowBlocks) -> StoredAnswer:
    """Answer a page of published rows.

    Args:
        stores: Where everything is.
        question: What is asked.
        now: The present moment.
        few: Of the same stores; reads what is asked of few series.

    Raises:
        UnknownVersionError: If there is no such version.
        InputError: If there is no such channel, or a page of other runs is given back.
        NotPublishedError: If nothing is published there, or several horizons or revisions are and none was named.
    """
    runs = _asked_for(stores, question)
    begin = 0 if question.page is None else question.page.row
    with span("read", product=question.product):
        rows = pl.concat(_rows(stores, run, question, few) for run in runs).slice(begin, question.limit + 1).collect()
    is_more = rows.height > question.limit
    told = tuple(answered(stores, run.publication, question.asked.channel, now, run.assignment) for run in runs)
    following = str(_page(runs, begin + question.limit)) if is_more else None
    return StoredAnswer(rows.head(question.limit), told, following)


def _asked_for(stores: Stores, question: StoredQuestion) -> Sequence[FollowedRun]:
    """Return the runs that a question is about; a later page's are those of the first."""
    if question.page is None:
        return followed_runs(stores, question.asked)
    first, *_ = keys = [RunKey.parse(text) for text in question.page.runs]
    asked = question.asked
    if (asked.model_version or first.model_version, asked.cadence) != (first.model_version, first.cadence):
        raise InputError(
            f"The page is of {first}, which is not what is asked for.",
            remedy="Ask for the page with the arguments of the first one.",
        )
    runs = [stores.predictions.publication(key) for key in keys]
    return shared_out(stores, runs, question.page.assignment)


def _page(runs: Sequence[FollowedRun], row: int) -> Page:
    return Page(tuple(str(run.publication.key) for run in runs), row, runs[0].assignment)


def _rows(stores: Stores, run: FollowedRun, question: StoredQuestion, few: RowBlocks) -> pl.LazyFrame:
    product = STORED[question.product].name
    # Named are many of each, perhaps, whose pairs would be millions.
    if 0 < len(question.store_ids) * len(question.sku_ids) <= FEW_SERIES:
        rows = few.rows(run.publication, product, [*product_of(question.store_ids, question.sku_ids)])
    else:
        rows = scan_product(stores, run.publication, product)
        for column, wanted in (("store_id", question.store_ids), ("sku_id", question.sku_ids)):
            if wanted:
                rows = rows.filter(pl.col(column) == wanted[0] if len(wanted) == 1 else pl.col(column).is_in([*wanted]))
    if run.store_ids is not None:
        rows = rows.filter(pl.col("store_id").is_in(run.store_ids))
    if question.first_step > 1:
        rows = rows.filter(pl.col("step") >= question.first_step)
    if question.last_step is not None:
        rows = rows.filter(pl.col("step") <= question.last_step)
    if question.columns:
        kept = dict.fromkeys([*SERIES_STEP_KEY, "target_date", *question.columns])
        rows = rows.select(*(name for name in kept if name in STORED[question.product].schema))
    return rows.select(prediction_ids(run.publication.key), pl.all())


def with_names(rows: pl.DataFrame, key: RunKey) -> pl.DataFrame:
    """Put each row's prediction id in front."""
    return rows.select(prediction_ids(key), pl.all())


def beside_names(tables: Sequence[pl.DataFrame], key: RunKey) -> list[pl.DataFrame]:
    """Put each row's prediction id in front of several tables of the same rows in the same order."""
    names = tables[0].select(prediction_ids(key)).to_series()
    return [pl.DataFrame([names, *rows.get_columns()]) for rows in tables]


def prediction_ids(key: RunKey) -> pl.Expr:
    """Return the id of each row of a run, as views and lineage know it."""
    sku, store = (
        pl.col(name).str.replace_all("%", "%25", literal=True).str.replace_all("/", "%2F", literal=True)
        for name in ("sku_id", "store_id")
    )
    step = pl.col("step").cast(pl.String)
    return pl.concat_str([pl.lit(str(key)), sku, store, step], separator="/").alias("prediction_id")


def answered(
    stores: Stores, publication: Publication, channel: str | None, now: datetime, assignment: int | None = None
) -> RunAnswered:
    """Say which run an answer is from."""
    key = publication.key
    return RunAnswered(
        run=str(key),
        model_version=key.model_version,
        channel=channel,
        artifact=stores.ledger.state().versions[key.model_version].artifact,
        prediction_date=key.prediction_date.isoformat(),
        published_at=publication.recorded_at,
        ledger_sequence=publication.sequence,
        age_days=(now.date() - key.prediction_date).days,
        assignment=assignment,
        overrides=publication.overrides,
    )
