"""The reference of feeds, products and kinds of ledger entries, as Markdown, from contracts and the registry of kinds.

What belongs here: turning contracts into the text of `docs/products.md`, and kinds into a table of
`docs/store-format.md`; tests hold both against them. What does not: any fact about a feed or product that its contract
does not hold, or about a kind that its module does not.

Print it with `python -m forecast_assets.presentation.documentation`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import click
import polars as pl

from forecast_assets.contracts import (
    BACKTEST_REPORTS,
    BUSINESS_REVIEWS,
    CALIBRATION,
    CHALLENGER_EVIDENCE,
    CHANNEL_ASSIGNMENTS,
    DRIFT_REPORTS,
    EVALUATION_REPORTS,
    EXTERNAL_FORECASTS,
    FEATURE_ANOMALIES,
    FEEDS,
    FORECAST_ACCURACY,
    FORECAST_VALUE_ADDED,
    PRODUCTS,
    PROMOTION_GATES,
    PUBLISHED,
    SQUARED_UNITS,
    TIMESTAMP,
    Column,
    Contract,
)
from forecast_assets.core.quantities import UNITS
from forecast_assets.features.compiler import compile_contract
from forecast_assets.features.specs import DEFAULT_SPECS, feature_version
from resources.ledger.entries import KINDS

_SQL_TYPES: Final[dict[Any, str]] = {
    pl.String: "VARCHAR",
    pl.Boolean: "BOOLEAN",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.Float64: "DOUBLE",
    pl.Date: "DATE",
    TIMESTAMP: "TIMESTAMPTZ",
    UNITS: "DECIMAL(18, 6)",
    SQUARED_UNITS: "DECIMAL(38, 6)",
}

_HEAD: Final = """\
# Feeds and products

Printed from the contracts by `python -m forecast_assets.presentation.documentation > docs/products.md`; a test holds
the two together, so change the contract, not this page.

