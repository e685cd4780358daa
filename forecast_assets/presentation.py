"""What the commands print: progress, tables, words.

What belongs here: turning state and frames into text. What does not: changing either.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from io import StringIO
from typing import TYPE_CHECKING, Final

import polars as pl
from rich.console import Console
from rich.table import Table

from forecast_assets.contracts import FEEDS
from forecast_assets.errors import InputError, NotReadyError
from forecast_assets.keys import PredictionId, RunKey
from forecast_assets.reading import scan_product
from forecast_assets.sources.fusion import resolve
from resources.ledger import Publication
from resources.observation_store import IngestReport
from resources.prediction_store import ProductVersion
from resources.stores import Stores

if TYPE_CHECKING:
    from forecast_assets.runner import Outcome
    from resources.orchestration import Progress

REPORT_EVERY_SECONDS: Final = 2.0
WIDTH: Final = 150


@contextmanager
def progress_lines() -> Iterator["Progress"]:
    """Print how far long work is, to standard error: a moving line on a terminal, else a line now and then."""
    started = time.monotonic()
    last: dict[str, float] = {}
    moving = sys.stderr.isatty()

    def report(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        is_over = done >= total
        if not is_over and now - last.get(stage, 0.0) < (0.1 if moving else REPORT_EVERY_SECONDS):
            return
        last[stage] = now
        share = f"{done / total:4.0%}" if total else "100%"
        line = f"  {now - started:6.1f} s  {stage:<40} {share}  {done:,} of {total:,}"
        print(f"\r\x1b[2K{line}" if moving else line, end="" if moving else "\n", file=sys.stderr, flush=True)  # noqa: T201

    try:
        yield report
    finally:
        if moving:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)  # noqa: T201


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> str:
    """Return rows as a text table; numbers to the right."""
    grid = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for at, name in enumerate(columns):
        numeric = any(isinstance(row[at], int | float) for row in rows)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    buffer = StringIO()
    Console(file=buffer, width=WIDTH, force_terminal=False, markup=False).print(grid)
    return buffer.getvalue().rstrip()


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def ingest_text(report: IngestReport) -> str:
    """Say what an ingest added and what was there already."""
    rows = [
        ("new" if batch in report.added else "known", batch.feed, batch.source, batch.rows,
         str(batch.first_event_date), str(batch.last_event_date))
        for batch in (*report.added, *report.known)
    ]  # fmt: skip
    body = table(("", "feed", "source", "rows", "first day", "last day"), rows)
    if report.sequence is None:
        return f"{body}\nEverything was there already; nothing changed."
    return f"{body}\nRecorded as ledger entry {report.sequence}."


def feeds_text(stores: Stores) -> str:
    """List feeds with their sources, newest day and rows."""
    batches = stores.observations.batches()
    if not batches:
        raise NotReadyError("Nothing has been ingested.", remedy="forecast-assets ingest simulated DIR")
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


def versions_text(stores: Stores) -> str:
    """List model versions with the channels that point at them."""
    state = stores.ledger.state()
    if not state.versions:
        return "No model versions yet: forecast-assets train --family statistical --version V --cutoff DATE"
    channels = {name: state.channel(name) for name in ("champion", "challenger")}
    rows = [
        (
            version.model_version,
            version.family,
            str(version.cutoff),
            version.feature_version,
            ", ".join(name for name, target in channels.items() if target == version.model_version) or "-",
            "passed" if all(version.gates.values()) else "failed",
            version.recorded_at,
        )
        for version in state.versions.values()
    ]
    history = [(a.recorded_at, a.channel, a.model_version, a.by, a.reason) for a in state.appointments]
    parts = [table(("version", "family", "cutoff", "features", "channel", "gates", "registered"), rows)]
    if history:
        parts.append(table(("when", "channel", "version", "by", "reason"), history, title="Promotions"))
    return "\n\n".join(parts)


def version_text(stores: Stores, name: str) -> str:
    """Show one version: what it links to and how it did in its backtests."""
    record = stores.predictions.model_version(name)
    links = [(key, str(value)) for key, value in vars(record).items() if key != "gates"]
    gates = [(gate, "passed" if passed else "FAILED") for gate, passed in record.gates.items()]
    report = stores.predictions.read(stores.predictions.version(record.evaluation_report))
    overall = report.filter(pl.col("segment_kind") == "all").select("metric", "value", "baseline_value", "rows")
    return "\n\n".join(
        (
            table(("model version", name), links),
            table(("gate", ""), gates),
            table(("metric", "value", "seasonal naive", "rows"), overall.rows(), title="Backtest, all rows"),
        )
    )


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
        )
        for publication in publications
    ]
    return table(("run", "forecast rows", "checks accepted", "ledger entry", "published"), rows)


def outcome_text(stores: Stores, outcome: "Outcome") -> str:
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


_SHOWN: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "forecasts": (
        "forecasts",
        ("store_id", "sku_id", "target_date", "forecast_units", "expected_sales_units", "q050_units", "q500_units",
         "q950_units", "model_used"),
    ),
    "risks": (
        "stockout_risks",
        ("store_id", "sku_id", "target_date", "stockout_probability", "expected_lost_units", "days_of_cover",
         "risk_band"),
    ),
    "explanations": (
        "forecast_explanations",
        ("store_id", "sku_id", "target_date", "forecast_units", "expected_sales_units", "forecast_reason",
         "risk_reason"),
    ),
}  # fmt: skip


def show_text(
    stores: Stores, publication: Publication, product: str, *, sku: str | None, store: str | None, top: int
) -> str:
    """Show rows of one product; risks with the highest probability first.

    Raises:
        InputError: If no row matches.
    """
    name, columns = _SHOWN[product]
    rows = scan_product(stores, publication, name)
    for column, wanted in (("sku_id", sku), ("store_id", store)):
        rows = rows if wanted is None else rows.filter(pl.col(column) == wanted)
    order, descending = (["store_id", "sku_id", "step"], False)
    if product == "risks" and (sku is None or store is None):
        rows = with_reason(stores, publication, rows)
        columns = [*columns, "risk_reason"]
        order, descending = ["stockout_probability", "expected_lost_units", "store_id", "sku_id", "step"], True
    frame = rows.sort(order, descending=descending, nulls_last=True).head(top).select(columns).collect()
    if frame.is_empty():
        raise InputError(
            f"No row of {publication.key} has SKU {sku or 'any'} in store {store or 'any'}.",
            remedy="Look at what there is: forecast-assets show forecasts ... --top 20",
        )
    return f"{table(columns, plain(frame).rows())}\n{publication.key}, ledger entry {publication.sequence}"


def with_reason(stores: Stores, publication: Publication, risks: pl.LazyFrame) -> pl.LazyFrame:
    """Add the reason in words to risk rows."""
    key = ["store_id", "sku_id", "step"]
    reasons = scan_product(stores, publication, "forecast_explanations").select(*key, "risk_reason")
    return risks.join(reasons, on=key, how="left")


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame for reading: decimals as floats, dates as text."""
    return frame.with_columns(pl.selectors.decimal().cast(pl.Float64), pl.selectors.temporal().cast(pl.String))


