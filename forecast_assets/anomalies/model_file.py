"""A trained detector as one file: what is in it, its two formats, and what may be loaded.

What belongs here: bytes from a model and back. What does not: which hashes are registered, or training.

A `.skops` file is data: only the listed types are made from it, whoever wrote it. A `.joblib` file is code: loading it
runs what its writer put there, so that its bytes are hashed first and somebody has to vouch for that hash.
"""

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from forecast_assets.anomalies.detectors import DETECTORS, Detector
from forecast_assets.core.errors import FIRST, InputError, first_line, first_ten

JOBLIB: Final = ".joblib"
SKOPS: Final = ".skops"
FORMATS: Final = (SKOPS, JOBLIB)
LIBRARIES: Final = ("numpy", "scipy", "scikit-learn")

_SCHEMA: Final = "schema.json"
_ADDRESS: Final = re.compile(r'("__id__": |"file": ")(\d+)')
_NEEDED: Final = ("detector", "features", "pipeline")


@dataclass(frozen=True)
class AnomalyModel:
    """A trained detector.

    Attributes:
        name: What people call it.
        detector: Name of the method.
        features: Columns that it reads, in the order in which it was trained.
        pipeline: Imputer, scaler and estimator, fitted.
        threshold: A score above it is an anomaly; None where none was calibrated.
        false_alarm_rate: That the threshold was calibrated to.
        trained_at: ISO 8601, UTC.
        trained_on: Name of the file.
        data_sha256: Of its bytes.
        training_rows: That it was fitted on.
        held_back_rows: That its threshold was calibrated on.
        other_columns: Of the training file, that it does not read.
        seed: Of samples and of the method.
        libraries: Versions that it was trained with.
    """

    name: str
    detector: str
    features: tuple[str, ...]
    pipeline: Any
    threshold: float | None = None
    false_alarm_rate: float | None = None
    trained_at: str | None = None
    trained_on: str | None = None
    data_sha256: str | None = None
    training_rows: int | None = None
    held_back_rows: int | None = None
    other_columns: tuple[str, ...] = ()
    seed: int | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> Detector:
        """The detector itself."""
        return DETECTORS[self.detector]

    def to_bytes(self, ending: str) -> bytes:
        """Return the file of a model.

        Args:
            ending: One of `FORMATS`.
        """
        content = {name: _plain(value) for name, value in vars(self).items()}
        if ending == SKOPS:
            from forecast_assets.anomalies import skops_files

            return _canonical(skops_files.written(content))
        import joblib

        buffer = io.BytesIO()
        joblib.dump(content, buffer)
        return buffer.getvalue()


