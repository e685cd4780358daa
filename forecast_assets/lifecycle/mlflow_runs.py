"""What MLflow says of a model version: its run, its registered version, its aliases.

What belongs here: from the ledger's records and a version's report to plain values. What does not: MLflow itself
(`resources.mlflow`), or when it is written (`operations.mirroring`).

Everything follows from the ledger and what it names, so that a mirror which is made anew says the same.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import polars as pl

from forecast_assets.core.keys import CADENCES, DAILY
from resources.ledger.entries.channel_moves import Channels
from resources.ledger.entries.register import VersionRecord, Versions
from resources.ledger.state import LedgerState
from resources.mlflow.content import OVERRIDES_TAG, RETIRED_TAG, MetricPoint, RunContent, VersionContent
from resources.store.manifests import ProductVersion

# Curves over days ahead; each other segment is a metric of its own.
CURVE: Final = "day_ahead"
OVERALL: Final = "overall"
BASELINE_SUFFIX: Final = "seasonal_naive"
STAGE: Final = "stage"
PRODUCTION, STAGING, ARCHIVED, NO_STAGE = "Production", "Staging", "Archived", "None"
_LONGEST_NAME: Final = 250
_LONGEST_VALUE: Final = 5000
_DIGITS: Final = 8


# Aliases by channel, in MLflow's order of words: `champion`, `champion-weekly`.
ALIASES: Final = {
    channel: role if cadence is DAILY else f"{role}-{cadence.name}"
    for cadence in CADENCES.values()
    for role, channel in (("champion", cadence.champion), ("challenger", cadence.challenger))
}


def run_content(record: VersionRecord, artifact: ProductVersion, report: pl.DataFrame) -> RunContent:
    """Return what the run of a version says.

    Args:
        record: The version.
        artifact: Its artifact's manifest.
        report: Contract `evaluation_reports`.
    """
    ended = int(datetime.fromisoformat(record.recorded_at).timestamp() * 1000)
    facts = {name: value for name, value in artifact.facts.items() if name not in ("family", "cutoff")}
    params = {"family": record.family, "cutoff": record.cutoff.isoformat(), **facts}
    return RunContent(
        name=record.model_version,
        description=_description(record, report),
        started_ms=ended - int(record.training_seconds * 1000),
        ended_ms=ended,
        params={_allowed(name): _text(value) for name, value in params.items()},
        metrics=tuple(_metrics(report)),
        tags=_run_tags(record, artifact),
    )


def _run_tags(record: VersionRecord, artifact: ProductVersion) -> dict[str, str]:
    tags = {
        "model_version": record.model_version,
        "family": record.family,
        "cutoff": record.cutoff.isoformat(),
        "data_snapshot": record.training_snapshot,
        "feature_version": record.feature_version,
        "artifact": record.artifact,
        "artifact_sha256": artifact.files[0].sha256,
        "evaluation_report": record.evaluation_report,
        "calibration_report": record.calibration,
        "code_version": artifact.code_version,
        "cpu": record.cpu,
        "training_run_id": record.training_run_id,
        "training_seconds": f"{record.training_seconds:.1f}" if record.training_seconds else "",
        "ledger_sequence": str(record.sequence),
        "gates": "passed" if not record.failed_gates(for_channel=True) else "failed",
        "failed_gates": ", ".join(record.failed_gates(for_channel=True)),
    }
    return {name: value for name, value in tags.items() if value}


def version_content(number: int, record: VersionRecord, artifact: ProductVersion, state: LedgerState) -> VersionContent:
    """Return what the registered version says now; its report is not needed for that.

    Args:
        number: Its number, from 1, in the order of the ledger.
        record: The version.
        artifact: Its artifact's manifest.
        state: What is true now.
    """
    name = record.model_version
    tags = {**_run_tags(record, artifact), STAGE: stage(name, state)}
    overridden = state.part(Channels).overrides_of(name)
    if overridden:
        tags[OVERRIDES_TAG] = ", ".join(overridden)
    if name in state.part(Versions).retired:
        tags[RETIRED_TAG] = str(state.part(Versions).retired[name])
    aliases = frozenset(alias for channel, alias in ALIASES.items() if state.channel(channel) == name)
    return VersionContent(number, name, tags, aliases)


def stage(name: str, state: LedgerState) -> str:
    """Return the word that MLflow's stages had for a version.

    `Production` is a champion of either cadence, `Staging` a challenger, `Archived` what serves no more: retired, or
    pointed at once and no longer.
    """
    if name in state.part(Versions).retired:
        return ARCHIVED
    if any(state.channel(cadence.champion) == name for cadence in CADENCES.values()):
        return PRODUCTION
    if any(state.channel(cadence.challenger) == name for cadence in CADENCES.values()):
        return STAGING
    was_pointed_at = any(move.model_version == name for move in state.part(Channels).channel_moves)
    return ARCHIVED if was_pointed_at else NO_STAGE


def _description(record: VersionRecord, report: pl.DataFrame) -> str:
    failed = record.failed_gates(for_channel=True)
    overall = report.filter(pl.col("segment_kind") == "all", pl.col("metric") == "wape").drop_nulls("value")
    found = overall.select("value", "baseline_value").row(0) if overall.height else (None, None)
    error = "" if found[0] is None else f" WAPE {found[0]:.1%}"
    error += "" if not error or found[1] is None else f", seasonal naive {found[1]:.1%}"
    gates = f"failed: {', '.join(failed)}" if failed else "passed"
    return (
        f"`{record.model_version}`: family `{record.family}`, trained up to {record.cutoff}. "
        f"Gates {gates}.{error}{'.' if error else ''} "
        f"Mirrored from ledger entry {record.sequence}; the ledger decides, and what is changed here is undone."
    )


def _metrics(report: pl.DataFrame) -> Iterator[MetricPoint]:
    """Yield every measured value of a report, with that of seasonal naive beside it."""
    columns = ("segment_kind", "segment", "metric", "value", "baseline_value")
    for kind, segment, metric, value, baseline in report.select(columns).iter_rows():
        name, step = _place(kind, segment, metric)
        for suffix, number in (("", value), (f"/{BASELINE_SUFFIX}", baseline)):
            if number is not None and math.isfinite(number):
                yield MetricPoint(_allowed(f"{name}{suffix}"), number, step)


def _place(kind: str, segment: str, metric: str) -> tuple[str, int]:
    if kind == CURVE:
        return f"{kind}/{metric}", int(segment)
    return (f"{OVERALL}/{metric}" if kind == "all" else f"{kind}/{segment}/{metric}"), 0


def _allowed(name: str) -> str:
    """Return a name as MLflow takes it; one that has to be changed carries digits of its hash, so that no two meet.

    Example:
        >>> _allowed("level/category x store/wape"), _allowed("a+b")
        ('level/category x store/wape', 'a_b 0ae4f711')
    """
    kept = re.sub(r"[^\w/.\- :]", "_", name)
    # MLflow reads names as paths: one that begins or ends with a slash, or goes up, is none.
    kept = "/".join(part if part.strip(". ") else "_" for part in kept.split("/"))
    if kept == name and len(kept) <= _LONGEST_NAME:
        return name
    digits = sha256(name.encode()).hexdigest()[:_DIGITS]
    return f"{kept[: _LONGEST_NAME - _DIGITS - 1]} {digits}"


def _text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 4]} ..."


def expected_metrics(metrics: Iterable[MetricPoint]) -> Mapping[str, float]:
    """Return the last value of each metric, which is what MLflow gives back of a run."""
    last: dict[str, MetricPoint] = {}
    for point in metrics:
        if point.name not in last or point.step >= last[point.name].step:
            last[point.name] = point
    return {name: point.value for name, point in last.items()}
