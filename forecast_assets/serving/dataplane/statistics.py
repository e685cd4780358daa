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
from resources.store.provenance import code_version

# How they are laid out.
FORMAT: Final = 1
_HEAD: Final = "head"


def statistics_to_bytes(key: PreparedKey, statistics: Mapping[str, Statistic]) -> bytes:
    """Write statistics with the key of the run that they are of."""
    names = sorted(statistics)
    head = json.dumps({"of": _origin(key), "names": names}, sort_keys=True)
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
        InputError: If the bytes are damaged, or of another run, snapshot or artifact, or made by another release.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            head = json.loads(arrays[_HEAD].tobytes())
            if head["of"] == _origin(key):
                return {name: _read(arrays, at) for at, name in enumerate(head["names"])}
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise _foreign(key, f"{type(error).__name__} {error}") from error
    raise _foreign(key, f"they are of {head['of']}")


def _read(arrays: Any, at: int) -> Statistic:
    return Statistic(arrays[f"values_{at}"], arrays.get(f"code_{at}"))


def _origin(key: PreparedKey) -> dict[str, Any]:
    """What the bytes were made from, the code included: what a statistic of some name is, the code says."""
    return {**asdict(key), "run": str(key.run), "format": FORMAT, "code": code_version()}


def _foreign(key: PreparedKey, why: str) -> InputError:
    what = f"These are no statistics of {key.run}: {why}."
    return InputError(what, remedy="Prepare the run again, without them.", run=str(key.run))
