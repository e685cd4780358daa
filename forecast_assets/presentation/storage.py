"""What verify and vacuum say.

What belongs here: their words. What does not: finding or removing anything.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import FIRST
from forecast_assets.core.wording import counted
from forecast_assets.presentation.text import table
from resources.maintenance.vacuuming import VacuumResult
from resources.maintenance.verification import Verification
from resources.orchestration.recorded_heads import RecordedHead
from resources.store.blobs import Blob

_NO_HEAD: Final = (
    "No head is recorded outside of the store, in the catalogue or in Dagster: a cut end of the ledger could not be "
    "noticed. If you have one: --expect-head SEQUENCE:HASH"
)


def verification_text(found: Verification, heads: Sequence[RecordedHead], seconds: float) -> str:
    """List every finding by its path, then say what was looked at."""
    lines = [f"{finding.kind:<11}{finding.path}\n{'':<11}{finding.why}" for finding in found.findings]
    if lines:
        lines = [f"{len(lines):,} {_files(len(lines))} not as written:", *lines, ""]
    lines += _heads_lines(found, heads)
    if found.leftovers:
        lines.append(
            f"{_counted(found.leftovers)} that no entry names, left by unfinished runs: forecast-assets vacuum"
        )
    verdict = "findings above" if found.findings else "everything is as it was written"
    looked_at = f"{found.entries:,} entries, {found.files:,} files, {megabytes(found.bytes)}"
    lines.append(f"{looked_at}, head {found.head}, {seconds:.1f} s: {verdict}.")
    return "\n".join(lines)


def _heads_lines(found: Verification, heads: Sequence[RecordedHead]) -> list[str]:
    return [_head_line(found, recorded) for recorded in heads if recorded.head] + _unknown_heads_lines(heads)


def _unknown_heads_lines(heads: Sequence[RecordedHead]) -> list[str]:
    lines = [] if any(recorded.head for recorded in heads) else [_NO_HEAD]
    return lines + [f"The head in {each.where} could not be read: {each.trouble}" for each in heads if each.trouble]


def _head_line(found: Verification, recorded: RecordedHead) -> str:
    is_there = recorded.head in found.confirmed
    return f"Head of {recorded.where}: {recorded.head} {'is' if is_there else 'IS NOT'} an entry of this ledger"


def vacuum_text(
    found: VacuumResult, catalogues: Sequence[Path], heads: Sequence[RecordedHead], *, is_removed: bool
) -> str:
    """Say what was removed, or would be, per folder, with the first paths."""
    lines = []
    if found.taken_over:
        lines.append(f"Ended the vacuum that began with ledger entry {found.taken_over} and was interrupted.")
    if found.files:
        lines.append(table(("folder", "files", "bytes"), _folders(found.files)))
        lines += sorted(blob.path for blob in found.files)[:FIRST]
        left = len(found.files) - FIRST
        lines += [f"and {left:,} more"] if left > 0 else []
    lines += [f"catalogue {file}" for file in catalogues]
    what = f"{_counted(found.files)} that no entry names, and {len(catalogues):,} old catalogues"
    lines.append(f"Removed {what}." if is_removed else f"Would remove {what}.")
    if found.kept:
        lines.append(f"{found.kept:,} more that no entry names stay: too young, or a run may still start from them.")
    if not is_removed and (found.files or catalogues):
        lines += _unknown_heads_lines(heads)
        lines.append("Nothing was removed. To remove: forecast-assets vacuum --remove --by NAME")
    return "\n".join(lines)


def _folders(files: Sequence[Blob]) -> list[tuple[str, int, int]]:
    sizes: dict[str, list[int]] = defaultdict(list)
    for blob in files:
        folders = blob.path.split("/")[:-1]
        sizes["/".join(folders[:2] if folders[:1] == ["predictions"] else folders[:1]) or "."].append(blob.size)
    return [(folder, len(each), sum(each)) for folder, each in sorted(sizes.items())]


def _counted(files: Sequence[Blob]) -> str:
    return f"{counted(len(files), 'file')}, {megabytes(sum(blob.size for blob in files))},"


def _files(count: int) -> str:
    return "file is" if count == 1 else "files are"


def megabytes(size: int) -> str:
    """Return a size for reading.

    Example:
        >>> megabytes(1_234_567)
        '1.2 MB'
    """
    return f"{size / 1e6:,.1f} MB"
