"""The client of the mirror: writing versions to MLflow and reading them back.

What belongs here: calls of MLflow's client, and what its errors mean to people. What does not: what a version says, or
which of them are missing.

A run is finished before its version is registered, so that every registered version has a whole run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import ForecastAssetsError, LostRaceError, MirrorConflictError
from resources.mlflow.content import NO_MODEL, FoundModel, FoundRun, FoundVersion, RunContent, VersionContent
from resources.mlflow.place import MirrorPlace, missing_library, prepare, unavailable

ItemT = TypeVar("ItemT")

MODEL_FOLDER: Final = "model"
# Of the registered model: hash of the first entry of the ledger that it mirrors.
LEDGER_TAG: Final = "ledger"
_DESCRIPTION_TAG: Final = "mlflow.note.content"
_FINISHED: Final = "FINISHED"
# Libraries whose errors say that MLflow, its database, its server or its bucket refuses.
_LIBRARIES: Final = frozenset({"mlflow", "sqlalchemy", "psycopg", "requests", "urllib3", "boto3", "botocore"})
# Most that MLflow takes in one call.
_METRICS, _PARAMS, _PAGE = 1000, 100, 200
_REBUILD: Final = Sentence(
    "Make the mirror anew from the ledger: ",
    Action("mlflow sync", {"rebuild": True}),
    "; or give this store a model of its own: set `mlflow_model`.",
)


class MlflowMirror:
    """MLflow's runs and versions of one registered model.

    Args:
        place: Where it is.

    Raises:
        MirrorUnavailableError: If nobody answers there, or access is refused.
        MirrorConflictError: If the database is of another release of MLflow.
        InputError: If a library that the place needs is not installed.
    """

    def __init__(self, place: MirrorPlace) -> None:
        self.place = place
        prepare(place)
        from mlflow.tracking import MlflowClient

        with self._translated():
            self._client = MlflowClient(place.uri, place.uri)

    # --- reading ---

    def model(self) -> FoundModel:
        """Return the registered model with its versions; an empty one if there is none."""
        with self._translated():
            found = self._or_none(lambda: self._client.get_registered_model(self.place.model))
            if found is None:
                return NO_MODEL
            versions = {int(each.version): each for each in self._versions()}
        return FoundModel(
            ledger=found.tags.get(LEDGER_TAG, ""),
            versions={
                number: FoundVersion(number, each.run_id or "", each.description or "", dict(each.tags))
                for number, each in versions.items()
            },
            aliases={name: int(number) for name, number in found.aliases.items()},
        )

    def run(self, run_id: str) -> FoundRun | None:
        """Return a run with the sizes of its artifacts; None if it is gone."""
        with self._translated():
            found = self._or_none(lambda: self._client.get_run(run_id))
            if found is None or found.info.lifecycle_stage != "active":
                return None
            files = dict(self._files(run_id, None))
        data = found.data
        return FoundRun(found.info.status, data.params, data.metrics, data.tags, files)

    @property
    def artifact_location(self) -> str | None:
        """Where artifacts of new runs go; None if there is no experiment yet."""
        with self._translated():
            found = self._client.get_experiment_by_name(self.place.model)
        return None if found is None else str(found.artifact_location)

    def _files(self, run_id: str, folder: str | None) -> Iterator[tuple[str, int]]:
        for each in self._client.list_artifacts(run_id, folder):
            if each.is_dir:
                yield from self._files(run_id, each.path)
            else:
                yield each.path, int(each.file_size or 0)

    def _versions(self) -> Iterator[Any]:
        wanted, token = f"name = '{self.place.model}'", None
        while True:
            page = self._client.search_model_versions(wanted, max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    # --- writing ---

    def claim(self, ledger: str) -> None:
        """Make experiment and registered model for a ledger, unless they are there.

        Args:
            ledger: Hash of the ledger's first entry.

        Raises:
            MirrorConflictError: If the model is of another ledger, or of nobody that says so.
        """
        with self._translated():
            found = self._or_none(lambda: self._client.get_registered_model(self.place.model))
            if found is None:
                self._client.create_registered_model(
                    self.place.model,
                    {LEDGER_TAG: ledger},
                    "A mirror of the ledger, which decides what is true: changes made here are undone by the next "
                    "`mlflow sync`.",
                )
            elif found.tags.get(LEDGER_TAG) != ledger:
                raise MirrorConflictError(
                    f"The registered model `{self.place.model}` at {self.place.shown} is not a mirror of this ledger "
                    f"({found.tags.get(LEDGER_TAG, 'of none')[:12]} instead of {ledger[:12]}); nothing was changed.",
                    remedy="Give this store a model of its own (the setting `mlflow_model`), or delete that one in "
                    "MLflow if nobody needs it.",
                    model=self.place.model,
                )

    def write(self, version: VersionContent, run: RunContent, files: Mapping[str, bytes]) -> None:
        """Write a version that is not there: its run with all files, then the registered version.

        Args:
            version: What it says; its number is the next one.
            run: What its run says.
            files: Artifacts of the run by path.

        Raises:
            MirrorConflictError: If MLflow gives it another number, since versions were deleted there.
            LostRaceError: If somebody else registered it at the same time.
        """
        with self._translated():
            self._remove_runs(version.name)
            run_id, root = self._write_run(run, files)
            made = self._client.create_model_version(
                self.place.model,
                f"{root.rstrip('/')}/{MODEL_FOLDER}",
                run_id,
                dict(version.tags),
                description=run.description,
                await_creation_for=0,
            )
            if int(made.version) == version.number:
                return
            same = [each for each in self._versions() if each.tags.get("model_version") == version.name]
            self._client.delete_model_version(self.place.model, made.version)
            self._client.delete_run(run_id)
        if len(same) > 1:
            raise LostRaceError(
                f"Somebody else mirrored `{version.name}` at the same time.", remedy="Run the same command again."
            )
        raise MirrorConflictError(
            f"MLflow would number `{version.name}` {made.version} instead of {version.number}: versions were added "
            f"to or deleted from `{self.place.model}`.",
            remedy=_REBUILD,
            model_version=version.name,
        )

    def set_tags(self, version: VersionContent, found: FoundVersion) -> None:
        """Make tags of a registered version what they should be."""
        with self._translated():
            for name, value in version.tags.items():
                if found.tags.get(name) != value:
                    self._client.set_model_version_tag(self.place.model, str(found.number), name, value)
            for name in version.outdated(found.tags):
                self._client.delete_model_version_tag(self.place.model, str(found.number), name)

    def set_description(self, number: int, description: str) -> None:
        """Describe a registered version."""
        with self._translated():
            self._client.update_model_version(self.place.model, str(number), description)

    def set_alias(self, name: str, number: int | None) -> None:
        """Point an alias at a version, or at nothing."""
        with self._translated():
            if number is None:
                self._client.delete_registered_model_alias(self.place.model, name)
            else:
                self._client.set_registered_model_alias(self.place.model, name, str(number))

    def remove(self, ledger: str) -> None:
        """Remove the registered model and its runs, so that they can be made anew with the same numbers.

        Args:
            ledger: Hash of the first entry of the ledger whose mirror it is.

        Raises:
            MirrorConflictError: If the model is of another ledger.
        """
        self.claim(ledger)
        with self._translated():
            for each in list(self._versions()):
                self._or_none(partial(self._client.delete_run, each.run_id))
            self._client.delete_registered_model(self.place.model)
            self._leave_other_place()

    def _leave_other_place(self) -> None:
        """Give up an experiment whose artifacts go elsewhere, such as where the home was before it moved."""
        found = self._client.get_experiment_by_name(self.place.model)
        if found is None or self.place.artifact_location in (None, found.artifact_location):
            return
        # Of what is deleted the name stays taken.
        self._client.rename_experiment(found.experiment_id, f"{self.place.model} (experiment {found.experiment_id})")
        self._client.delete_experiment(found.experiment_id)

    # --- runs ---

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.place.model)
        if found is None:
            return str(self._client.create_experiment(self.place.model, self.place.artifact_location))
        if found.lifecycle_stage != "active":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _remove_runs(self, name: str) -> None:
        """Remove what an attempt left behind that was interrupted before it registered its version."""
        known = {each.run_id for each in self._versions()}
        wanted = f"tags.model_version = '{name}'"
        for run in self._client.search_runs([self._experiment()], wanted, max_results=_PAGE):
            if run.info.run_id not in known:
                self._client.delete_run(run.info.run_id)

    def _write_run(self, run: RunContent, files: Mapping[str, bytes]) -> tuple[str, str]:
        """Return the id of a finished run and where its artifacts are."""
        from mlflow.entities import Metric, Param

        tags = {**run.tags, _DESCRIPTION_TAG: run.description, "mlflow.user": "forecast-assets"}
        made = self._client.create_run(self._experiment(), run.started_ms, tags, run.name)
        run_id = made.info.run_id
        for params in _batches([Param(name, value) for name, value in run.params.items()], _PARAMS):
            self._client.log_batch(run_id, params=params)
        for metrics in _batches([Metric(m.name, m.value, run.ended_ms, m.step) for m in run.metrics], _METRICS):
            self._client.log_batch(run_id, metrics=metrics)
        with TemporaryDirectory(prefix="forecast-assets-") as folder:
            for path, data in files.items():
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            self._client.log_artifacts(run_id, folder)
        self._client.set_terminated(run_id, _FINISHED, run.ended_ms)
        return run_id, str(made.info.artifact_uri)

    # --- errors ---

    def _or_none(self, call: Callable[[], Any]) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return call()
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Say what went wrong in MLflow, its database, its server or its bucket in the project's own errors."""
        try:
            yield
        except ForecastAssetsError:
            raise
        except ImportError as error:
            raise missing_library(str(error.name or "boto3"), "artifacts in a bucket") from error
        except Exception as error:
            if type(error).__module__.split(".")[0] not in _LIBRARIES:
                raise
            raise unavailable(self.place, "refuses", error) from error


def _batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    whole = list(items)
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
