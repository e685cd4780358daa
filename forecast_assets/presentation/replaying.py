"""Replays in words.

What belongs here: what is said of a replay. What does not: rebuilding or comparing anything.
"""

from collections.abc import Sequence

import polars as pl

from forecast_assets.core.errors import FIRST, first_ten
from forecast_assets.operations.differences import NO_VALUE, ColumnDifference, Difference, RebuiltProduct
from forecast_assets.operations.replaying import Replay
from forecast_assets.presentation.text import table
from resources.store.manifests import ProductVersion
from resources.store.provenance import code_version, cpu_type, library_versions


def replay_text(found: Replay) -> str:
    """Say which products were rebuilt byte for byte and by what; where one was not, how far off it is and why."""
    rows = [
        (each.recorded.product, each.recorded.rows, _hash(each.recorded), _outcome(each)) for each in found.products
    ]
    parts = [_head(found), table(("product", "rows", "SHA-256", "rebuilt"), rows), _made_text(found)]
    if found.difference is not None:
        parts.append(_difference_text(found.difference))
    for row, values in found.rows.items():
        title = f"{row}: {_judged(values)}"
        parts.append(table(("product", "column", "published", "rebuilt"), values.rows(), title=title))
    return "\n\n".join(parts)


def _judged(values: pl.DataFrame) -> str:
    """Say whether a published row is the rebuilt one, as far as the published one can be read."""
    read = values.filter(pl.col("published") != NO_VALUE)
    if read.is_empty():
        return "what is published cannot be read"
    if not read["published"].equals(read["rebuilt"], check_names=False):
        return "published and rebuilt differ"
    is_whole = read.height == values.height
    return f"published and rebuilt are the same{'' if is_whole else ', as far as what is published can be read'}"


def _head(found: Replay) -> str:
    equal = sum(each.is_equal for each in found.products)
    how = "byte for byte" if found.is_equal else f"{equal} of {len(found.products)} products byte for byte"
    return f"{found.of} (ledger entry {found.sequence}) was rebuilt from its recorded inputs: {how}."


def _hash(made: ProductVersion) -> str:
    return ", ".join(file.sha256[:12] for file in made.files)


def _outcome(each: RebuiltProduct) -> str:
    if each.rebuilt is None:
        return "not made"
    if each.manifest:
        return "the same bytes, another manifest"
    return "the same bytes" if each.is_equal else f"{each.rebuilt.rows:,} rows, {_hash(each.rebuilt)}"


def _made_text(found: Replay) -> str:
    """Say what made the products and what rebuilt them."""
    made = {each.recorded.code_version: dict(each.recorded.libraries) for each in found.products}
    rows = [("code", ", ".join(made), code_version())]
    rows += [
        (name, ", ".join(dict.fromkeys(each.get(name, "-") for each in made.values())), installed)
        for name, installed in library_versions().items()
    ]
    rows.append(("CPU type", found.cpu or "not recorded", cpu_type()))
    said = "The same code, libraries and CPU type." if not found.causes else f"Not the same: {'; '.join(found.causes)}."
    if not found.cpu and not found.causes:
        said = "The same code and libraries; the CPU type was not recorded."
    if found.is_equal and found.causes:
        said += " The bytes are equal all the same."
    return f"{table(('', 'made with', 'rebuilt with'), rows)}\n{said}"


def _difference_text(found: Difference) -> str:
    if found.manifest:
        fields = [(each.column, each.published, each.rebuilt) for each in found.manifest[:FIRST]]
        head = f"First to differ: {found.product}. The bytes are equal; its manifest says other:"
        return f"{head}\n{table(('field', 'recorded', 'rebuilt'), fields)}{_more(found.manifest)}"
    head = f"First to differ: {found.product}. {found.rows:,} rows differ"
    head += f"; {found.only_published:,} rows or columns only published" if found.only_published else ""
    head += f"; {found.only_rebuilt:,} rows or columns only rebuilt" if found.only_rebuilt else ""
    head += f"; only one of them has {first_ten(found.unshared)}" if found.unshared else ""
    if not found.columns:
        is_whole = not (found.only_published or found.only_rebuilt)
        return f"{head}.{' The rows are equal: only the bytes of the file are not.' if is_whole else ''}"
    rows = [
        (each.column, each.rows, "-" if each.largest is None else f"{each.largest:.6g}", each.row, each.published,
         each.rebuilt)
        for each in found.columns[:FIRST]
    ]  # fmt: skip
    columns = ("column", "rows", "largest difference", "in row", "published", "rebuilt")
    return f"{head}.\n{table(columns, rows)}{_more(found.columns)}"


def _more(found: Sequence[ColumnDifference]) -> str:
    left = len(found) - FIRST
    return f"\nand {left:,} more" if left > 0 else ""
