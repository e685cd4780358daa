"""External forecasts, from a file to published runs of a version of their own.

What belongs here: the order of it: everything that is wrong is said before anything is stored, then the version is
registered if it is new, then each prediction date is published by its own ledger entry, oldest first. What does not:
reading the file (sources), measuring the version (training), parsing arguments or printing.

Doing it again goes on where it stopped: dates that are published with the same numbers are left alone, and the same
date with other numbers is refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import EXTERNAL_FORECASTS
from forecast_assets.core.errors import (
    AlreadyPublishedError,
    AlreadyRegisteredError,
    ForecastAssetsError,
    InputError,
    NotReadyError,
    RefusedError,
    first_ten,
)
from forecast_assets.core.keys import DAILY, Cadence, RunKey, require_version_name
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.history.as_known import History
from forecast_assets.models.demand import classify
from forecast_assets.models.external.registration import LEAST_COMPLETENESS
from forecast_assets.models.family import family
from forecast_assets.operations.use_cases import RunOutcome, UseCases
from forecast_assets.scoring.context import build_hierarchy, given_inputs_of
from forecast_assets.sources.casting import Notation
from forecast_assets.sources.external_fit import Coherence, coherence, external_frame, missing_series, series_problems
from forecast_assets.sources.external_forecasts import (
    ForecastsFile,
    choose_horizon,
    file_problems,
    problem_list,
    read_forecasts_file,
)
from forecast_assets.sources.text_files import TextForm
from resources.store.manifests import ProductVersion
from resources.stores.products import run_folder

_SERIES_STEP: Final = [*SERIES_KEY, "step"]
_OVER: Final = ("dead", "ended")


@dataclass(frozen=True)
class ExternalForecastsRequest:
    """What to publish.

    Attributes:
        path: The file.
        model_version: Name of the version that it is, or becomes, part of.
        cadence: Rhythm of the runs.
        horizon: Days ahead; None for as far as the file looks.
        day: Prediction date of a file without that column.
        columns: The file's names of columns to ours.
        fill_missing: Whether zero stands in for series that the file lacks.
        form: What is known of a CSV's encoding and separator.
        notation: What is known of how the file writes numbers and days.
    """

    path: Path
    model_version: str
    cadence: Cadence = DAILY
    horizon: int | None = None
    day: date | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    fill_missing: bool = False
    form: TextForm = field(default_factory=TextForm)
    notation: Notation = field(default_factory=Notation)


@dataclass(frozen=True)
class PlannedDate:
    """One prediction date of a file.

    Attributes:
        key: Its run.
        is_published: Whether it is published already, with the same numbers.
        filled: Series for which zero stands in.
    """

    key: RunKey
    is_published: bool
    filled: int


@dataclass(frozen=True)
class ExternalForecastsPlan:
    """A file in which nothing is wrong.

    Attributes:
        request: What was asked for.
        file: What it says, up to the horizon.
        dates: Its prediction dates, oldest first.
        is_new: Whether the version has to be registered first.
    """

    request: ExternalForecastsRequest
    file: ForecastsFile
    dates: tuple[PlannedDate, ...]
    is_new: bool


def plan_external_forecasts(runner: UseCases, request: ExternalForecastsRequest) -> ExternalForecastsPlan:
    """Read a file and compare it with the snapshots of its prediction dates, which are made if need be.

    Raises:
        SourceError: With everything that is wrong.
        AlreadyRegisteredError: If the version's name is taken by one that was trained here.
        IncompleteInputsError: If nothing is wrong but observations of a date are still missing.
        RefusedError: If nothing else is wrong but a date is published with other numbers, or lies before the version.
    """
    is_new = _is_new(runner, require_version_name(request.model_version))
    require_version_name(request.model_version, is_new=is_new)
    file = read_forecasts_file(
        request.path, columns=request.columns, day=request.day, form=request.form, notation=request.notation
    )
    horizon, problems = choose_horizon(file, request.cadence, request.horizon)
    problems += file_problems(file, horizon)
    near = file.within(horizon)
    keys = [RunKey(request.cadence.name, day, request.model_version, horizon) for day in file.dates]
    dates, errors = [], list[ForecastAssetsError]()
    for at, key in enumerate(keys):
        runner.progress("prediction dates compared", at, len(keys))
        try:
            planned, found = _compare(runner, request, near.of(key.prediction_date), key, is_readable=not problems)
        except (InputError, NotReadyError, RefusedError) as error:
            errors.append(error)
        else:
            dates.append(planned)
            problems += found
    runner.progress("prediction dates compared", len(keys), len(keys))
    _raise_all(file, problems, errors)
    return ExternalForecastsPlan(request, near, tuple(dates), is_new)


def publish_external_forecasts(
    runner: UseCases, plan: ExternalForecastsPlan
) -> Iterator[tuple[RunOutcome, Coherence | None]]:
    """Register the version if it is new and publish each date, oldest first.

    Yields:
        What was done for each date, as soon as it is visible, and how its upper rows compare with the sums; None for a
        date that was published before.

    Raises:
        RefusedError: If another process published a date with other numbers meanwhile.
        NotAcceptedError: If a check fails; dates before it stay published, and the same command goes on from there.
    """
    due = [planned for planned in plan.dates if not planned.is_published]
    stored = {}
    for at, planned in enumerate(due):
        runner.progress("prediction dates stored", at, len(due))
        stored[planned.key] = _store(runner, plan.file.of(planned.key.prediction_date), plan.request, planned.key)
    runner.progress("prediction dates stored", len(due), len(due))
    if plan.is_new:
        _register(runner, plan, [stored[planned.key].version for planned in due])
    for at, planned in enumerate(plan.dates, start=1):
        outcome = _score(runner, planned.key)
        made = stored.get(planned.key)
        if made is not None:
            _require_made_from(runner, planned.key, made)
        runner.progress("prediction dates published", at, len(plan.dates))
        yield outcome, None if made is None else Coherence(**{name: made.facts[name] for name in Coherence().facts})


def _is_new(runner: UseCases, version: str) -> bool:
    """Whether the name is free; an external version goes on under it.

    Raises:
        AlreadyRegisteredError: If it names a version that was trained here.
    """
    known = runner.stores.ledger.state().versions.get(version)
    if known is not None and family(known.family).given_product != EXTERNAL_FORECASTS.name:
        raise AlreadyRegisteredError(
            f"`{version}` is a version of the family `{known.family}` (ledger entry {known.sequence}).",
            remedy="Choose another name for these external forecasts.",
            model_version=version,
            sequence=known.sequence,
        )
    return known is None


def _compare(
    runner: UseCases, request: ExternalForecastsRequest, file: ForecastsFile, key: RunKey, *, is_readable: bool
) -> tuple[PlannedDate, list[str]]:
    """Compare what a file says of one date with its snapshot, or with what is published of it."""
    if key in runner.stores.ledger.state().publications:
        published = _published(runner, key)
        if is_readable:
            _require_same_numbers(runner, file, published, key)
        return PlannedDate(key, is_published=True, filled=0), []
    request.cadence.require_date(key.prediction_date)
    if key.model_version in runner.stores.ledger.state().versions:
        runner.require_possible(key)
    snapshot = runner.stores.predictions.version(runner.snapshot(key.prediction_date))
    series = _series(runner, snapshot)
    problems = series_problems(file, series, key, fill_missing=request.fill_missing)
    lacking = missing_series(file, series)
    if request.fill_missing and lacking.height > (1 - LEAST_COMPLETENESS) * series.height:
        problems += _too_many_missing(runner, snapshot, lacking, series.height, key)
    return PlannedDate(key, is_published=False, filled=lacking.height), problems


def _too_many_missing(
    runner: UseCases, snapshot: ProductVersion, lacking: pl.DataFrame, count: int, key: RunKey
) -> list[str]:
    """Say if zero would stand in for more than 5% of the series although they still sell."""
    history = History.of(snapshot, runner.stores.observations)
    panel = history.panel(lacking, history_days=runner.settings.history_days, horizon_days=key.forecast_horizon)
    live = sum(name not in _OVER for name in classify(panel))
    if live <= (1 - LEAST_COMPLETENESS) * count:
        return []
    said = f"{live} of the {count} series of the snapshot of {key.prediction_date} still sell and are not in the file"
    return [f"{said}: too many to publish zero for, which may stand in for at most 5%"]


def _series(runner: UseCases, snapshot: ProductVersion) -> pl.DataFrame:
    return runner.stores.predictions.read(snapshot).select(SERIES_KEY).sort(SERIES_KEY)


def _published(runner: UseCases, key: RunKey) -> ProductVersion:
    """Return the forecasts that a published run was made from."""
    store = runner.stores.predictions
    (made,) = given_inputs_of(store, store.publication(key).products.values())
    return made


def _require_same_numbers(runner: UseCases, file: ForecastsFile, published: ProductVersion, key: RunKey) -> None:
    store = runner.stores.predictions
    series = _series(runner, store.version(published.inputs["feature_snapshots"]))
    unknown = series_problems(file, series, key, fill_missing=True)
    said, held = external_frame(file, series, key), store.read(published)
    if not unknown and said.equals(held):
        return
    differing = said.join(held, on=said.columns, how="anti", nulls_equal=True)
    rows = ["/".join(str(part) for part in row) for row in differing.select(_SERIES_STEP).rows()]
    sequence = store.publication(key).sequence
    raise RefusedError(
        f"{key} is already published (ledger entry {sequence}) with other numbers in {len(rows)} rows "
        f"(store/SKU/step {first_ten(rows) or 'none'}{'; ' + '; '.join(unknown) if unknown else ''}), and published "
        "numbers never change.",
        remedy="Ingest what is new under another version, or only the dates after it.",
        key=key,
        sequence=sequence,
    )


def _raise_all(file: ForecastsFile, problems: list[str], errors: list[ForecastAssetsError]) -> None:
    """Raise what is wrong: one kind as what it is, several as one list; what only waits, if nothing is wrong."""
    wrong = [error for error in errors if not isinstance(error, NotReadyError)]
    if len(wrong) == 1 and not problems:
        raise wrong[0]
    if problems or wrong:
        raise problem_list(file.name, [*problems, *(error.sentence.without_full_stop() for error in errors)])
    if errors:
        raise errors[0]


def _store(runner: UseCases, file: ForecastsFile, request: ExternalForecastsRequest, key: RunKey) -> ProductVersion:
    """Store what a file says of one run, with where it comes from."""
    stores = runner.stores
    snapshot = stores.predictions.staged("feature_snapshots", key.prediction_date)
    features = stores.predictions.read(snapshot)
    made = external_frame(file, features.select(SERIES_KEY).sort(SERIES_KEY), key)
    found = Coherence()
    if not file.upper.is_empty():
        hierarchy = build_hierarchy(features, History.of(snapshot, stores.observations))
        found = coherence(file, made, hierarchy, key)
    facts: dict[str, Any] = {
        "model_version": key.model_version,
        "prediction_date": key.prediction_date.isoformat(),
        "file": file.name,
        "file_sha256": file.sha256,
        "columns": dict(request.columns),
        "quantile_levels": file.levels,
        **found.facts,
    }
    return stores.predictions.write(
        EXTERNAL_FORECASTS,
        made,
        key=key,
        folder=run_folder(EXTERNAL_FORECASTS.name, key),
        inputs={"feature_snapshots": snapshot.version},
        facts=facts,
    )


def _register(runner: UseCases, plan: ExternalForecastsPlan, versions: list[str]) -> None:
    """Register the version by its first file, unless another process was quicker."""
    days = [planned.key.prediction_date for planned in plan.dates]
    try:
        runner.register_external(
            plan.request.model_version, versions, cutoff=days[0], evaluated_on=_newest_known(runner, plan, days[-1])
        )
    except AlreadyRegisteredError:
        _is_new(runner, plan.request.model_version)


def _newest_known(runner: UseCases, plan: ExternalForecastsPlan, last: date) -> date:
    """Return the newest day that a snapshot can be made of and that the file looks ahead to, at least its last date."""
    reach = plan.file.rows["target_date"].max()
    newest = min(runner.stores.observations.newest_day("sales"), reach if isinstance(reach, date) else last)
    if newest <= last:
        return last
    try:
        runner.snapshot(newest)
    except (InputError, NotReadyError):
        return last
    return newest


def _score(runner: UseCases, key: RunKey) -> RunOutcome:
    """Publish a run; if another process was quicker, whether it published the same is looked at next."""
    try:
        return runner.score(key)
    except AlreadyPublishedError:
        return runner.score(key)


def _require_made_from(runner: UseCases, key: RunKey, made: ProductVersion) -> None:
    """Refuse to report a run as published that another process published from another file meanwhile."""
    found = _published(runner, key)
    if found.files[0].sha256 != made.files[0].sha256:
        sequence = runner.stores.predictions.publication(replace(key, revision=0)).sequence
        raise RefusedError(
            f"{key} was published meanwhile with other numbers (ledger entry {sequence}), and published numbers never "
            "change.",
            remedy="Compare the two files; ingest this one under another version.",
            key=key,
            sequence=sequence,
        )
