"""The ledger in words: everything that happened, newest first.

What belongs here: what an entry says. What does not: what is true after it (state).
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from forecast_assets.contracts import OWN_METHOD
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotReadyError
from forecast_assets.presentation.text import counted, moment_text, table
from resources.ledger.log import Entry
from resources.ledger.records import BatchRecord, Body, Publication
from resources.stores.home import Stores


class _Said(NamedTuple):
    """What an entry says: what happened, who decided it, and why."""

    what: str
    by: str = ""
    reason: str = ""


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
            remedy=Sentence("The first one is made by: ", Action("ingest simulated", given=("DIR",))),
        )
    rows = [(str(entry.sequence), moment_text(entry.recorded_at), entry.kind, *said(entry)) for entry in found[:top]]
    shown = table(("entry", "when", "kind", "what", "by", "why"), rows)
    left = len(found) - top
    return f"{shown}\n{counted(left, 'earlier entry', 'earlier entries')}; show more with --top" if left > 0 else shown


def said(entry: Entry) -> _Said:
    """Return what happened by an entry, who decided it and why; the last two are empty where nobody was asked."""
    return _SAID[entry.kind](entry.body)


def _ingest(body: Body) -> _Said:
    batches = [BatchRecord.read(batch, 0) for batch in body["batches"]]
    feeds = {feed: sum(batch.rows for batch in batches if batch.feed == feed) for feed in sorted(_feeds(batches))}
    sources = ", ".join(sorted({batch.source for batch in batches}))
    first, last = min(b.first_event_date for b in batches), max(b.last_event_date for b in batches)
    rows = ", ".join(f"{feed} {count:,}" for feed, count in feeds.items())
    return _Said(f"{counted(len(batches), 'batch', 'batches')} from {sources}, {first} to {last}; rows: {rows}")


def _feeds(batches: list[BatchRecord]) -> set[str]:
    return {batch.feed for batch in batches}


def _register(body: Body) -> _Said:
    failed = [gate for gate, passed in body["gates"].items() if not passed]
    gates = f"{counted(len(failed), 'gate')} failed" if failed else "gates passed"
    return _Said(f"{body['model_version']}: {body['family']}, trained up to {body['cutoff']}; {gates}")


def _promote(body: Body) -> _Said:
    return _Said(f"{body['channel']} is {body['model_version']}", body["by"], body["reason"])


def _rollback(body: Body) -> _Said:
    return _Said(f"{body['channel']} is {body['model_version']} again", body["by"], body["reason"])


def _publish(body: Body) -> _Said:
    published = Publication.read(body, 0, "")
    checks = sum(len(checks) for checks in published.accepted.values())
    corrects = f"; corrects {published.correction.corrects}" if published.key.revision else ""
    what = f"{published.key}: {len(published.products)} products, {counted(checks, 'check')} accepted{corrects}"
    return _Said(what, published.correction.by, published.correction.reason)


def _measure(body: Body) -> _Said:
    runs = counted(body["runs"], "run")
    return _Said(f"{body['cadence']} forecasts of {body['target_date']}: {runs}, by sales known until "
                 f"{moment_text(body['known_until'])}")  # fmt: skip


def _evaluate(body: Body) -> _Said:
    others = ["seasonal naive", *sorted({each["method"] for each in body["methods"]} - {OWN_METHOD})]
    cutoffs = counted(len(body["cutoffs"]), "cutoff")
    return _Said(
        f"{body['model_version']}: {body['cadence']} forecasts {body['forecast_horizon']} days ahead at {cutoffs} "
        f"up to {body['cutoffs'][-1]}, beside {', '.join(others)}"
    )


def _vacuum(body: Body) -> _Said:
    return _Said(f"removing {counted(body['files'], 'file')} that no entry names, {body['bytes']:,} bytes", body["by"])


def _vacuumed(body: Body) -> _Said:
    return _Said(f"the vacuum of entry {body['vacuum']} has ended")


_SAID: Final[Mapping[str, Callable[[Body], _Said]]] = {
    "ingest": _ingest,
    "register": _register,
    "promote": _promote,
    "rollback": _rollback,
    "publish": _publish,
    "measure": _measure,
    "evaluate": _evaluate,
    "vacuum": _vacuum,
    "vacuumed": _vacuumed,
}
