"""Anomaly models: training one, listing those that were trained here, and loading one that may be loaded.

What belongs here: models as files and the register of their hashes. What does not: fitting (``anomalies``), or scoring
a table (``anomaly_scoring``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from forecast_assets.anomalies.evaluation import DetectorReport, judged_detector
from forecast_assets.anomalies.model_file import JOBLIB, SKOPS, AnomalyModel, loaded_model, model_ending
from forecast_assets.anomalies.tables import TextDialect, open_table
from forecast_assets.anomalies.training import DetectorRequest, TrainedDetector, train_detector
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, SourceError, UntrustedModelError, first_ten
from forecast_assets.core.progress import Progress, silent
from forecast_assets.operations.new_files import require_name, require_place, require_text, whole_files
from resources.operational.model_files import ModelFile, register_model_file, registered_model_files
from resources.store.blobs import file_sha256
from resources.store.blobs import sha256 as sha256_of

# As it was registered, changed since, or not there any more.
THERE: Final = "there"
CHANGED: Final = "changed"
GONE: Final = "gone"


@dataclass(frozen=True)
class TrainingOutcome:
    """A model that was trained.

    Attributes:
        path: Its file.
        sha256: Of the file.
        trained: The model, and how it came about.
        report: What labels say of it; None without a label column.
    """

    path: Path
    sha256: str
    trained: TrainedDetector
    report: DetectorReport | None


@dataclass(frozen=True)
class ListedModel:
    """A file that was registered, and whether it is still as it was."""

    file: ModelFile
    state: str


@dataclass(frozen=True)
class Vouched:
    """On whose word a file that is code is loaded.

    Attributes:
        sha256: Hash that somebody names; a file with another one is refused, whatever its format.
        is_trusted: Whether somebody says that this file may be run.
    """

    sha256: str | None = None
    is_trusted: bool = False


def train_anomaly_model(
    store: Path,
    data: Path,
    output: Path,
    request: DetectorRequest,
    *,
    dialect: TextDialect | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> TrainingOutcome:
    """Train a detector on a file, register the model's bytes and write them.

    Args:
        store: The home's operational store.
        data: The file to learn from.
        output: Of the model; its ending says the format, `.skops` where it has none.
        request: What to train.
        dialect: What is known of a CSV.
        overwrite: Whether a file of that name is replaced.
        progress: Told how far it is.

    Raises:
        InputError: If the file or the request cannot be used, or the output exists.
        StorageError: If the disk refuses.
    """
    require_name(output)
    for each in (data, output):
        require_text(each)
    path = output if output.suffix else output.with_suffix(SKOPS)
    ending = model_ending(path)
    require_place([path], overwrite=overwrite)
    table = open_table(data, dialect)
    trained_at = datetime.now(UTC).isoformat(timespec="seconds")
    digest = file_sha256(data)
    trained = train_detector(table, request, data_sha256=digest, trained_at=trained_at, progress=progress)
    report = judged_detector(table, trained, request) if request.label else None
    if file_sha256(data) != digest:
        raise SourceError(f"{data} was changed while it was read.", remedy="Train again when nobody writes to it.")
    content = trained.model.to_bytes(ending)
    sha256 = sha256_of(content)
    with whole_files([path], overwrite=overwrite) as (scratch,):
        scratch.write_bytes(content)
        # Before the file has its name: one that is there can be loaded.
        register_model_file(store, _entry(trained.model, path, sha256))
    return TrainingOutcome(path, sha256, trained, report)


def _entry(model: AnomalyModel, path: Path, sha256: str) -> ModelFile:
    return ModelFile(
        sha256=sha256,
        name=model.name,
        path=str(path.absolute()),
        detector=model.detector,
        features=",".join(f'"{name}"' if "," in name else name for name in model.features),
        trained_at=model.trained_at or "",
        data_sha256=model.data_sha256 or "",
    )


def list_anomaly_models(store: Path) -> Sequence[ListedModel]:
    """Return the models that were trained here, the last first, and whether their files are as they were.

    Raises:
        StorageError: If the operational store cannot be read.
    """
    return tuple(ListedModel(file, _state(file)) for file in registered_model_files(store))


def _state(file: ModelFile) -> str:
    path = Path(file.path)
    if not path.is_file():
        return GONE
    return THERE if file_sha256(path) == file.sha256 else CHANGED


def load_anomaly_model(store: Path, path: Path, vouched: Vouched) -> tuple[AnomalyModel, str]:
    """Return a model and the hash of its file, if it may be loaded.

    The bytes that are hashed are the bytes that are loaded.

    Args:
        store: The home's operational store; it is asked only for a file that is code.
        path: The file.
        vouched: On whose word.

    Raises:
        InputError: If there is no file, or it is no model.
        UntrustedModelError: If it is code, and neither was it trained here nor does anybody vouch for it; or if it has
            another hash than the one that is named.
    """
    ending = model_ending(path)
    if not path.is_file():
        raise _missing(store, path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror}.", remedy="Make it readable.") from error
    sha256 = sha256_of(content)
    if vouched.sha256 is not None and vouched.sha256.lower() != sha256:
        raise UntrustedModelError(
            f"`{path}` has the SHA-256 {sha256}, not {vouched.sha256}.",
            remedy="It is not the file that was meant: get it anew, or ask who named the hash.",
            sha256=sha256,
        )
    if ending == JOBLIB and vouched.sha256 is None and not vouched.is_trusted:
        _require_registered(store, path, sha256)
    return loaded_model(path, content), sha256


def _require_registered(store: Path, path: Path, sha256: str) -> None:
    files = registered_model_files(store)
    if any(file.sha256 == sha256 for file in files):
        return
    before = next((file for file in files if file.path == str(path.absolute())), None)
    what = f"was changed since it was trained here at {before.trained_at}" if before else "was not trained on this home"
    raise UntrustedModelError(
        f"`{path}` is code that loading would run, and it {what}. Its SHA-256 is {sha256}.",
        remedy=Sentence(
            "Nothing was loaded. If you know where it comes from, name its hash, as who trained it tells it: ",
            Action("score", {"model": path, "sha256": "HASH"}),
            "; or say --trust. A .skops file of it needs neither.",
        ),
        sha256=sha256,
    )


def _missing(store: Path, path: Path) -> InputError:
    folder = path.parent
    beside = sorted(
        str(each)
        for each in (folder.iterdir() if folder.is_dir() else ())
        if each.suffix in (JOBLIB, SKOPS) and each.is_file()
    )
    here = [file.path for file in registered_model_files(store) if Path(file.path).is_file()]
    known = list(
        dict.fromkeys([*beside, *(each for each in here if Path(each) not in map(Path.absolute, map(Path, beside)))])
    )
    return InputError(
        f"There is no model `{path}`. Models that are there: {first_ten(known) or 'none'}.",
        remedy=Sentence(
            "Name one of them, or train it: ",
            Action(
                "anomalies train",
                {"detector": "isolation-forest", "input": "FILE", "all_numeric": True, "output": path},
            ),
        ),
        known=known,
    )
