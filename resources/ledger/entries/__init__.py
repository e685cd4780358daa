"""The kinds of ledger entries, one module each.

What belongs here: for each kind, one module with all that is to be known of it, and what several of them share: what a
kind is (`base`), what entries are folded into (`folded`), how audit views are declared (`audit`), moves of channels
(`channel_moves`), days that were judged and their signals (`judged_days`), and the way from a run to all that it was
made from (`run_links`). What does not: the chain of entries, SQL, or reading and writing files.

Every module of this folder is imported here, and those of kinds register them: a new kind is a new file and nothing
else. No library for frames is loaded when they are, so that quick commands stay quick.
"""

from importlib import import_module
from pkgutil import iter_modules

from resources.ledger.entries.base import (
    KINDS,
    EntryDescription,
    EntryEvent,
    EntryKind,
    EntryLike,
    ProposedEntry,
    References,
    register_kind,
)
from resources.ledger.entries.folded import FoldedState

__all__ = [
    "KINDS",
    "EntryDescription",
    "EntryEvent",
    "EntryKind",
    "EntryLike",
    "FoldedState",
    "ProposedEntry",
    "References",
    "register_kind",
]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
# By name, whichever of them was imported first.
for _name in sorted(KINDS):
    KINDS[_name] = KINDS.pop(_name)
