"""Reader of a simulated retailer's folder, as the simulator writes it.

What belongs here: from files and their description to batches. What does not: the truth, which is never read here.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from forecast_assets.contracts import FEEDS
from forecast_assets.errors import SourceError
from forecast_assets.sources.batch import Batch
from forecast_assets.sources.files import require_folder, scan_parquet
from forecast_assets.sources.simulator import FEEDS_FILE, FORMAT, FORMAT_VERSION

_WHAT = "a simulated retailer: forecast-assets simulate FOLDER writes one"


def read_simulated(folder: Path) -> list[Batch]:
    """Read every feed of a simulated retailer.

    Args:
        folder: As written by ``simulator.write_native``.

    Returns:
        One batch per file, in the order of the description.

    Raises:
        SourceError: If the folder, a file, a column or a type is not as described.
    """
    require_folder(folder, [FEEDS_FILE], _WHAT)
    files = _described_files(folder / FEEDS_FILE)
    require_folder(folder, files, _WHAT)
    return [_read(folder / name, facts) for name, facts in files.items()]


def _described_files(path: Path) -> dict[str, dict[str, Any]]:
    try:
        description = json.loads(path.read_text())
        kind = description["format"], description["format_version"]
        files: dict[str, dict[str, Any]] = description["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} is not the description of {_WHAT}.", remedy="Write the folder again.") from error
    if kind != (FORMAT, FORMAT_VERSION):
        raise SourceError(
            f"{path} describes {kind[0]}, version {kind[1]}; this reads {FORMAT}, version {FORMAT_VERSION}.",
            remedy="Write the folder again with this version.",
        )
    return files


def _read(path: Path, facts: dict[str, Any]) -> Batch:
    try:
        feed, source, trust = facts["feed"], facts["source"], facts["trust"]
        lag = timedelta(hours=facts["declared_lag_hours"])
        contract = FEEDS[feed]
    except (KeyError, TypeError) as error:
        raise SourceError(
            f"{path.parent / FEEDS_FILE} does not say what {path.name} is: {facts}.",
            remedy=f"It needs feed (one of {sorted(FEEDS)}), source, trust and declared_lag_hours.",
        ) from error
    return Batch(feed, source, trust, lag, scan_parquet(path, contract.schema).collect())
