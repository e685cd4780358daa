"""What is true after the entries of a ledger so far: folding entries into a state.

What belongs here: taking in entries of any kind, and what callers ask of a state. What does not: what a kind of entry
changes (its module in `entries`), or reading or appending entries.
"""

from datetime import date
from typing import Any, Final

from forecast_assets.core.errors import BrokenChainError, InputError, UnknownEntryError, first_ten
from forecast_assets.core.keys import RunKey
from resources.ledger.entries import KINDS, EntryLike, FoldedState
from resources.ledger.entries.base import UniqueFacts
from resources.ledger.entries.channel_moves import ChannelMove, Channels
from resources.ledger.entries.evaluate import BacktestRecord, BacktestRecords
from resources.ledger.entries.ingest import Batches, BatchRecord
from resources.ledger.entries.measure import Measurement, Measurements
from resources.ledger.entries.publish import Publication, Publications
from resources.ledger.entries.register import VersionRecord, Versions
from resources.ledger.entries.vacuum import Vacuum, Vacuums

RESTORE: Final = "Restore the ledger folder from a backup; do not edit it."
UPGRADE: Final = "A later release wrote it: upgrade this installation to that release; the store is as it should be."


class LedgerState(FoldedState):
    """What is true after the entries folded so far: a part for each class that kinds keep, the usual ones by name."""

    def fold(self, entry: EntryLike) -> Any:
        """Take in the next entry.

        Returns:
            What it says: a record of its kind.

        Raises:
            UnknownEntryError: If this release does not know its kind.
            BrokenChainError: If its body is not what its kind says, or if it records again what is recorded once only.
        """
        kind = KINDS.get(entry.kind)
        if kind is None:
            raise UnknownEntryError(
                f"Ledger entry {entry.sequence} is of the kind `{entry.kind}`; this release knows "
                f"{first_ten(sorted(KINDS))}.",
                remedy=UPGRADE,
            )
        try:
            record = kind.read(entry)
            self._require_first(kind.unique_fact(record), entry)
            kind.fold(record, self)
        except (AttributeError, KeyError, TypeError, ValueError, InputError) as error:
            raise BrokenChainError(
                f"Ledger entry {entry.sequence} of the kind `{entry.kind}` cannot be read: {error!r}.", remedy=RESTORE
            ) from error
        self.sequence, self.head, self.recorded_at = entry.sequence, entry.hash, entry.recorded_at
        return record

    def _require_first(self, fact: str, entry: EntryLike) -> None:
        """Refuse to take in twice what never changes: nobody appends it, so somebody wrote it past the ledger."""
        if not fact:
            return
        first = self.part(UniqueFacts).first.setdefault(fact, entry.sequence)
        if first != entry.sequence:
            raise BrokenChainError(f"Ledger entry {entry.sequence} {fact} again; entry {first} did.", remedy=RESTORE)

    # --- what callers ask ---

    @property
    def start_date(self) -> date | None:
        """First day of sales of the first ingest that had any."""
        return self.part(Batches).start_date

    @property
    def batches(self) -> dict[str, BatchRecord]:
        """Batches by id, in the order in which they were recorded."""
        return self.part(Batches).by_id

    @property
    def versions(self) -> dict[str, VersionRecord]:
        """Model versions by name."""
        return self.part(Versions).by_name

    @property
    def channel_moves(self) -> list[ChannelMove]:
        """Moves of all channels, oldest first."""
        return self.part(Channels).channel_moves

    @property
    def publications(self) -> dict[RunKey, Publication]:
        """Publications by key."""
        return self.part(Publications).by_key

    @property
    def measurements(self) -> dict[tuple[str, date], list[Measurement]]:
        """Measurements by cadence and day, oldest first."""
        return self.part(Measurements).by_day

    @property
    def backtests(self) -> dict[str, list[BacktestRecord]]:
        """Backtests by model version, oldest first."""
        return self.part(BacktestRecords).by_version

    @property
    def vacuums(self) -> list[Vacuum]:
        """All vacuums, oldest first."""
        return self.part(Vacuums).begun

    @property
    def open_vacuum(self) -> Vacuum | None:
        """The vacuum that has begun and not ended, or None."""
        return self.part(Vacuums).open

    def channel(self, name: str) -> str | None:
        """Return the version a channel points at now, or None."""
        return self.part(Channels).target(name)

    def newest_measurement(self, cadence: str, target_date: date) -> Measurement | None:
        """Return the newest measurement of a day, or None."""
        return self.part(Measurements).newest(cadence, target_date)

    def newest_backtest(self, model_version: str) -> BacktestRecord | None:
        """Return the newest backtest of a version, or None."""
        return self.part(BacktestRecords).newest(model_version)