Every frame is held to its contract before a byte of it is written: exactly these columns, in this order, of these
types, within these bounds, unique by key. `_units` are sales units, `_days` days, shares and probabilities 0 to 1.
**Bold** columns are the key. Nothing is null unless it says so."""

_PUBLISHED: Final = """\
Each is a view in the schema of its model version, for example `"stat-1".forecasts`. Name the version, the
`prediction_date` and the `forecast_horizon`: a view holds every published run of its version. Views whose key ends in
`step` of a SKU and store also have `prediction_id`, which `forecast-assets lineage` takes."""

_ON_THE_WAY: Final = """\
Stored and versioned like the published ones, named in their lineage, and read by checks; not offered as views."""

_ACCURACY: Final = """\
The view `audit.forecast_accuracy` over all model versions, with `measured_sequence` (the ledger entry), `is_newest` and
`known_until` besides: sum the newest only. Ratios follow from sums: WAPE is
`sum(absolute_error_units) / sum(sales_units)`, bias `sum(error_units) / sum(sales_units)`, coverage
`sum(inside_80_rows) / sum(quantile_rows)`, the share at or below an upper quantile
`sum(at_most_q975_rows) / sum(quantile_rows)`, of what lies between two quantiles (a PIT histogram) the difference of
two such columns, the Brier score `sum(brier_loss) / sum(risk_rows)`."""

_VALUE_ADDED: Final = """\
The view `audit.forecast_value_added` over all model versions, with `measured_sequence` (the ledger entry), `is_newest`
and `known_until` besides: sum the newest only. Value added by planners, in points of sales, is
`100 * sum(rules_absolute_error_units - override_absolute_error_units) / sum(sales_units)` where `NOT is_rule`; of rules
`reconciled_` stands for `rules_`. The share of moves that came true is
`sum(moved_times_needed_units2) / sum(moved_squared_units2)`. Of several revisions of a run each has its own rows: read
the newest that has the override."""

_TRIALS: Final = """\
The views `audit.channel_assignments`, with `assigned_sequence` (the ledger entry) and `is_newest` besides, and
`audit.challenger_evidence`, with `weighed_sequence` and `is_newest`. Read the newest only.
[Champion and challenger](lifecycle.md#champion-and-challenger) says how both are made and read."""

_BACKTESTS: Final = """\
The view `audit.backtest_reports` over all model versions, with `cadence`, `forecast_horizon`, `evaluated_sequence` (the
ledger entry), `is_newest` and `known_until` besides. [Backtests](backtests.md) says how to read it."""

_CALIBRATION: Final = """\
The view `audit.calibration` over all model versions, with `model_version` and `registered_sequence` (the ledger entry)
besides. [Calibration](calibration.md) says how to read it."""

_GATES: Final = """\
The view `audit.promotion_gates` over all judgements of all model versions, with `against` (the champion beside whom it
was judged), `judged_sequence` (the ledger entry) and `is_newest` besides. [Gates and
policy](lifecycle.md#gates-and-policy) says how to read it."""
_DRIFT: Final = """\
The view `audit.drift_reports` over all judged days, with `judged_sequence` (the ledger entry), `is_newest` and
`known_until` besides. [Drift and backlog](lifecycle.md#drift-and-backlog) says how to read it."""
_ANOMALIES: Final = """\
The view `audit.feature_anomalies` over all judged days, with `judged_sequence` (the ledger entry), `is_newest` and
`known_until` besides; detectors are in `audit.anomaly_detectors`. [Anomalies](anomalies.md#series-of-snapshots) says
how to read it."""
_REVIEWS: Final = """\
The view `audit.business_reviews` over all reviews of all weeks, with `reviewed_sequence` (the ledger entry),
`is_newest` and `known_until` besides. [Weekly business review](lifecycle.md#weekly-business-review) says how to read
it."""

_FEEDS: Final = """\
What sources say. The store adds `source` and `trust` per batch; [sources.md](sources.md) says how to bring them."""


def products_markdown() -> str:
    """Return `docs/products.md`: one section per contract, published products first."""
    snapshots = compile_contract(DEFAULT_SPECS)
    unpublished = [contract for name, contract in PRODUCTS.items() if name not in PUBLISHED]
    parts = [
        _HEAD,
        *_chapter("Published products", _PUBLISHED, [PRODUCTS[name] for name in PUBLISHED]),
        *_chapter("Accuracy of past forecasts", _ACCURACY, [FORECAST_ACCURACY]),
        *_chapter("Value added by overrides", _VALUE_ADDED, [FORECAST_VALUE_ADDED]),
        *_chapter("Champion and challenger", _TRIALS, [CHANNEL_ASSIGNMENTS, CHALLENGER_EVIDENCE]),
        *_chapter("Backtests", _BACKTESTS, [BACKTEST_REPORTS]),
        *_chapter("Calibration", _CALIBRATION, [CALIBRATION]),
        *_chapter("Promotion gates", _GATES, [PROMOTION_GATES]),
        *_chapter("Drift", _DRIFT, [DRIFT_REPORTS]),
        *_chapter("Anomalies of snapshots", _ANOMALIES, [FEATURE_ANOMALIES]),
        *_chapter("Weekly business review", _REVIEWS, [BUSINESS_REVIEWS]),
        *_chapter(
            "Products on the way", _on_the_way(), [snapshots, *unpublished, EXTERNAL_FORECASTS, EVALUATION_REPORTS]
        ),
        *_chapter("Feeds", _FEEDS, FEEDS.values()),
    ]
    return "\n\n".join(parts) + "\n"


def kinds_markdown() -> str:
    """Return the table of all kinds of ledger entries in `docs/store-format.md`."""
    rows = ((f"`{kind.name}`", kind.meaning, kind.kept_state) for kind in KINDS.values())
    return _table(("kind", "what has happened", "what readers keep of it"), rows)


def _on_the_way() -> str:
    return f"{_ON_THE_WAY} The default feature version is `{feature_version(DEFAULT_SPECS)}`."


def _chapter(title: str, words: str, contracts: Iterable[Contract]) -> list[str]:
    return [f"## {title}", words, *(_section(contract) for contract in contracts)]


def _section(contract: Contract) -> str:
    lines = [
        *(f"- Promise: {promise}" for promise in contract.promises),
        *(f"- Limit: {limit}" for limit in contract.limits),
    ]
    parts = [
        f"### {contract.name}",
        f"{contract.description}\n\nGrain: {contract.grain}.",
        "\n".join(lines),
        _table(("column", "type", "values", "meaning"), [_row(column, contract) for column in contract.columns]),
    ]
    return "\n\n".join(part for part in parts if part)


def _row(column: Column, contract: Contract) -> tuple[str, ...]:
    name = f"**`{column.name}`**" if column.name in contract.key else f"`{column.name}`"
    return name, _SQL_TYPES[column.dtype], _values(column), column.description


def _values(column: Column) -> str:
    bounds = [
        f"at least {column.at_least:g}" if column.at_least is not None else "",
        f"at most {column.at_most:g}" if column.at_most is not None else "",
        ", ".join(f"`{value}`" for value in column.one_of or ()),
        "or null" if column.nullable else "",
    ]
    return "; ".join(bound for bound in bounds if bound)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    click.echo(products_markdown(), nl=False)
