"""What is told of stored predictions: the whole of one row, and every vintage of one day.

What belongs here: putting together what published products say of one SKU, store and day. What does not: comparing two
predictions, or predicting anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import (
    FORECAST_EXPLANATIONS,
    FORECASTS,
    QUANTILE_COLUMNS,
    SERIES_STEP_KEY,
    STOCKOUT_RISKS,
)
from forecast_assets.core.errors import InputError, NotPublishedError
from forecast_assets.core.keys import DAILY, PredictionId, RunKey, StoreSku, require_cadence
from forecast_assets.history.series import past_observations
from forecast_assets.operations.reading import (
    ReadRows,
    history_after,
    one_series,
    scan_product,
    series_after,
    series_history,
)
from forecast_assets.serving.dataplane.stored import RunAnswered, answered
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

_SERIES: Final = ("store_id", "sku_id")


@dataclass(frozen=True)
class Explained:
    """All that is published of one row.

    Attributes:
        prediction_id: The row.
        run: The run that it is of.
        forecast: Columns of `forecasts`.
        risk: Columns of `stockout_risks`.
        explanation: Columns of `forecast_explanations`: drivers in units that add up to the number, and words.
        made_from: Hashes by name: what `lineage` follows further.
    """

    prediction_id: str
    run: RunAnswered
    forecast: Mapping[str, Any]
    risk: Mapping[str, Any]
    explanation: Mapping[str, Any]
    made_from: Mapping[str, str]


def read_once(read: ReadRows) -> ReadRows:
    """Return what reads as given, and each product of a run once: for a question that needs the same rows often."""
    found: dict[tuple[RunKey, str, tuple[StoreSku, ...]], pl.DataFrame] = {}

    def rows(publication: Publication, product: str, series: Sequence[StoreSku]) -> pl.LazyFrame:
        asked = (publication.key, product, tuple(series))
        if asked not in found:
            found[asked] = read(publication, product, series).collect()
        return found[asked].lazy()

    return rows


def explain_row(stores: Stores, prediction_id: str, now: datetime, read: ReadRows | None = None) -> Explained:
    """Return what is published of one row, and what it was made from.

    Args:
        stores: Where everything is.
        prediction_id: As in views and answers.
        now: The present moment.
        read: Reads rows of few series; by default from files.

    Raises:
        InputError: If it is no prediction id, or the run has no such row.
        NotPublishedError: If there is no such run.
    """
    named = PredictionId.parse(prediction_id)
    publication = stores.predictions.publication(named.run)
    forecast, risk, explanation = (
        _row(stores, publication, product, named, read)
        for product in (FORECASTS, STOCKOUT_RISKS, FORECAST_EXPLANATIONS)
    )
    version = stores.ledger.state().versions[named.run.model_version]
    return Explained(
        prediction_id,
        answered(stores, publication, None, now),
        forecast,
        risk,
        explanation,
        {
            "model_artifact": version.artifact,
            "evaluation_report": version.evaluation_report,
            "feature_version": version.feature_version,
            **publication.products,
        },
    )


def _row(
    stores: Stores, publication: Publication, product: Any, named: PredictionId, read: ReadRows | None
) -> dict[str, Any]:
    rows = one_series(stores, publication, product.name, named.store_id, named.sku_id, read).filter(step=named.step)
    if rows.is_empty():
        raise InputError(
            f"{publication.key} has no step {named.step}.",
            remedy=f"Steps are 1 to {publication.key.forecast_horizon}.",
            prediction_id=str(named),
        )
    return {name: value for name, value in rows.row(0, named=True).items() if name not in SERIES_STEP_KEY}


@dataclass(frozen=True)
class SeriesSeen:
    """A series as a published run saw it, and what came.

    Attributes:
        run: Key of the run.
        past: As `series_history` has it: a row per day with sales.
        forecast: Its rows of `forecasts`, sorted by step.
        came: Days that the run looks at, as far as they are known now, in the columns of `past`.
    """

    run: str
    past: pl.DataFrame
    forecast: pl.DataFrame
    came: pl.DataFrame


def series_seen(stores: Stores, prediction_id: str) -> SeriesSeen:
    """Return the series of a published row.

    Raises:
        InputError: If it is no prediction id, or the run has no such series.
        NotPublishedError: If there is no such run.
    """
    named = PredictionId.parse(prediction_id)
    publication = stores.predictions.publication(named.run)
    series = (named.store_id, named.sku_id)
    forecast = one_series(stores, publication, FORECASTS.name, *series)
    past, came = (seen(stores, publication, *series) for seen in (series_history, series_after))
    return SeriesSeen(str(publication.key), past, forecast, came)


@dataclass(frozen=True)
class HistoryQuestion:
    """Which day of which series, and by whose forecasts.

    Attributes:
        store_id: Store.
        sku_id: SKU.
        target_date: The day.
        model_versions: Only these versions; empty for all.
        cadence: Rhythm of the runs.
    """

    store_id: str
    sku_id: str
    target_date: date
    model_versions: Sequence[str] = ()
    cadence: str = DAILY.name


@dataclass(frozen=True)
class Vintages:
    """What was said of one day, when, by which version; and what came.

    Attributes:
        rows: A row per run whose horizon holds the day, the earliest first: `prediction_id, prediction_date,
            model_version, revision, step, forecast_units, expected_sales_units`, the quantiles,
            `stockout_probability, risk_band, published_at`.
        sales_units: What was sold, as known now; None where it is not known.
        out_of_stock_share: Share of trading hours without stock, 0..1; None where it is not known.
    """

    rows: pl.DataFrame
    sales_units: float | None
    out_of_stock_share: float | None


def vintages(stores: Stores, question: HistoryQuestion) -> Vintages:
    """Return every published forecast of one day of one series.

    Raises:
        UnknownVersionError: If there is no such version.
        NotPublishedError: If no published run looks at the day of that series.
    """
    runs = _looking_at(stores, question)
    frames = [found for run in runs if not (found := _vintage(stores, run, question)).is_empty()]
    if not frames:
        raise NotPublishedError(
            f"No published {question.cadence} run says anything of {question.sku_id} in {question.store_id} on "
            f"{question.target_date}.",
            remedy="Name a day after a published prediction date, and within its horizon.",
            target_date=question.target_date,
        )
    return Vintages(pl.concat(frames), *_came(stores, runs[-1], question))


def _looking_at(stores: Stores, question: HistoryQuestion) -> list[Publication]:
    for version in question.model_versions:
        stores.registry.model_version(version)
    require_cadence(question.cadence)
    found = [
        run
        for key, run in stores.ledger.state().publications.items()
        if key.cadence == question.cadence
        and (not question.model_versions or key.model_version in question.model_versions)
        and 1 <= (question.target_date - key.prediction_date).days <= key.forecast_horizon
    ]
    return sorted(found, key=lambda run: (run.key.prediction_date, run.sequence))


def _vintage(stores: Stores, run: Publication, question: HistoryQuestion) -> pl.DataFrame:
    step = (question.target_date - run.key.prediction_date).days
    is_row = (
        (pl.col("store_id") == question.store_id) & (pl.col("sku_id") == question.sku_id) & (pl.col("step") == step)
    )
    forecasts, risks = (
        scan_product(stores, run, product.name).filter(is_row) for product in (FORECASTS, STOCKOUT_RISKS)
    )
    row = PredictionId(run.key, question.sku_id, question.store_id, step)
    return (
        forecasts.select(
            pl.lit(str(row)).alias("prediction_id"),
            "prediction_date",
            "model_version",
            "revision",
            "step",
            "forecast_units",
            "expected_sales_units",
            *QUANTILE_COLUMNS,
            *_SERIES,
        )
        .join(risks.select(*_SERIES, "stockout_probability", "risk_band"), on=[*_SERIES], how="left")
        .drop(_SERIES)
        .with_columns(published_at=pl.lit(run.recorded_at))
        .collect()
    )


def _came(stores: Stores, run: Publication, question: HistoryQuestion) -> tuple[float | None, float | None]:
    series = pl.DataFrame({"store_id": [question.store_id], "sku_id": [question.sku_id]})
    told = past_observations(history_after(stores, run), series, question.target_date)
    day = told.filter(pl.col("event_date") == question.target_date)
    if day.is_empty():
        return None, None
    row = day.row(0, named=True)
    return row["sales_units"], row["out_of_stock_share"]