def lineage_text(stores: Stores, identifier: str) -> str:
    """Walk from a published run or row to everything it was made from."""
    is_row = identifier.count("/") > str(RunKey("daily", date.min, "v", 1)).count("/")
    key = PredictionId.parse(identifier).run if is_row else RunKey.parse(identifier)
    publication = stores.predictions.publication(key)
    parts = [f"{publication.key}: ledger entry {publication.sequence}, published {publication.recorded_at}"]
    if is_row:
        parts.append(_row_text(stores, publication, PredictionId.parse(identifier)))
    parts += [_product_text(product) for product in stores.predictions.lineage(publication.products.values())]
    model = stores.predictions.model_version(key.model_version)
    links = [(name, str(value)) for name, value in vars(model).items() if name != "gates"]
    parts.append(table(("model version", ""), links))
    snapshot = _ancestor(stores, publication.products["forecasts"], "feature_snapshots")
    parts.append(_batches_text(stores, snapshot))
    return "\n\n".join(parts)


def _row_text(stores: Stores, publication: Publication, wanted: PredictionId) -> str:
    rows = scan_product(stores, publication, "forecasts").filter(
        pl.col("sku_id") == wanted.sku_id, pl.col("store_id") == wanted.store_id, pl.col("step") == wanted.step
    )
    frame = rows.select("target_date", "base_units", "reconciled_units", "forecast_units", "expected_sales_units")
    found = plain(frame.collect())
    if found.is_empty():
        raise InputError(f"{wanted} is not a row of this run.", remedy="Take the id from a view's `prediction_id`.")
    return table(found.columns, found.rows())


def _product_text(product: ProductVersion) -> str:
    rows = [("made for", product.key)]
    rows += [("file", file.path) for file in product.files]
    rows += [(f"made from {key}", str(value)) for key, value in product.inputs.items() if key != "batches"]
    rows += [("code", product.code_version), ("libraries", json.dumps(dict(product.libraries)))]
    return table((product.product, product.version), rows)


def _ancestor(stores: Stores, version: str, name: str) -> ProductVersion:
    return stores.predictions.version(stores.predictions.version(version).inputs[name])


def _batches_text(stores: Stores, snapshot: ProductVersion) -> str:
    facts = [(name, str(snapshot.facts[name])) for name in ("prediction_date", "known_until", "feature_version")]
    batches = stores.observations.named(snapshot.inputs["batches"])
    rows = [(batch.feed, batch.source, batch.rows, batch.sequence, batch.batch_id) for batch in batches]
    return "\n\n".join(
        (
            table(("feature snapshot", snapshot.version), facts),
            table(("feed", "source", "rows", "ledger entry", "batch"), rows),
        )
    )


def observations_text(stores: Stores, feed: str, sku: str, store: str, day: date, known_until: datetime | None) -> str:
    """Show what each source said of one SKU, store and day, which one won, and why.

    Raises:
        InputError: If the feed has no row per SKU, store and day, or nobody said anything.
    """
    if feed not in FEEDS or not {"sku_id", "store_id"} <= set(FEEDS[feed].names):
        raise InputError(f"`{feed}` has no row per SKU and store.", remedy=f"Choose one of: {', '.join(FEEDS)}.")
    moment = known_until.replace(tzinfo=UTC) if known_until else stores.observations.known_until(day)
    rows = stores.observations.scan(stores.observations.batches(), feed, since=day, until=day)
    said = (
        pl.LazyFrame()
        if rows is None
        else rows.filter(pl.col("sku_id") == sku, pl.col("store_id") == store, pl.col("known_at") <= moment)
    )
    frame = said.collect()
    if frame.is_empty():
        raise InputError(f"No source said anything of {sku} in {store} on {day}.", remedy="forecast-assets feeds")
    spoken = plain(frame.sort("known_at", "source"))
    won = plain(resolve(feed, frame.lazy(), known_until=moment).drop("known_at").collect())
    return "\n\n".join(
        (
            f"As known at {moment:%Y-%m-%d %H:%M} UTC",
            table(spoken.columns, spoken.rows(), title="Said"),
            table(won.columns, won.rows(), title="Resolved"),
        )
    )
