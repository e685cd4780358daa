"""Anomaly models, their training and what they scored, in words and tables.

What belongs here: what people read of them. What does not: computing a figure.
"""

import csv
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from forecast_assets.core.errors import first_ten
from forecast_assets.core.wording import counted, moment_text
from forecast_assets.presentation.text import table

if TYPE_CHECKING:
    from forecast_assets.anomalies.evaluation import DetectorReport
    from forecast_assets.operations.anomaly_models import ListedModel, TrainingOutcome
    from forecast_assets.operations.anomaly_scoring import ScoringOutcome


def training_text(outcome: "TrainingOutcome") -> str:
    """Return what was trained, on what, and how it did where labels tell."""
    trained, model = outcome.trained, outcome.trained.model
    lines = [
        (
            f"Trained `{model.name}`, {model.method.title}, on {counted(model.training_rows or 0, 'row')} of "
            f"{trained.rows:,}: {counted(len(model.features), 'feature')} ({first_ten(model.features)})."
        ),
        *_threshold_lines(outcome),
        *(f"Note: {note}" for note in trained.notes),
        *(_report_lines(outcome.report) if outcome.report else ()),
        f"Written to {outcome.path}, SHA-256 {outcome.sha256}; it may be loaded on this home.",
    ]
    return "\n".join(lines)


def _threshold_lines(outcome: "TrainingOutcome") -> Iterator[str]:
    model = outcome.trained.model
    if model.threshold is not None:
        yield (
            f"Threshold {model.threshold:.6g}: at most {model.false_alarm_rate:.3%} of rows like the "
            f"{model.held_back_rows:,} held back exceed it."
        )


def _report_lines(report: "DetectorReport") -> Iterator[str]:
    yield (
        f"On {report.usual_rows:,} usual rows and {report.fault_rows:,} with a fault, none of which it learned from: "
        f"AUC {_figure(report.auc)}, average precision {_figure(report.average_precision)}; at the threshold precision "
        f"{_share(report.precision)}, recall {_share(report.recall)}, false alarms {_share(report.false_alarm_rate)}."
    )
    if report.units:
        head = ("unit", "rows with fault", "alarms", f"delay ({report.time_unit})", f"lead time ({report.time_unit})")
        rows = [(each.unit or "-", each.fault_rows, each.alarms, each.delay, each.lead_time) for each in report.units]
        yield table(head, rows)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def models_text(models: Sequence["ListedModel"]) -> str:
    """Return the models that were trained here as a table."""
    if not models:
        return "No anomaly model has been trained on this home."
    head = ("name", "detector", "features", "trained at", "file", "path", "sha256")
    rows = [
        (
            each.file.name, each.file.detector, len(next(csv.reader([each.file.features]))),
            moment_text(each.file.trained_at), each.state, each.file.path, each.file.sha256[:12],
        )
        for each in models
    ]  # fmt: skip
    return table(head, rows)


def scoring_text(outcome: "ScoringOutcome", *, verbose: bool) -> str:
    """Return the summary of scoring.

    Args:
        outcome: What was done.
        verbose: Whether the model and the most anomalous rows are told too.
    """
    results, counts = outcome.metadata["scoring_results"], outcome.counts
    seconds = results["processing_time_seconds"]
    days = outcome.metadata["input_info"]["date_range"]
    lines = [
        (
            f"{counts.scored:,} rows scored by `{outcome.model.name}` ({outcome.model.method.title}) in "
            f"{seconds:.1f} s, {counts.scored / max(seconds, 0.001):,.0f} rows/s."
        ),
        (
            f"{counted(counts.anomalies, 'anomaly', 'anomalies')} ({results['anomaly_rate']:.2%}) above the threshold "
            f"{results['threshold_used']:.6g}; {counts.rows_imputed:,} rows imputed, {counts.rows_skipped:,} skipped."
        ),
        *([f"From {days['start']} to {days['end']} (`{days['column']}`)."] if days else []),
        *(_verbose_lines(outcome) if verbose else ()),
        f"Written to {', '.join(str(path) for path in outcome.outputs)}.",
    ]
    return "\n".join(lines)


def _verbose_lines(outcome: "ScoringOutcome") -> Iterator[str]:
    info, model = outcome.metadata["model_info"], outcome.model
    yield f"Model: {info['model_path']}, SHA-256 {info['model_sha256']}."
    yield (
        f"Trained at {model.trained_at or '-'} on {model.trained_on or '-'} "
        f"({model.training_rows or 0:,} rows); features: {', '.join(model.features)}."
    )
    rows = [(f"{row:,}", f"{score:.6g}") for row, score in outcome.counts.most_anomalous]
    yield f"Most anomalous rows:\n{table(('row', 'score'), rows)}"
