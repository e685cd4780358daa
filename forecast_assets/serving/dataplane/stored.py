"""Stored reads: pages of published rows, with what they are of.

What belongs here: resolving version, channel and run once, reading a page, saying where it is from. What does not:
predicting anything, or how a protocol writes rows.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import polars as pl

from forecast_assets.contracts import SERIES_STEP_KEY
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, NotPublishedError
from forecast_assets.core.keys import CHANNELS, RunKey
from forecast_assets.operations.reading import resolve_run, scan_product
from forecast_assets.serving.dataplane.questions import STORED, Page, StoredQuestion, VersionAsked
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
        served_from: `published`, a stored number, unchanged; of a prediction `model` or `last_batch`.
    """

    run: str
    model_version: str
    channel: str | None
    artifact: str
    prediction_date: str
    published_at: str
    ledger_sequence: int
    age_days: int
    served_from: str = PUBLISHED


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


def read_stored(stores: Stores, question: StoredQuestion, now: datetime) -> StoredAnswer:
    """Answer a page of published rows.

    Args:
        stores: Where everything is.
        question: What is asked.
        now: The present moment.

    Raises:
        UnknownVersionError: If there is no such version.
        InputError: If there is no such channel, or a page of other runs is given back.
        NotPublishedError: If nothing is published there, or several horizons or revisions are and none was named.
    """
    publication = _asked_for(stores, question)
    begin = 0 if question.page is None else question.page.row
    rows = _rows(stores, publication, question).slice(begin, question.limit + 1).collect()
    is_more = rows.height > question.limit
    told = answered(stores, publication, question.asked.channel, now)
    following = str(Page((str(publication.key),), begin + question.limit)) if is_more else None
    return StoredAnswer(with_names(rows.head(question.limit), publication.key), (told,), following)


def _asked_for(stores: Stores, question: StoredQuestion) -> Publication:
    """Return the run that a question is about; a later page's is that of the first."""
    if question.page is None:
        return resolve(stores, question.asked)
    (text,) = question.page.runs if len(question.page.runs) == 1 else ("",)
    key = RunKey.parse(text)
    asked = question.asked
    if (asked.model_version or key.model_version, asked.cadence) != (key.model_version, key.cadence):
        raise InputError(
            f"The page is of {key}, which is not what is asked for.",
            remedy="Ask for the page with the arguments of the first one.",
        )
    return stores.predictions.publication(key)


def resolve(stores: Stores, asked: VersionAsked) -> Publication:
    """Return the published run that is asked for; a channel is resolved here, once.

    Raises:
        InputError: If there is no such channel, or it points at no version.
        UnknownVersionError: If there is no such version.
        NotPublishedError: If nothing is published there, or several horizons or revisions are and none was named.
    """
    version = asked.model_version or _version_of(stores, str(asked.channel))
    stores.registry.model_version(version)
    day = asked.prediction_date or _newest_date(stores, asked, version)
    return resolve_run(stores, asked.cadence, day, version, asked.horizon, asked.revision)


def _version_of(stores: Stores, channel: str) -> str:
    if channel not in CHANNELS:
        raise InputError(f"There is no channel `{channel}`.", remedy=f"Name one of: {', '.join(CHANNELS)}.")
    version = stores.ledger.state().channel(channel)
    if version is None:
        raise NotPublishedError(
            f"The channel `{channel}` points at no version.",
            remedy=Sentence(
                "Point it at one: ",
                Action("promote", {"channel": channel, "by": "NAME", "reason": "TEXT"}, on=("VERSION",)),
            ),
            channel=channel,
        )
    return version


def _newest_date(stores: Stores, asked: VersionAsked, version: str) -> date:
    dates = [
        key.prediction_date
        for key in stores.ledger.state().publications
        if (key.model_version, key.cadence) == (version, asked.cadence)
        and asked.horizon in {None, key.forecast_horizon}
    ]
    if not dates:
        raise NotPublishedError(
            f"{version} has published no {asked.cadence} run.",
            remedy=Sentence("See what is published: ", Action("runs"), "."),
            model_version=version,
            cadence=asked.cadence,
        )
    return max(dates)


def _rows(stores: Stores, publication: Publication, question: StoredQuestion) -> pl.LazyFrame:
    rows = scan_product(stores, publication, STORED[question.product].name)
    for column, wanted in (("store_id", question.store_ids), ("sku_id", question.sku_ids)):
        if wanted:
            rows = rows.filter(pl.col(column) == wanted[0] if len(wanted) == 1 else pl.col(column).is_in([*wanted]))
    if question.first_step > 1:
        rows = rows.filter(pl.col("step") >= question.first_step)
    if question.last_step is not None:
        rows = rows.filter(pl.col("step") <= question.last_step)
    if question.columns:
        kept = dict.fromkeys([*SERIES_STEP_KEY, "target_date", *question.columns])
        rows = rows.select(*(name for name in kept if name in STORED[question.product].schema))
    return rows


def with_names(rows: pl.DataFrame, key: RunKey) -> pl.DataFrame:
    """Put each row's prediction id, as views and lineage know it, in front."""
    sku, store = (
        pl.col(name).str.replace_all("%", "%25", literal=True).str.replace_all("/", "%2F", literal=True)
        for name in ("sku_id", "store_id")
    )
    return rows.select(
        pl.concat_str([pl.lit(str(key)), sku, store, pl.col("step").cast(pl.String)], separator="/").alias(
            "prediction_id"
        ),
        pl.all(),
    )


def answered(stores: Stores, publication: Publication, channel: str | None, now: datetime) -> RunAnswered:
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
    )