def _canonical(content: bytes) -> bytes:
    """Return the file that skops wrote without what differs from run to run: times, and addresses of objects as names.

    What is left follows from the model, so that equal models are equal bytes.

    Raises:
        ValueError: If something would be lost, as of a release of skops that names its files in another way.
    """
    import zipfile

    numbers: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        return f"{found[1]}{numbers.setdefault(found[2], len(numbers))}"

    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as written, zipfile.ZipFile(made, "w") as archive:
        schema = _ADDRESS.sub(numbered, written.read(_SCHEMA).decode())
        arrays = {f"{number}.npy": f"{address}.npy" for address, number in numbers.items()}
        parts = {new: written.read(old) for new, old in arrays.items() if old in written.namelist()}
        dropped = {*written.namelist()} - {*arrays.values(), _SCHEMA}
        if dropped:
            raise ValueError(f"The schema of the model names no array of {first_ten(sorted(dropped))}.")
        for name, part in {**parts, _SCHEMA: schema.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def model_ending(path: Path) -> str:
    """Return in which format a file is, by its name.

    Raises:
        InputError: If its ending is none of `FORMATS`.
    """
    if path.suffix not in FORMATS:
        raise InputError(
            f"`{path}` has no ending of a model.", remedy=f"A model's file ends in {' or '.join(FORMATS)}."
        )
    return path.suffix


def loaded_model(path: Path, content: bytes) -> AnomalyModel:
    """Return the model in the bytes of a file; bytes of a `.joblib` file must have been vouched for.

    Raises:
        InputError: If it is none, or what it needs is not in it.
    """
    read = _from_skops if model_ending(path) == SKOPS else _from_joblib
    found = read(path, content)
    if not isinstance(found, dict) or not set(_NEEDED) <= found.keys():
        raise _no_model(path, f"it has to hold a dictionary with {', '.join(_NEEDED)}")
    if found["detector"] not in tuple(DETECTORS):
        raise _no_model(path, f"there is no detector `{found['detector']}`, only {', '.join(DETECTORS)}")
    try:
        return _model(path, found)
    except (TypeError, ValueError, AttributeError) as error:
        raise _no_model(path, first_line(error)) from error


def _model(path: Path, found: Mapping[str, Any]) -> AnomalyModel:
    from sklearn.pipeline import Pipeline

    known = {name: value for name, value in found.items() if name in AnomalyModel.__dataclass_fields__}
    known["features"] = tuple(str(name) for name in found["features"])
    known["other_columns"] = tuple(str(name) for name in found.get("other_columns") or ())
    known["libraries"] = dict(found.get("libraries") or {})
    if known.get("threshold") is not None:
        known["threshold"] = float(found["threshold"])
        if not math.isfinite(known["threshold"]):
            raise _no_model(path, f"its threshold {found['threshold']} tells nothing apart")
    model = AnomalyModel(**{"name": path.stem, **known})
    if len({*model.features}) < len(model.features):
        raise _no_model(path, "it names a feature twice")
    inputs = getattr(model.pipeline, "n_features_in_", None)
    if inputs != len(model.features):
        raise _no_model(path, f"its pipeline reads {inputs} columns, and it names {len(model.features)} features")
    if isinstance(found["features"], str) or not isinstance(model.pipeline, Pipeline):
        raise _no_model(path, "`features` has to be a list, and `pipeline` a Pipeline of scikit-learn")
    if not hasattr(model.pipeline[-1], model.method.asks_for):
        raise _no_model(path, f"the last step of its pipeline is no {model.method.title} that can judge other rows")
    return model


def changed_libraries(model: AnomalyModel) -> list[str]:
    """Say which libraries are not those that a model was trained with; none where it does not say."""
    now = library_versions()
    return [
        f"{name} {was}, now {now[name]}" for name, was in model.libraries.items() if name in now and now[name] != was
    ]


def library_versions() -> dict[str, str]:
    """Return the versions of what shapes a score."""
    from importlib.metadata import version

    return {name: version(name) for name in LIBRARIES}


def _from_skops(path: Path, content: bytes) -> Any:
    import zipfile

    from forecast_assets.anomalies import skops_files

    try:
        types = skops_files.types_in(content)
        unknown = skops_files.unknown_types(types)
        if unknown:
            raise InputError(
                f"`{path}` holds types that no detector is made of: {first_ten(unknown[:FIRST])}.",
                remedy="Nothing of it was loaded. Train the model here, or ask who wrote it for one of plain "
                "scikit-learn classes.",
                types=unknown,
            )
        return _without_version_warnings(lambda: skops_files.made(content, types))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _no_model(path, first_line(error)) from error


def _from_joblib(path: Path, content: bytes) -> Any:
    import joblib

    try:
        return _without_version_warnings(lambda: joblib.load(io.BytesIO(content)))
    except Exception as error:
        # It is code: what it raises, or what its being cut short makes it raise, may be anything.
        raise _no_model(path, first_line(error)) from error


def _without_version_warnings(load: Any) -> Any:
    """Load; that libraries have changed is said by `changed_libraries`."""
    import warnings

    from sklearn.exceptions import InconsistentVersionWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        return load()


def _no_model(path: Path, why: str) -> InputError:
    return InputError(f"`{path}` is no model that can be used: {why}.", remedy="Copy it again, or train it anew.")
