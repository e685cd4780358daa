"""Pooled statistics of a published run as bytes, for whoever keeps them between processes.

What belongs here: writing them with the key of what they were made from, and reading them back under the same key only.
What does not: where they are kept, for how long, or making them (`prepared`).
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from forecast_assets.core.errors import InputError
from forecast_assets.features.pooled import Statistic
from forecast_assets.serving.dataplane.prepared_key import PreparedKey

# Raised whenever statistics of the same names mean something else.
FORMAT: Final = 1
_HEAD: Final = "head"


def statistics_to_bytes(key: PreparedKey, statistics: Mapping[str, Statistic]) -> bytes:
    """Write statistics with the key of the run that they are of."""
    names = sorted(statistics)
    head = json.dumps({"format": FORMAT, "key": _key(key), "names": names}, sort_keys=True)
    arrays: dict[str, Any] = {_HEAD: np.frombuffer(head.encode(), dtype=np.uint8)}
    for at, name in enumerate(names):
        found = statistics[name]
        arrays[f"values_{at}"] = found.values
        if found.code is not None:
            arrays[f"code_{at}"] = found.code
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def statistics_from_bytes(key: PreparedKey, content: bytes) -> dict[str, Statistic]:
    """Read back what `statistics_to_bytes` wrote.

    Raises:
        InputError: If the bytes are damaged, of another format, or of another run, snapshot or artifact.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            head = json.loads(arrays[_HEAD].tobytes())
            if (head["format"], head["key"]) == (FORMAT, _key(key)):
                return {name: _read(arrays, at) for at, name in enumerate(head["names"])}
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise _foreign(key, f"{type(error).__name__} {error}") from error
    raise _foreign(key, f"they are of {head['key']}, format {head['format']}")


def _read(arrays: Any, at: int) -> Statistic:
    code = f"code_{at}"
    return Statistic(arrays[f"values_{at}"], arrays[code] if code in arrays else None)


def _key(key: PreparedKey) -> dict[str, Any]:
    return {**asdict(key), "run": str(key.run)}


def _foreign(key: PreparedKey, why: str) -> InputError:
    return InputError(
        f"These are no statistics of {key.run}: {why}.", remedy="Prepare the run again.", run=str(key.run)
    )
