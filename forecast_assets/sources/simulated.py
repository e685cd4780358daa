"""Reader of a simulated retailer's folder, as the simulator writes it.

What belongs here: from files and their description to batches. What does not: the truth, which is never read here.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forecast_assets.contracts import FEEDS
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import SourceError, first_ten
from forecast_assets.ingestion.batch import LONGEST_LAG, Batch
from forecast_assets.sources.files import require_folder, scan_parquet

FORMAT: Final = "forecast-assets simulated retailer"
FORMAT_VERSION: Final = 1
FEEDS_FILE: Final = "feeds.json"
_WHAT: Final = Sentence("a simulated retailer: ", Action("simulate"), " FOLDER writes one")


class _File(BaseModel):
    """What the description says of one file."""

    model_config = ConfigDict(strict=True, frozen=True)

    feed: str = Field(pattern=f"^({'|'.join(FEEDS)})$")
    source: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    trust: float = Field(ge=0, le=1)
    declared_lag_hours: float = Field(ge=0, le=LONGEST_LAG / timedelta(hours=1))


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


def _described_files(path: Path) -> dict[str, _File]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        kind = description["format"], description["format_version"]
        files = dict(description["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(
            Sentence(f"{path} is not the description of ", _WHAT, "."), remedy="Write the folder again.", path=path
        ) from error
    if kind != (FORMAT, FORMAT_VERSION):
        raise SourceError(
            f"{path} describes {kind[0]}, version {kind[1]}; this reads {FORMAT}, version {FORMAT_VERSION}.",
            remedy="Write the folder again with this version.",
        )
    return {name: _described(path, name, facts) for name, facts in files.items()}


def _described(path: Path, name: str, facts: object) -> _File:
    try:
        if Path(name).name != name:
            raise SourceError(f"{path} names {name}, which is no file of the folder.", remedy="Write the folder again.")
        return _File.model_validate(facts)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise SourceError(
            f"{path} does not say what {name} is: {first_ten(wrong)}; found {facts}.",
            remedy=f"It needs feed (one of {sorted(FEEDS)}), source, trust and declared_lag_hours.",
        ) from error


def _read(path: Path, facts: _File) -> Batch:
    frame = scan_parquet(path, FEEDS[facts.feed].schema).collect()
    return Batch(facts.feed, facts.source, facts.trust, timedelta(hours=facts.declared_lag_hours), frame)
