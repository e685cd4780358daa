"""Feeds, versions and runs in words.

What belongs here: what there is. What does not: rows of a product.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from forecast_assets.contracts import FEEDS
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotReadyError
from forecast_assets.core.keys import CHANNELS
from forecast_assets.metrics.descriptions import title_text, value_text
from forecast_assets.models.sample_paths.dependence import OWN, Dependence
from forecast_assets.models.short_history import ShortHistory
from forecast_assets.scoring.context import load_artifact
from resources.ledger.entries.promote import overridden_text
from resources.ledger.entries.register import VersionRecord
from resources.ledger.present import present
from resources.stores.home import Stores

if TYPE_CHECKING:
    from forecast_assets.ingestion.findings import FeedFinding
    from forecast_assets.ingestion.ingest import IngestOutcome
    from forecast_assets.operations.backfilling import BackfilledDate
    from forecast_assets.operations.use_cases import RunOutcome

from forecast_assets.presentation.backtests import newest_report_text
from forecast_assets.presentation.channels import live_text
from forecast_assets.presentation.gates import gates_text
from forecast_assets.presentation.text import table


def ingest_text(outcome: "IngestOutcome") -> str:
    """Say what an ingest added, what was there already, and what somebody should look at."""
    rows = [
        ("new" if batch in outcome.added else "known", batch.feed, batch.source, batch.rows,
         str(batch.first_event_date), str(batch.last_event_date))
        for batch in (*outcome.added, *outcome.known)
    ]  # fmt: skip
    body = table(("", "feed", "source", "rows", "first day", "last day"), rows)
    done = f"Recorded as ledger entry {outcome.sequence}."
    if outcome.sequence is None:
        done = "Everything was there already; nothing changed."
    found = [findings_text(outcome.findings)] if outcome.findings else []
    return "\n".join((body, *outcome.notes, *found, done))


def findings_text(findings: Sequence["FeedFinding"]) -> str:
    """List what is wrong with batches, errors first, each with what to do."""
    if not findings:
        return "Nothing is wrong."
    rows = [
        ("ERROR" if finding.is_error else "warning", finding.feed, finding.kind, finding.rows,
         f"{finding.message}. {finding.remedy}".strip())
        for finding in sorted(findings, key=lambda finding: not finding.is_error)
    ]  # fmt: skip
    return table(("", "feed", "kind", "rows", "what is wrong, and what to do"), rows)


def feeds_text(stores: Stores) -> str:
    """List feeds with their sources, newest day and rows."""
    batches = [batch for batch in stores.observations.batches() if batch.feed in FEEDS]
    if not batches:
        raise NotReadyError("Nothing has been ingested.", remedy=Sentence(Action("ingest simulated", on=("DIR",))))
    frame = pl.DataFrame([{**b.body(), "first_known_at": str(b.first_known_at)} for b in batches])
    grouped = (
        frame.group_by("feed", "source")
        .agg(
            pl.col("trust").last(),
            pl.col("declared_lag_hours").last(),
            batches=pl.len(),
            rows=pl.col("rows").sum(),
            first=pl.col("first_event_date").min(),
            last=pl.col("last_event_date").max(),
        )
        .sort("feed", "source")
    )
    return table(("feed", "source", "trust", "lag h", "batches", "rows", "first day", "newest day"), grouped.rows())


def versions_text(stores: Stores, now: datetime | None = None) -> str:
    """List model versions with the channels that point at them and until when schedules score them, and all moves.

    Args:
        stores: Where everything is.
        now: Moment at which versions are live or not; by default the present.
    """
    state = stores.ledger.state()
    if not state.versions:
        return "No model versions yet: forecast-assets train --family statistical --version V --cutoff DATE"
    channels = {name: state.channel(name) for name in CHANNELS}
    rows = [
        (
            version.model_version,
            version.family,
            str(version.cutoff),
            version.feature_version,
            ", ".join(name for name, target in channels.items() if target == version.model_version) or "-",
            live_text(state, version.model_version, now or present(state)),
            _gates_text(version),
            version.recorded_at,
        )
        for version in state.versions.values()
    ]
    history = [
        (
            move.recorded_at,
            "rollback" if move.is_rollback else "promotion",
            move.channel,
            f"{move.model_version}{overridden_text(move)}",
            move.by,
            move.reason,
        )
        for move in state.channel_moves
    ]
    parts = [table(("version", "family", "cutoff", "features", "channel", "live", "gates", "registered"), rows)]
    if history:
        head = ("when", "what", "channel", "version", "by", "reason")
        parts.append(table(head, history, title="Promotions and rollbacks"))
    return "\n\n".join(parts)


def _gates_text(version: VersionRecord) -> str:
    if version.failed_gates(for_channel=False):
        return "failed"
    return "own name only" if version.failed_gates(for_channel=True) else "passed"


def version_text(stores: Stores, name: str) -> str:
    """Show one version: what it links to and how it did in its backtests."""
    record = stores.registry.model_version(name)
    links = [(key, str(value)) for key, value in vars(record).items() if key != "gates"]
    report = stores.predictions.read(stores.predictions.version(record.evaluation_report))
    overall = [
        (title_text(metric), value_text(metric, value), value_text(metric, baseline), rows)
        for metric, value, baseline, rows in report.filter(pl.col("segment_kind") == "all")
        .select("metric", "value", "baseline_value", "rows")
        .iter_rows()
    ]
    return "\n\n".join(
        (
            table(("model version", name), links),
            gates_text(record, report),
            *reach_texts(stores.predictions.version(record.artifact).facts),
            *availability_texts(stores.predictions.version(record.artifact).facts),
            table(("metric", "value", "seasonal naive", "rows"), overall, title="Backtest, all rows"),
            *level_texts(report),
            *filter(None, [newest_report_text(stores, name)]),
            *_artifact_texts(stores, record),
        )
    )


def reach_texts(facts: Mapping[str, Any]) -> list[str]:
    """Say how far backtests reached, and how rows beyond are widened; nothing where they reached the whole horizon.

    Args:
        facts: What the manifest of a version's artifact records.

    Example:
        >>> reach_texts({"horizon": 28, "known_days": 56, "backtested_days": 14})[0][:65]
        '56 days of history: backtested up to 14 days ahead. On days 15 to'
    """
    if "backtested_days" not in facts:
        return []
    short, horizon = ShortHistory(facts["known_days"], facts["backtested_days"]), facts["horizon"]
    reach, most = short.backtested_days, short.widening(horizon)[-1]
    sentence = (
        f"{short.known_days} days of history: backtested up to {reach} days ahead. On days {reach + 1} to {horizon} "
        f"the spread grows with the square root of days ahead, to {most:.2f} times that of day {reach} on the last, "
        "and rows are flagged `short_history`."
    )
    return [sentence]


def availability_texts(facts: Mapping[str, Any]) -> list[str]:
    """Say what a day without stock for half of its sales is expected to sell; nothing where that is a half.

    Args:
        facts: What the manifest of a version's artifact records.

    Example:
        >>> availability_texts({"availability_power": 0.625})[0][:78]
        'A day with stock for half of its usual sales is expected to sell 65% of demand'
    """
    if "availability_power" not in facts:
        return []
    power = facts["availability_power"]
    sentence = (
        f"A day with stock for half of its usual sales is expected to sell {0.5**power:.0%} of demand, not 50%: sales "
        f"count its share with stock with a power of {power:.2f}, learned from past cutoffs. Demand counts hours "
        "without stock in full."
    )
    return [sentence]


def level_texts(report: pl.DataFrame) -> list[str]:
    """Show how sums did at each pair of levels; nothing for a report that was made before they were measured.

    Args:
        report: Contract `evaluation_reports`.
    """
    rows = report.filter(pl.col("segment_kind") == "level")
    if rows.is_empty():
        return []
    shown = ("wape", "bias", "node_bias", "wrmsse")
    wide = rows.pivot("metric", index="segment", values=["value", "baseline_value"], maintain_order=True)
    columns = [*(f"value_{metric}" for metric in shown), "baseline_value_wrmsse"]
    # Without past sales there is nothing to scale errors by.
    known = wide.with_columns(pl.lit(None, pl.Float64).alias(name) for name in columns if name not in wide.columns)
    lines = [
        (level, *map(value_text, (*shown, "wrmsse"), values))
        for level, *values in known.select("segment", *columns).iter_rows()
    ]
    head = ("level", *map(title_text, shown), "wrmsse of seasonal naive")
    return [table(head, lines, title="Backtest, sums at each pair of levels")]


def _artifact_texts(stores: Stores, record: VersionRecord) -> list[str]:
    artifact = load_artifact(stores, record)
    return [*borrowing_texts(artifact.dependence), *_compared_texts(artifact.compared())]


def borrowing_texts(dependence: Dependence | None) -> list[str]:
    """Say of which levels it is not known how errors hang together, and what stands for it; nothing where all are.

    Example:
        >>> borrowing_texts(Dependence({}, {}, {"sku x total": "total x total"}))[0][-39:]
        'sku x total (taken from total x total).'
    """
    if dependence is None or not dependence.borrowed:
        return []
    told = "; ".join(
        f"{level} (taken from {'single series' if lender == OWN else lender})"
        for level, lender in sorted(dependence.borrowed.items())
    )
    return [f"Borrowed, how errors hang together, since no node had two series with errors to learn from: {told}."]


def _compared_texts(compared: pl.DataFrame | None) -> list[str]:
    """Show what training compared, and took: of every choice the candidates, the better ones first."""
    if compared is None:
        return []
    rows = [
        (choice, candidate, f"{loss:.3f}", "taken" if is_chosen else "")
        for choice, candidate, loss, is_chosen in compared.iter_rows()
    ]
    head = ("choice", "candidate", "loss over the best", "")
    return [table(head, rows, title="What training compared by backtests")]


def runs_text(stores: Stores) -> str:
    """List published runs, newest first."""
    publications = sorted(stores.ledger.state().publications.values(), key=lambda p: -p.sequence)
    if not publications:
        return "Nothing is published yet: forecast-assets run --cadence daily --date DATE --model-version V"
    rows = [
        (
            str(publication.key),
            stores.predictions.version(publication.products["forecasts"]).rows,
            sum(len(checks) for checks in publication.accepted.values()),
            publication.sequence,
            publication.recorded_at,
            f"{publication.correction.by}: {publication.correction.reason}" if publication.key.revision else "",
        )
        for publication in publications
    ]
    return table(("run", "forecast rows", "checks accepted", "ledger entry", "published", "corrected by"), rows)


def outcome_text(stores: Stores, outcome: "RunOutcome") -> str:
    """Say what a run published."""
    publication = outcome.publication
    if not outcome.is_new:
        return (
            f"{publication.key} is already published (ledger entry {publication.sequence}, "
            f"{publication.recorded_at}); nothing was computed and nothing changed."
        )
    rows = [
        (product, stores.predictions.version(version).rows, len(publication.accepted[product]), version[:12])
        for product, version in publication.products.items()
    ]
    head = f"Published {publication.key} as ledger entry {publication.sequence}; {outcome.checks_passed} checks passed."
    return f"{head}\n{table(('product', 'rows', 'checks accepted', 'version'), rows)}"


def backfill_text(done: Sequence["BackfilledDate"]) -> str:
    """Say what became of each date of a backfill."""
    rows = [(str(each.key), each.state, each.detail) for each in done]
    return table(("run", "state", "what"), rows, title="Backfill")
