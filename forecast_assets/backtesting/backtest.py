"""Backtesting a model version at past cutoffs, beside what it has to beat, and recording the report.

What belongs here: which cutoffs and methods there are, and the record. What does not: making a run (runs), laying it
beside actuals (actuals), metrics (forecast_assets.metrics), or showing anything.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.backtesting.actuals import Actuals, backtest_of
from forecast_assets.backtesting.cache import BacktestCache
from forecast_assets.backtesting.runs import (
    ARTIFACTS,
    SNAPSHOTS,
    BacktestRun,
    BacktestRunner,
    Method,
    Recipe,
    cadence_horizon,
    is_possible,
    require_recipe,
)
from forecast_assets.contracts import BACKTEST_REPORTS, BACKTESTED_METHOD
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.keys import CADENCES
from forecast_assets.core.progress import Progress
from forecast_assets.history.as_known import History
from forecast_assets.metrics.backtests import SEASONAL_NAIVE, STATISTICAL, Backtest, measure
from forecast_assets.models.family import BASELINE, family
from forecast_assets.settings import Settings
from resources.ledger.entries.evaluate import BacktestRecord
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

CHAMPION: Final = "champion"
_STAGE: Final = "backtest cutoffs"


@dataclass(frozen=True)
class BacktestRequest:
    """What is to be backtested.

    Attributes:
        version: The model version.
        cutoffs: Past cutoffs, in any order.
        cadence: Rhythm of the runs.
        horizon: Days ahead; None for as far as the cadence looks and the version was trained.
        against: Further versions to compare it with.
    """

    version: str
    cutoffs: Sequence[date]
    cadence: str = "daily"
    horizon: int | None = None
    against: Sequence[str] = ()


@dataclass(frozen=True)
class BacktestOutcome:
    """A version at past cutoffs.

    Attributes:
        record: What the ledger says of it.
        is_new: Whether this call recorded it; False if it was there already.
        product: The product `backtest_reports`.
        report: Its rows.
        cutoffs: What they were taken of, oldest first.
        notes: What a reader has to know: methods that were left out, days that are not known yet.
    """

    record: BacktestRecord
    is_new: bool
    product: ProductVersion
    report: pl.DataFrame
    cutoffs: Sequence["BacktestCutoff"]
    notes: tuple[str, ...]

    @property
    def backtests(self) -> list[Backtest]:
        """Forecasts beside what came, one per cutoff."""
        return [each.backtest for each in self.cutoffs]


@dataclass(frozen=True)
class BacktestCutoff:
    """A past cutoff: its runs, and what came.

    Attributes:
        runs: The version that is judged, then what it is compared with.
        known: What was known then.
        actuals: What came.
        backtest: Both beside each other.
    """

    runs: tuple[BacktestRun, ...]
    known: History
    actuals: Actuals
    backtest: Backtest


def run_backtests(stores: Stores, settings: Settings, request: BacktestRequest, progress: Progress) -> BacktestOutcome:
    """Backtest a model version, and record the report unless the newest one of the version is the same.

    What was made before from the same inputs is not made again: snapshots, trained artifacts and runs are kept below
    the home folder, apart from the store. Interrupted, it goes on where it stopped.

    Args:
        stores: Where everything is.
        settings: How much of the machine to use, and where work is kept.
        request: What is to be backtested.
        progress: Called with stage, done and total.

    Raises:
        UnknownVersionError: If there is no such version.
        InputError: If there is no cutoff, or one that cannot be used.
        HorizonError: If the version or the cadence does not reach so far ahead.
        IncompleteInputsError: If inputs of a cutoff are missing, or nothing is known of the days after it.
    """
    cache = BacktestCache(stores, settings.backtests_folder)
    own = _method(cache.stores, request.version, BACKTESTED_METHOD)
    horizon = _horizon(cache.stores, request, own)
    days = _required_cutoffs(cache.stores, request, own, horizon)
    methods, notes = _methods(cache, request, own, horizon, days)
    done, runs = [], BacktestRunner(cache, settings, progress)
    for at, day in enumerate(days):
        progress(_STAGE, at, len(days))
        done.append(_at(cache.stores, runs, settings, methods, request.cadence, horizon, day, progress))
    progress(_STAGE, len(days), len(days))
    backtests = [each.backtest for each in done]
    frame = _report_frame(request.version, backtests)
    facts = _facts(request, horizon, days, done, settings)
    product = _written(stores, frame, own, facts, done)
    body = {name: facts[name] for name in ("model_version", "cadence", "forecast_horizon", "cutoffs", "methods",
                                           "known_until")}  # fmt: skip
    record, is_new = stores.predictions.record_backtest(product, body)
    return BacktestOutcome(record, is_new, product, frame, done, (*notes, *_unknown_days(backtests)))


def last_cutoffs(stores: Stores, version: str, cadence: str, horizon: int | None, last: int, every: int) -> list[date]:
    """Return the newest cutoffs all of whose days ahead can have come, oldest first.

    Args:
        stores: Where everything is.
        version: The version that is to be backtested.
        cadence: Rhythm of the runs, which says what days may be cutoffs.
        horizon: Days ahead; None for the default.
        last: How many.
        every: Days between two of them.

    Raises:
        InputError: If the cadence has no such rhythm.
    """
    weekday = CADENCES[cadence].weekday
    if weekday is not None and every % 7:
        raise InputError(
            f"Prediction dates of {cadence} runs are a week apart, not {every} days.",
            remedy="Choose a multiple of 7 with --every.",
        )
    own = _method(stores, version, BACKTESTED_METHOD)
    days = cadence_horizon(cadence, horizon, own.recipe.horizon)
    newest = CADENCES[cadence].newest_date(stores.observations.newest_day("sales") - timedelta(days=days))
    return [newest - timedelta(days=every * back) for back in reversed(range(last))]


# --- cutoffs and methods ---


def _required_cutoffs(stores: Stores, request: BacktestRequest, own: Method, horizon: int) -> list[date]:
    """Return the cutoffs, oldest first, unless one cannot be used."""
    days = sorted(set(request.cutoffs))
    if not days:
        raise InputError("There is no cutoff to backtest at.", remedy="Name some with --cutoffs, or give --last N.")
    start, newest = stores.ledger.state().start_date, stores.observations.newest_day("sales")
    outside = [day for day in days if (start is not None and day < start) or day >= newest]
    if outside:
        raise InputError(
            f"{first_ten(outside)} cannot be cutoffs: sales are known from {start} to {newest}, and some days after a "
            "cutoff must be.",
            remedy=f"Choose cutoffs from {start} on and before {newest}; of those up to "
            f"{newest - timedelta(days=horizon)} all {horizon} days ahead can be known.",
        )
    for day in days:
        CADENCES[request.cadence].require_date(day)
        if own.is_recipe_at(day):
            require_recipe(own, day)
    return days


def _horizon(stores: Stores, request: BacktestRequest, own: Method) -> int:
    """Return the days ahead: as asked; of an external version as its runs look; else as far as it was trained."""
    asked = request.horizon
    if asked is None and family(own.recipe.family).given_product:
        looked = {
            days for cutoff in request.cutoffs
            for days in stores.predictions.horizons(request.cadence, cutoff, request.version)
        }  # fmt: skip
        asked = max(looked, default=None)
    return cadence_horizon(request.cadence, asked, own.recipe.horizon)


def _method(stores: Stores, version: str, name: str) -> Method:
    record = stores.registry.model_version(version)
    return Method(name, Recipe.of(stores, record), record)


def _methods(
    cache: BacktestCache, request: BacktestRequest, own: Method, horizon: int, cutoffs: Sequence[date]
) -> tuple[list[Method], tuple[str, ...]]:
    """Return the version and what it is compared with, and what was left out, in words."""
    against = [_method(cache.stores, name, name) for name in dict.fromkeys(request.against) if name != request.version]
    champion = cache.stores.ledger.state().channel(CADENCES[request.cadence].champion)
    notes: tuple[str, ...] = ()
    methods = [own, *against]
    if champion is not None and champion not in (request.version, *request.against):
        method = _method(cache.stores, champion, CHAMPION)
        if all(is_possible(cache, method, request.cadence, horizon, cutoff) for cutoff in cutoffs):
            methods.append(method)
        else:
            notes = (f"The champion, {champion}, has no forecasts of these cutoffs so far ahead; it is left out.",)
    if BASELINE not in {method.recipe.family for method in (own, *against)}:
        methods.append(Method(STATISTICAL, own.recipe.statistical(horizon)))
    _require_names(methods)
    return methods, notes


def _require_names(methods: Sequence[Method]) -> None:
    taken = {BACKTESTED_METHOD, CHAMPION, STATISTICAL, SEASONAL_NAIVE}
    named = [method.name for method in methods[1:] if method.version and method.version.model_version == method.name]
    clashing = sorted(taken.intersection(named))
    if clashing:
        raise InputError(
            f"Versions named {first_ten(clashing)} cannot be told from what the report calls so itself.",
            remedy="Leave them out of --against.",
        )


def _at(
    stores: Stores,
    runs: BacktestRunner,
    settings: Settings,
    methods: Sequence[Method],
    cadence: str,
    horizon: int,
    cutoff: date,
    progress: Progress,
) -> BacktestCutoff:
    """Make all runs of one cutoff, and lay what came beside."""
    actuals = Actuals.after(stores, cutoff, horizon)
    snapshot = runs.snapshot(cutoff)
    made = []
    for at, method in enumerate(methods):
        progress(f"methods as of {cutoff}", at, len(methods))
        made.append(runs.run(method, cadence, horizon, snapshot))
    progress(f"methods as of {cutoff}", len(methods), len(methods))
    known = History.of(snapshot.made[SNAPSHOTS], snapshot.stores.observations)
    return BacktestCutoff(tuple(made), known, actuals, backtest_of(snapshot, made, actuals, settings.history_days))


# --- the record ---


def _report_frame(version: str, backtests: Sequence[Backtest]) -> pl.DataFrame:
    """Return the rows of contract `backtest_reports`."""
    rows = measure(backtests).with_columns(model_version=pl.lit(version))
    return BACKTEST_REPORTS.conform(rows)


def _facts(
    request: BacktestRequest, horizon: int, days: Sequence[date], done: Sequence[BacktestCutoff], settings: Settings
) -> dict[str, Any]:
    """Return what it takes to make the report again."""
    return {
        "model_version": request.version,
        "cadence": request.cadence,
        "forecast_horizon": horizon,
        "cutoffs": [day.isoformat() for day in days],
        "methods": [asdict(run.record()) for each in done for run in each.runs],
        "known_until": max(each.actuals.known_until for each in done).isoformat(),
        "history_days": settings.history_days,
        "risk_paths": settings.risk_paths,
    }


def _written(
    stores: Stores, frame: pl.DataFrame, own: Method, facts: dict[str, Any], done: Sequence[BacktestCutoff]
) -> ProductVersion:
    version = own.version
    if version is None:
        raise InputError(
            "Only a registered version can be backtested.", remedy=Sentence("Name one: ", Action("versions"))
        )
    batches = {batch.batch_id for each in done for batch in each.actuals.batches}
    return stores.predictions.write(
        BACKTEST_REPORTS,
        frame,
        key=version.model_version,
        folder=f"backtest_reports/model_version={version.model_version}",
        inputs={ARTIFACTS: version.artifact, "batches": sorted(batches)},
        facts=facts,
    )


def _unknown_days(backtests: Sequence[Backtest]) -> tuple[str, ...]:
    known = {each.cutoff: 1.0 - float(np.isnan(each.sales).mean()) for each in backtests}
    return tuple(
        f"Of the days after {cutoff}, {share:.0%} of all series and days are known; the others are left out."
        for cutoff, share in known.items()
        if share < 1.0
    )


def report_page_path(settings: Settings, record: BacktestRecord) -> Path:
    """Return where the page of a report is, if nobody names another place."""
    return settings.reports_folder / f"{record.model_version}-{record.product_version[:12]}.html"
