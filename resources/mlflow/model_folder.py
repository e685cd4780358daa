"""The model artifact of a run: a folder that `mlflow.pyfunc.load_model` takes.

What belongs here: its files. What does not: loading it, or predicting (`operations.mlflow_model`).

Nothing in it is code or a pickle: it names a module of this installation, holds the artifact's bytes, and says which
version they are of. The same version gives the same bytes.
"""

import json
import platform
from datetime import datetime
from pathlib import Path
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import ChangedFileError
from resources.mlflow.place import line_without_password

DATA: Final = "data"
ARTIFACT: Final = "artifact.json"
VERSION: Final = "version.json"
LOADER: Final = "forecast_assets.operations.mlflow_model"
INPUTS: Final = ("store_id", "sku_id", "prediction_date", "horizon")


def model_files(model_version: str, recorded_at: str, artifact: bytes) -> dict[str, bytes]:
    """Return the files of a model folder.

    Args:
        model_version: Name of the version.
        recorded_at: When it was registered, ISO 8601.
        artifact: Bytes of its artifact.
    """
    description = {
        "flavors": {
            "python_function": {
                "loader_module": LOADER,
                "data": DATA,
                "python_version": platform.python_version(),
            }
        },
        "metadata": {"model_version": model_version, "inputs": list(INPUTS)},
        "utc_time_created": f"{datetime.fromisoformat(recorded_at):%Y-%m-%d %H:%M:%S.%f}",
    }
    return {
        # JSON is YAML, which is what MLflow reads it as.
        "MLmodel": _json(description),
        f"{DATA}/{VERSION}": _json({"model_version": model_version}),
        f"{DATA}/{ARTIFACT}": artifact,
    }


def read_model_folder(data: Path) -> tuple[str, bytes]:
    """Return name of the version and bytes of the artifact of a folder that MLflow has downloaded.

    Raises:
        ChangedFileError: If a file is missing or cannot be read.
    """
    try:
        described = json.loads((data / VERSION).read_text())
        return str(described["model_version"]), (data / ARTIFACT).read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ChangedFileError(
            f"The model folder that MLflow gave is not as it was written: {line_without_password(error)}.",
            remedy=Sentence("Make the mirror anew from the ledger: ", Action("mlflow sync", {"rebuild": True}), "."),
        ) from error


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode() + b"\n"
