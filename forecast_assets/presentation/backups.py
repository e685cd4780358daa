"""What backup and restore say.

What belongs here: their words. What does not: copying or verifying anything.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from forecast_assets.core.wording import counted, moment_text
from forecast_assets.operations.backing_up import BackupOutcome, BackupVerification
from forecast_assets.operations.copying import CopyDelay
from forecast_assets.operations.mirroring import MirrorDelay
from forecast_assets.operations.restoring import RestoreOutcome
from forecast_assets.presentation.mirror import delay_text, mirror_text
from forecast_assets.presentation.operational_copy import copy_delay_text, copy_text
from forecast_assets.presentation.storage import megabytes
from forecast_assets.presentation.text import table
from resources.maintenance.backup_index import BackupRecord
from resources.maintenance.store_copy import CopiedStore


def backup_text(outcome: BackupOutcome) -> str:
    """Say what was copied, what the backup has, and what it goes back to."""
    store, taken = outcome.store, outcome.taken
    held = store.files - store.copied_files
    databases = f"{counted(len(taken.files), 'file')} of the home besides, {counted(taken.copied_files, 'file')}"
    lines = [
        (
            f"Copied {counted(store.copied_files, 'file')}, {megabytes(store.copied_bytes)}, with "
            f"{counted(store.copied_entries, 'ledger entry', 'ledger entries')}; {counted(held, 'file')} were there."
        ),
        (
            f"{databases}, {megabytes(taken.copied_bytes)}, of them new; {counted(outcome.snapshots, 'snapshot')} of "
            f"them{_removed(outcome.removed)}."
        ),
        *_mended(store),
        *(f"Not in it: {each}" for each in outcome.not_in_it),
        f"{outcome.place} has all up to ledger entry {store.head}, {megabytes(store.bytes)}.",
        f"Recovery point: {moment_text(outcome.record.recovery_point)}; {outcome.record.seconds:.1f} s.",
    ]
    return "\n".join(lines)


def _removed(removed: int) -> str:
    return f", {counted(removed, 'file')} of older ones removed" if removed else ""


def _mended(store: CopiedStore) -> list[str]:
    return [f"Written anew, since it had another size: {path}" for path in store.mended]


def backup_verification_text(found: BackupVerification, seconds: float) -> str:
    """List what is wrong with a backup by its path, then say what was looked at."""
    lines = [f"{each.kind:<11}store/{each.path}\n{'':<11}{each.why}" for each in found.store.findings]
    lines += [
        f"{'changed':<11}{path}\n{'':<11}It is missing, or its bytes do not hash to its name." for path in found.wrong
    ]
    if found.index is None:
        lines.append("Its first making has not come to its end: what is there can be restored, without databases.")
    else:
        lines.append(f"Recovery point: {moment_text(found.index.recovery_point)}, made by {found.index.code}.")
    verdict = "findings above" if found.store.findings or found.wrong else "everything is as it was written"
    lines.append(
        f"{found.store.entries:,} entries, {found.store.files:,} files, {megabytes(found.store.bytes)}, and "
        f"{counted(found.files, 'file')} of the home, head {found.store.head}, {seconds:.1f} s: {verdict}."
    )
    return "\n".join(lines)


def backup_status_text(records: Sequence[BackupRecord], now: datetime) -> str:
    """List backups, the newest first, with how old what they go back to is."""
    if not records:
        return "No backup of this home has come to its end. Make one: forecast-assets backup TO"
    rows = [
        (each.place, each.head.split(":")[0], moment_text(each.recovery_point), age_text(each, now), each.seconds)
        for each in records
    ]
    return table(("place", "ledger entry", "recovery point", "hours ago", "seconds it took"), rows)


def age_text(record: BackupRecord, now: datetime) -> str:
    """Return how many hours ago a backup's recovery point is.

    Example:
        >>> record = BackupRecord("/b", "1:ab", "2025-07-01T06:00:00+00:00", "2025-07-01T06:01:00+00:00", 60.0)
        >>> age_text(record, datetime(2025, 7, 2, 7, 30, tzinfo=UTC))
        '25.5'
    """
    passed = now.astimezone(UTC) - datetime.fromisoformat(record.recovery_point)
    return f"{passed.total_seconds() / 3600:,.1f}"


def restore_text(outcome: RestoreOutcome) -> str:
    """Say what was restored and verified, and how far back it goes."""
    store, verification = outcome.store, outcome.verification
    lines = [
        f"Restored {counted(store.files, 'file')}, {megabytes(store.bytes)}, up to ledger entry {store.head}.",
        f"That entry was recorded at {moment_text(outcome.recorded_at)}.",
        _home_line(outcome),
        f"Catalogue: {outcome.catalogue}",
    ]
    if outcome.copy is not None:
        lines.append(copy_delay_text(outcome.copy) if isinstance(outcome.copy, CopyDelay) else copy_text(outcome.copy))
    if isinstance(outcome.mirror, MirrorDelay):
        lines.append(delay_text(outcome.mirror))
    elif outcome.mirror is not None:
        lines.append(mirror_text(outcome.mirror))
    if outcome.open_vacuum:
        lines.append(
            f"A vacuum that began with entry {outcome.open_vacuum} had not ended, and holds up publications. End it: "
            "forecast-assets vacuum --remove --by NAME"
        )
    looked_at = f"{verification.entries:,} entries, {verification.files:,} files, {megabytes(verification.bytes)}"
    lines += [
        f"Verified: {looked_at}: everything is as it was written.",
        f"Recovery point: {_recovery_point(outcome)}; {outcome.seconds:.1f} s.",
    ]
    return "\n".join(lines)


def _home_line(outcome: RestoreOutcome) -> str:
    snapshot = outcome.snapshot
    if snapshot is not None:
        return f"{counted(len(snapshot.files), 'file')} of the home besides, as of {moment_text(snapshot.at)}."
    return "Nothing of the home besides: keys, feedback and trusted models are to be made anew."


def _recovery_point(outcome: RestoreOutcome) -> str:
    index = outcome.index
    # A later backup that was interrupted may have brought entries that the index does not know of.
    if index is None or index.head != outcome.store.head:
        return f"ledger entry {outcome.store.sequence}, of {moment_text(outcome.recorded_at)}"
    return moment_text(index.recovery_point)
