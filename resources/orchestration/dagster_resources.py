"""What assets and checks get from Dagster: the stores, what is asked of a run, and where progress goes.

What belongs here: resources and the keys of partitions. What does not: computing anything.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import PrivateAttr

from forecast_assets.core.errors import InputError, StorageError
from forecast_assets.core.keys import CADENCES, RunKey
from forecast_assets.core.progress import Progress
from forecast_assets.core.run import CorrectionRequest, RunOptions
from forecast_assets.core.spans import outermost
from partitions import MODEL_VERSION, PREDICTION_DATE
from resources.catalogue.build import refresh_catalogue
from resources.orchestration.configs import CorrectionConfig
from resources.stores.home import Stores, open_stores

CachedT = TypeVar("CachedT")

LOG_EVERY_SECONDS: Final = 5.0


class StoresResource:
    """The stores of one home folder, opened once.

    Args:
        location: Where ledger, observations and products are: a folder, or the URL of a bucket.
        mirror_folder: Local copies of what is in a bucket.
        catalogue_folder: Where catalogues for BI tools are.
        expectations_folder: Where Great Expectations keeps results and data docs.
        stores: The same stores, if they are open already.
    """

    def __init__(
        self,
        location: str,
        mirror_folder: Path,
        catalogue_folder: Path,
        expectations_folder: Path,
        stores: Stores | None = None,
    ) -> None:
        self.expectations_folder = expectations_folder
        self._location = location
        self._mirror_folder = mirror_folder
        self._catalogue_folder = catalogue_folder
        self._stores = stores

    def open(self) -> Stores:
        """Return the stores."""
        if self._stores is None:
            self._stores = open_stores(self._location, self._mirror_folder)
        return self._stores

    def reopened(self) -> Stores:
        """Return the stores with a ledger that is read anew; which files have been verified is remembered.

        A sensor looks again and again, several of them at once, and for as long as the UI is open.
        """
        return Stores.on(self.open().blobs)

    def refreshed_catalogue(self, duckdb: DuckDBResource, context: dg.AssetExecutionContext) -> str:
        """Build the BI catalogue and return its file, or why it could not be built: what is recorded stays so."""
        try:
            return str(refresh_catalogue(self.open().predictions, self._catalogue_folder, duckdb.get_connection))
        except StorageError as error:
            context.log.warning(str(error))
            return f"not built: {error}"


class RunResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """What is asked of a run.

    Attributes:
        key: The run's key, as `daily/2025-06-30/stat-1/28/r0`; None for the first revision of the partition.
        horizon: Days ahead of a run without a key; None for the cadence's default.
        correction: What the run corrects, and why; for keys whose revision is 1 or more.
        history_days: Days of history that models read.
        risk_paths: Simulated stock paths per series.
        workers: Processes that fit series; None for all cores.
    """

    key: str | None = None
    horizon: int | None = None
    correction: CorrectionConfig | None = None
    history_days: int = 364
    risk_paths: int = 300
    workers: int | None = None
    _cached: dict[str, Any] = PrivateAttr(default_factory=dict)
    _told: ExitStack = PrivateAttr(default_factory=ExitStack)

    @property
    def options(self) -> RunOptions:
        """The run's settings."""
        return RunOptions(self.history_days, self.risk_paths, self.workers)

    @property
    def correction_request(self) -> CorrectionRequest | None:
        """What the run corrects.

        Raises:
            InputError: If its moment of knowledge is none.
        """
        return None if self.correction is None else self.correction.request

    @property
    def known_until(self) -> datetime | None:
        """The moment of knowledge of a correction; None for that of the date itself."""
        asked = self.correction_request
        return None if asked is None else asked.known_until

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Tell that a run of Dagster begins, unless whoever launched it in this process has told of it."""
        run = context.run
        if run is not None:
            # Its id is a UUID, as long as that of a trace: whoever has one has the other.
            told = outermost("run", trace=run.run_id.replace("-", ""), job=run.job_name)
            self._told.enter_context(told)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Let go of what a run kept when it ends, however it ends."""
        del context
        self._cached.clear()
        self._told.close()

    def cached(self, name: str, make: Callable[[], CachedT]) -> CachedT:
        """Return what this run of Dagster keeps under a name; made at the first call, gone with the run."""
        if name not in self._cached:
            self._cached[name] = make()
        found: CachedT = self._cached[name]
        return found


class ProgressReporter:
    """Tells how far long work is; by default into the run's log every few seconds."""

    def reporter(self, log: Any) -> Progress:
        """Return a function to call with a stage, what is done, and the total."""
        last: dict[str, float] = {}

        def report(stage: str, done: int, total: int) -> None:
            now = time.monotonic()
            if done >= total or now - last.get(stage, 0.0) >= LOG_EVERY_SECONDS:
                last[stage] = now
                log.info("%s: %s of %s", stage, f"{done:,}", f"{total:,}")

        return report


class CallbackProgress(ProgressReporter):
    """Hands progress to a function instead of the run's log."""

    def __init__(self, report: Progress) -> None:
        self._report = report

    def reporter(self, log: Any) -> Progress:
        """Return the function."""
        del log
        return self._report


def run_key(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, cadence: str, run: RunResource
) -> RunKey:
    """Return the key of the run whose scoring partition is being made.

    Raises:
        InputError: If the run was asked for with a key of another partition.
    """
    dimensions = scoring_dimensions(context)
    if run.key is None:
        return RunKey(cadence, *dimensions, CADENCES[cadence].horizon(run.horizon))
    key = RunKey.parse(run.key)
    if (key.cadence, key.prediction_date, key.model_version) != (cadence, *dimensions):
        raise InputError(
            f"{key} is no run of the partition {dimensions[0]}, {dimensions[1]} of the {cadence} cadence.",
            remedy="Leave the key out, or launch the partition that it names.",
        )
    return key


def scoring_dimensions(context: Any) -> tuple[date, str]:
    """Return prediction date and model version of the current partition."""
    key = context.partition_key
    parts = key.keys_by_dimension if isinstance(key, dg.MultiPartitionKey) else _split(key)
    return date.fromisoformat(parts[PREDICTION_DATE]), parts[MODEL_VERSION]


def _split(key: str) -> dict[str, str]:
    # Dagster joins the dimensions in alphabetical order of their names.
    version, day = key.split("|")
    return {MODEL_VERSION: version, PREDICTION_DATE: day}
