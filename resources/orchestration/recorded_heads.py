"""Heads of the ledger that are recorded outside of the store.

What belongs here: reading them from the catalogue and from Dagster, writing nothing, and refusing what needs one. What
does not: comparing them with the ledger.

A chain proves every entry but its last one: that the end is still the end, only somebody else can say.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from forecast_assets.core.errors import RefusedError, first_line
from forecast_assets.core.keys import CADENCES
from resources.ledger.log import head_text
from resources.maintenance.verification import is_head

IN_CATALOGUE: Final = "catalogue"
IN_DAGSTER: Final = "Dagster"


@dataclass(frozen=True)
class RecordedHead:
    """A head as somebody else remembers it.

    Attributes:
        where: Who remembers it.
        head: `SEQUENCE:HASH`; empty if nothing is recorded there.
        trouble: Why it could not be read; empty if it could.
    """

    where: str
    head: str = ""
    trouble: str = ""


def recorded_heads(catalogue_path: Path, dagster_folder: Path) -> list[RecordedHead]:
    """Return the heads that the catalogue and Dagster's history recorded, those that there are."""
    found = [catalogue_head(catalogue_path), *dagster_heads(dagster_folder)]
    return [recorded for recorded in found if recorded.head or recorded.trouble]


def require_heads(heads: Sequence[RecordedHead], *, may_lack: bool) -> None:
    """Refuse what loses published files where the end of the ledger was cut and nobody would notice.

    Args:
        heads: What is recorded, and what was given.
        may_lack: Whether somebody answers for the end of the ledger, so that no head need be recorded.

    Raises:
        RefusedError: If a head could not be read, or if there is none and nobody answers for that.
    """
    why = "If the end of the ledger was cut, what it published would be removed as left over."
    for each in heads:
        if each.trouble:
            raise RefusedError(
                f"The head in {each.where} could not be read: {each.trouble}. {why}",
                remedy="Run it again when that can be read. Do not make it anew first: it would take the end that is "
                "there for the right one.",
            )
    if not may_lack and not any(each.head for each in heads):
        raise RefusedError(
            f"No head is recorded outside of the store, in the catalogue or in Dagster. {why}",
            remedy="If you have one that was written down elsewhere: --expect-head SEQUENCE:HASH. If you know that "
            "nothing was cut, for example because nothing was published yet: --no-head-recorded.",
        )


def catalogue_head(catalogue_path: Path) -> RecordedHead:
    """Return the head of the ledger from which the catalogue was built."""
    if not catalogue_path.exists():
        return RecordedHead(IN_CATALOGUE)
    import duckdb

    try:
        with duckdb.connect(str(catalogue_path), read_only=True) as connection:
            row = connection.execute("SELECT sequence, hash FROM audit.ledger_head").fetchone()
    except duckdb.Error as error:
        return RecordedHead(IN_CATALOGUE, trouble=first_line(error))
    return RecordedHead(IN_CATALOGUE, head_text(*row)) if row is not None else RecordedHead(IN_CATALOGUE)


def dagster_heads(folder: Path) -> list[RecordedHead]:
    """Return the heads that the newest publications of each cadence recorded in Dagster's history."""
    # Opening an instance would make what is not there.
    if not (folder / "dagster.yaml").exists() or not (folder / "history" / "runs" / "index.db").exists():
        return []
    import dagster as dg
    from sqlalchemy.exc import DBAPIError

    keys = [dg.AssetKey([cadence, "published_predictions"]) for cadence in CADENCES]
    try:
        with ExitStack() as closing:
            instance = dg.DagsterInstance.from_config(str(folder))
            closing.callback(instance.dispose)
            events = {key: instance.get_latest_materialization_event(key) for key in keys}
    except (DBAPIError, dg.DagsterError, OSError) as error:
        return [RecordedHead(IN_DAGSTER, trouble=first_line(error))]
    return [
        RecordedHead(f"{IN_DAGSTER}, {key.to_user_string()}", _head_in(event.asset_materialization.metadata))
        for key, event in events.items()
        if event is not None and event.asset_materialization is not None
    ]


def _head_in(metadata: Mapping[str, Any]) -> str:
    """Return the head that a publication recorded; the first release recorded its hash alone, which proves nothing."""
    text = str(metadata["ledger_head"].value) if "ledger_head" in metadata else ""
    return text if is_head(text) else ""
