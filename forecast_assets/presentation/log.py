"""The ledger in words: everything that happened, newest first.

What belongs here: which entries are listed, and how. What does not: what an entry of a kind says (its module in
`resources/ledger/entries`), or what is true after it (state).
"""

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotReadyError
from forecast_assets.core.wording import counted, moment_text
from forecast_assets.presentation.text import table
from resources.ledger.entries import KINDS, EntryDescription
from resources.ledger.log import Entry
from resources.stores.home import Stores


def log_text(stores: Stores, *, top: int, kind: str | None = None) -> str:
    """List the newest entries of the ledger.

    Args:
        stores: Where everything is, now or as of a past position.
        top: Entries at most.
        kind: Only entries of this kind; None for all.

    Raises:
        NotReadyError: If there is none.
    """
    entries = stores.ledger.entries()
    found = [entry for entry in reversed(entries) if kind in (None, entry.kind)]
    if not found:
        raise NotReadyError(
            f"The ledger has no entry{f' of the kind {kind}' if kind else ''} yet.",
            remedy=Sentence("The first one is made by: ", Action("ingest simulated", on=("DIR",))),
        )
    rows = [
        (str(entry.sequence), moment_text(entry.recorded_at), entry.kind, *log_line(entry)) for entry in found[:top]
    ]
    shown = table(("entry", "when", "kind", "what", "by", "why"), rows)
    left = len(found) - top
    return f"{shown}\n{counted(left, 'earlier entry', 'earlier entries')}; show more with --top" if left > 0 else shown


def log_line(entry: Entry) -> EntryDescription:
    """Return what happened by an entry, who decided it and why; the last two are empty where nobody was asked."""
    kind = KINDS[entry.kind]
    return kind.describe(kind.read(entry))
