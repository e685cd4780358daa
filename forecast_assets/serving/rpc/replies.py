"""Answers as messages: decimals as text, to the last digit.

What belongs here: from an answer to its message. What does not: which answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from forecast_assets.serving.dataplane.comparing import PredictionsCompared
from forecast_assets.serving.dataplane.predicting import Predicted
from forecast_assets.serving.dataplane.published import Explained, Vintages
from forecast_assets.serving.dataplane.stored import StoredAnswer
from forecast_assets.serving.dataplane.versions import KnownVersion
from forecast_assets.serving.rpc import forecast_assets_pb2 as pb

_STORED: Final = {"forecasts": pb.ForecastsReply, "risks": pb.RisksReply, "explanations": pb.ExplanationsReply}


def stored_reply(product: str, found: StoredAnswer) -> Any:
    """Return a page of a product."""
    runs = [asdict(run) for run in found.runs]
    return _STORED[product](runs=runs, next_page=found.next_page, rows=_rows(found.rows))


def explain_reply(found: Explained) -> Any:
    """Return all that is published of one row."""
    return pb.ExplainReply(
        prediction_id=found.prediction_id,
        run=asdict(found.run),
        forecast=_row(found.forecast),
        risk=_row(found.risk),
        explanation=_row(found.explanation),
        made_from=dict(found.made_from),
    )


def history_reply(found: Vintages) -> Any:
    """Return every vintage of a day."""
    return pb.HistoryReply(
        sales_units=found.sales_units, out_of_stock_share=found.out_of_stock_share, rows=_rows(found.rows)
    )


def predict_reply(found: Predicted) -> Any:
    """Return an answer in real time."""
    return pb.PredictReply(
        use=found.use,
        run=asdict(found.run),
        degraded=found.is_degraded,
        held=found.held,
        warnings=found.warnings,
        forecasts=_rows(found.forecasts),
        risks=_rows(found.risks),
        explanations=_rows(found.explanations),
    )


def compare_reply(found: PredictionsCompared) -> Any:
    """Return two predictions side by side."""
    figures = {
        name: pb.FigureCompared(
            before=f"{figure.before:f}",
            after=f"{figure.after:f}",
            causes={cause: f"{units:f}" for cause, units in figure.causes.iter_rows()},
        )
        for name, figure in found.figures.items()
    }
    return pb.CompareReply(
        words=found.words,
        store_id=found.store_id,
        sku_id=found.sku_id,
        target_date=found.target_date.isoformat(),
        runs=[asdict(run) for run in found.runs],
        degraded=found.is_degraded,
        held=found.held,
        warnings=found.warnings,
        figures=figures,
        versions=[dict(zip(("name", "before", "after"), each, strict=True)) for each in found.versions],
        parts=_rows(found.parts),
        inputs=_rows(found.inputs),
        features=_rows(found.features),
        outputs=_rows(found.outputs),
    )


def versions_reply(versions: Sequence[KnownVersion], channels: Mapping[str, str | None]) -> Any:
    """Return the model versions, and where each channel points."""
    return pb.VersionsReply(
        versions=[asdict(each) for each in versions],
        channels=[{"name": name, "model_version": version} for name, version in channels.items()],
    )


def _rows(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows as the fields of messages; what is null is not there."""
    return rows.with_columns((pl.selectors.decimal() | pl.selectors.temporal()).cast(pl.String)).to_dicts()


def _row(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in columns.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date | datetime) else value
